"""moto's server in this process: the tables and queues of a template, and clients for them."""

import threading
from collections.abc import Iterable, Mapping
from http.client import HTTPConnection
from typing import TYPE_CHECKING, Any, Final, Literal, overload

import boto3
from botocore.config import Config
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import make_server

from infra.local.resources import ACCOUNT_ID, REGION, Queue, Table

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodbstreams import DynamoDBStreamsClient
    from mypy_boto3_events import EventBridgeClient
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_secretsmanager import SecretsManagerClient
    from mypy_boto3_sqs import SQSClient

_SENDS: Final = ("AmazonSQS.SendMessage", "AmazonSQS.ChangeMessageVisibility")
_WRITES: Final = (
    *_SENDS,
    "DynamoDB_20120810.PutItem",
    "DynamoDB_20120810.UpdateItem",
    "DynamoDB_20120810.DeleteItem",
    "DynamoDB_20120810.BatchWriteItem",
    "DynamoDB_20120810.TransactWriteItems",
)
_SHUTDOWN_POLL_SECONDS: Final = 0.1
_CLIENT_CONFIG: Final = Config(
    account_id_endpoint_mode="disabled",
    max_pool_connections=64,
    proxies={},
    retries={"mode": "standard", "total_max_attempts": 2},
)


class _QuietHandler(MotoRequestHandler):
    """Logs no requests, and gives a connection that says nothing up instead of the whole server."""

    timeout = 10

    def log_request(self, *_args: object) -> None:
        """Say nothing: a line per store call would bury the functions' own logs."""


class Writes:
    """Counts the writes to the cloud and wakes who waits for one, so that an idle twin does not have to poll."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._count = 0

    @property
    def count(self) -> int:
        """Give the number of writes that have finished."""
        with self._changed:
            return self._count

    def add(self) -> None:
        """Count a write."""
        with self._changed:
            self._count += 1
            self._changed.notify_all()

    def wait(self, seen: int, timeout_seconds: float) -> None:
        """Wait until there are more writes than `seen`, or the time is over."""
        with self._changed:
            self._changed.wait_for(lambda: self._count > seen, timeout_seconds)


class Cloud:
    """DynamoDB, SQS, S3, EventBridge and Secrets Manager as far as moto has them, at `endpoint_url`.

    moto's backends are plain dictionaries, and its threaded server lets requests race on them: conditional counters
    overshoot and transactions get lost. So this server works on one request at a time; that was also faster than a
    lock around a threaded one (2.6 ms against 3.0 ms per call). Nobody may long-poll it: the others would wait.
    """

    def __init__(self) -> None:
        self.writes = Writes()
        self.sends = Writes()
        """Those to queues: the readers of queues, of which there are many, need not look after every other write."""
        self._server = make_server(
            "127.0.0.1",
            0,
            self._count_writes(DomainDispatcherApplication(create_backend_app)),
            threaded=False,
            request_handler=_QuietHandler,
        )
        self.endpoint_url = f"http://127.0.0.1:{self._server.server_port}"
        self._session = boto3.Session("local", "local", region_name=REGION)
        self._making_client = threading.Lock()
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=[_SHUTDOWN_POLL_SECONDS], name="cloud", daemon=True
        )

    def start(self) -> None:
        """Serve requests, with nothing stored: moto keeps its state in the process, also across servers."""
        self._thread.start()
        connection = HTTPConnection("127.0.0.1", self._server.server_port)
        connection.request("POST", "/moto-api/reset")
        connection.getresponse().read()
        connection.close()

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @overload
    def client(self, service: Literal["dynamodb"]) -> "DynamoDBClient": ...
    @overload
    def client(self, service: Literal["dynamodbstreams"]) -> "DynamoDBStreamsClient": ...
    @overload
    def client(self, service: Literal["s3"]) -> "S3Client": ...
    @overload
    def client(self, service: Literal["events"]) -> "EventBridgeClient": ...
    @overload
    def client(self, service: Literal["secretsmanager"]) -> "SecretsManagerClient": ...
    @overload
    def client(self, service: Literal["sqs"]) -> "SQSClient": ...
    def client(self, service: Any) -> Any:
        """Make a boto3 client of the cloud; a session makes one at a time."""
        with self._making_client:
            return self._session.client(service, endpoint_url=self.endpoint_url, config=_CLIENT_CONFIG)

    def keep(self, secrets: Mapping[str, str]) -> None:
        """Put texts into Secrets Manager, by name."""
        client = self.client("secretsmanager")
        for name, text in secrets.items():
            client.create_secret(Name=name, SecretString=text)

    def create_buckets(self, names: Iterable[str]) -> None:
        """Create S3 buckets."""
        client = self.client("s3")
        for name in names:
            client.create_bucket(Bucket=name)

    def create(self, tables: Iterable[Table], queues: Iterable[Queue]) -> None:
        """Create the tables and queues of a template."""
        dynamodb, sqs = self.client("dynamodb"), self.client("sqs")
        for table in tables:
            dynamodb.create_table(TableName=table.name, **_create_table_arguments(table.properties))
            if table.ttl_attribute:
                dynamodb.update_time_to_live(
                    TableName=table.name,
                    TimeToLiveSpecification={"AttributeName": table.ttl_attribute, "Enabled": True},
                )
        all_queues = tuple(queues)
        for queue in all_queues:
            sqs.create_queue(QueueName=queue.name, Attributes=queue.attributes)
        # A redrive policy names another queue, which has to be there first.
        for queue in all_queues:
            if queue.redrive_policy:
                sqs.set_queue_attributes(
                    QueueUrl=self.queue_url(queue.name), Attributes={"RedrivePolicy": queue.redrive_policy}
                )

    def queue_url(self, name: str) -> str:
        """Give the URL of a queue."""
        return f"{self.endpoint_url}/{ACCOUNT_ID}/{name}"

    def _count_writes(self, application: "WSGIApplication") -> "WSGIApplication":
        def counting(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
            response = application(environ, start_response)
            action = environ.get("HTTP_X_AMZ_TARGET", "")
            if action.startswith(_WRITES):
                self.writes.add()
            if action.startswith(_SENDS):
                self.sends.add()
            return response

        return counting


def _create_table_arguments(properties: Mapping[str, Any]) -> dict[str, Any]:
    """CloudFormation switches a stream on by naming its view type; the API wants it said."""
    if "StreamSpecification" not in properties:
        return dict(properties)
    return {**properties, "StreamSpecification": {"StreamEnabled": True, **properties["StreamSpecification"]}}
