"""`submit_batch` over the template's tables and queues, and a bucket, on its sample events."""

import base64
import json
from typing import TYPE_CHECKING, Any

import boto3
import msgspec
import pytest
from botocore.config import Config

from llm_router.adapters.s3_files import S3Files
from llm_router.batching.batches import PromptMessage
from llm_router.batching.input_files import InputFile
from llm_router.errors import ConflictError, NotFoundError, StoreError
from submit_batch.app import lambda_handler
from tests.builders import Context, body_of, http_event
from tests.integration.conftest import Cloud, Deploy
from tests.loading import load_event

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

BATCH_ID = "batch_0f8fad5bd9cb469fa16570867728950e"
FILE = b'{"message": "One?"}\n{"message": ""}\n{"message": "Three?"}\n'


@pytest.fixture
def s3(cloud: Cloud) -> "S3Client":
    """A bucket with one file."""
    client = boto3.client("s3")
    client.create_bucket(Bucket="prompts")
    client.put_object(Bucket="prompts", Key="night.jsonl", Body=FILE)
    return client


def call(name: str, batch_id: str = BATCH_ID, **fields: Any) -> dict[str, Any]:
    """Answer a sample event about a batch."""
    event = http_event(name) | fields
    if "pathParameters" in event:
        event["pathParameters"] = {"batch_id": batch_id}
        event["rawPath"] = event["rawPath"].replace(BATCH_ID, batch_id)
    response: dict[str, Any] = lambda_handler(event, Context())
    return response


def sent(cloud: Cloud, queue: str) -> list[dict[str, Any]]:
    """Take the messages out of a queue."""
    url = cloud.sqs.get_queue_url(QueueName=queue)["QueueUrl"]
    return [
        {"body": message["Body"], "message_id": message["MessageId"]}
        for message in cloud.sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", [])
    ]


def read_file(cloud: Cloud, **changes: Any) -> Any:
    """Have the one file that was ordered read."""
    (order,) = sent(cloud, "BatchInputQueue")
    event = load_event("batch-file")
    event["Records"][0]["body"] = msgspec.json.encode(json.loads(order["body"]) | changes).decode()
    return lambda_handler(event, Context())


def test_sample_events(cloud: Cloud, deploy: Deploy) -> None:
    """A batch is taken in, looked at, cancelled, and its results are a page to wait for."""
    deploy("SubmitBatchFunction")
    submitted = call("batch-submit")
    batch_id = body_of(submitted)["batch_id"]
    seen = call("batch-look", batch_id)
    results = call("batch-results", batch_id)
    cancelled = call("batch-cancel", batch_id)

    assert (202, f"/api/v1/batches/{batch_id}") == (submitted["statusCode"], submitted["headers"]["Location"])
    assert ("in_progress", 2, 2, 0) == tuple(body_of(seen)[name] for name in ("status", "lines", "accepted", "invalid"))
    assert ("application/x-ndjson", "") == (results["headers"]["Content-Type"], results["body"])
    assert f'</api/v1/batches/{batch_id}/results?after=0&limit=100>; rel="next"' == results["headers"]["Link"]
    assert (202, "cancelling") == (cancelled["statusCode"], body_of(cancelled)["status"])
    messages = [msgspec.json.decode(each["body"], type=PromptMessage) for each in sent(cloud, "BatchQueue")]
    assert {("a", 1), ("b", 2)} == {(message.custom_id, message.line) for message in messages}


def test_unknown_batch(cloud: Cloud, deploy: Deploy) -> None:
    """A batch that is not there is not found, whatever is wanted of it."""
    deploy("SubmitBatchFunction")

    assert [404] * 3 == [call(name)["statusCode"] for name in ("batch-look", "batch-results", "batch-cancel")]


@pytest.mark.parametrize("media_type", ["application/jsonl", "application/x-ndjson; charset=utf-8"])
def test_json_lines(cloud: Cloud, deploy: Deploy, media_type: str) -> None:
    """Lines come as base64, and the first errors are in the answer with their lines."""
    deploy("SubmitBatchFunction")
    headers = http_event("batch-submit")["headers"] | {"content-type": media_type}
    body = base64.b64encode(FILE).decode()
    answer = body_of(call("batch-submit", headers=headers, body=body, isBase64Encoded=True))

    assert (3, 2, 1) == (answer["lines"], answer["accepted"], answer["invalid"])
    error = {"code": "invalid_request", "message": "must have at least 1 character", "field": "message"}
    assert [{"line": 2, "error": error}] == answer["errors"]


def test_media_type(cloud: Cloud, deploy: Deploy) -> None:
    """Anything but JSON and lines of it is refused."""
    deploy("SubmitBatchFunction")
    headers = http_event("batch-submit")["headers"] | {"content-type": "text/csv"}
    refused = call("batch-submit", headers=headers)

    assert (415, "content-type") == (refused["statusCode"], body_of(refused)["error"]["field"])


def test_file(cloud: Cloud, deploy: Deploy, s3: "S3Client") -> None:
    """A file is looked at, and read when its message comes, as often as it comes."""
    deploy("SubmitBatchFunction", BATCH_INPUT_BUCKET="prompts")
    submitted = body_of(call("batch-submit", body=json.dumps({"s3_uri": "s3://prompts/night.jsonl"})))
    outcome = read_file(cloud)
    seen = body_of(call("batch-look", submitted["batch_id"]))

    assert ("reading_input", 0) == (submitted["status"], submitted["lines"])
    assert {"batchItemFailures": []} == outcome
    assert ("in_progress", 3, 1) == (seen["status"], seen["lines"], seen["invalid"])
    assert 2 == len(sent(cloud, "BatchQueue"))


def test_pieces_of_a_file(s3: "S3Client") -> None:
    """A file is found with its size, and read by its bytes, up to its end."""
    files = S3Files(s3)
    file = files.find("prompts", "night.jsonl")

    assert len(FILE) == file.size_bytes
    assert FILE[5:15] == files.read(file, offset_bytes=5, count_bytes=10)
    assert FILE[50:] == files.read(file, offset_bytes=50, count_bytes=1000)


def test_another_file(s3: "S3Client") -> None:
    """Another content under the name of a file is not read in its place, nor is nothing."""
    files = S3Files(s3)
    file = files.find("prompts", "night.jsonl")
    s3.put_object(Bucket="prompts", Key="night.jsonl", Body=b"other")
    with pytest.raises(ConflictError, match="was changed while it was read"):
        files.read(file, offset_bytes=0, count_bytes=10)
    s3.delete_object(Bucket="prompts", Key="night.jsonl")
    with pytest.raises(NotFoundError, match="does not exist"):
        files.read(file, offset_bytes=0, count_bytes=10)


def test_no_file(s3: "S3Client") -> None:
    """A file, or a bucket, that is not there is not found."""
    for bucket, key in [("prompts", "gone"), ("gone", "night.jsonl")]:
        with pytest.raises(NotFoundError):
            S3Files(s3).find(bucket, key)


def test_no_s3(cloud: Cloud) -> None:
    """Where S3 cannot be reached, that is the store's failure."""
    once = Config(connect_timeout=1, retries={"total_max_attempts": 1})
    client = boto3.client(
        "s3",
        region_name="us-east-1",
        endpoint_url="http://127.0.0.1:1",
        config=once,
    )
    file = InputFile(bucket="prompts", key="night.jsonl", etag="e", size_bytes=9)
    with pytest.raises(StoreError):
        S3Files(client).find("prompts", "night.jsonl")
    with pytest.raises(StoreError):
        S3Files(client).read(file, offset_bytes=0, count_bytes=9)
