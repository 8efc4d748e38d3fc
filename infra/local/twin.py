"""The twin: a template's whole stack, running on this machine without Docker."""

import functools
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Literal, Self, TextIO, overload

from infra.local.cloud import Cloud
from infra.local.functions import FunctionPool, InvokeResult
from infra.local.http_api import INTEGRATION_TIMEOUT_SECONDS, HttpApi, HttpServer, PortInUseError, listen
from infra.local.resources import QueueEvent, Route, ScheduleEvent, StreamEvent, Template
from infra.local.runtime import Environment, RuntimeSettings, check_layers
from infra.local.runtime_client import RUNTIME_CLIENT, link_distributions
from infra.local.schedule_source import ScheduleSource
from infra.local.source import Poller
from infra.local.sqs_source import SqsSource
from infra.local.stream_source import StreamSource
from infra.local.template import load_template
from infra.local.vectors import install

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodbstreams import DynamoDBStreamsClient
    from mypy_boto3_events import EventBridgeClient
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sqs import SQSClient

__all__ = ["PortInUseError", "Twin"]

_DRAIN_POLL_SECONDS: Final = 0.02
# moto keeps its state in module globals: a second twin would empty the first one's tables.
_RUNNING: Final = threading.Lock()


class Twin:
    """Runs a SAM template; a context manager, one at a time per process.

    Attributes:
        url: Address of the HTTP API.
        template: What the template declares.
        tables: Table names by logical id.
        queues: Queue names by logical id.

    Args:
        template_path: The SAM template.
        port: Port of the HTTP API, any free one for 0.
        parameters: Values of template parameters; the rest have their defaults.
        environment_overrides: Values of environment variables, for every function that declares the name.
        secrets: Texts in Secrets Manager, by name.
        max_environments: Cap of execution environments per function; callers beyond it wait.
        log: Where functions and event sources write, each line with its origin in front.
        build_dir: Where makefile layers are built; `.build/layers` beside the template by default.
        integration_timeout_seconds: What an HTTP caller waits at most; 30 s on AWS.
        authorizer_ttl_seconds: How long what authorizers say is remembered, instead of what the template says.
    """

    def __init__(
        self,
        template_path: Path,
        *,
        port: int = 0,
        parameters: Mapping[str, str] | None = None,
        environment_overrides: Mapping[str, str] | None = None,
        secrets: Mapping[str, str] | None = None,
        max_environments: int = 10,
        log: TextIO = sys.stderr,
        build_dir: Path | None = None,
        integration_timeout_seconds: float = INTEGRATION_TIMEOUT_SECONDS,
        authorizer_ttl_seconds: float | None = None,
    ) -> None:
        self._port = port
        self._load = functools.partial(
            load_template,
            template_path,
            parameters=parameters,
            environment_overrides=environment_overrides,
            build_dir=build_dir,
        )
        self._secrets = secrets or {}
        self._max_environments = max_environments
        self._log = log
        self._integration_timeout_seconds = integration_timeout_seconds
        self._authorizer_ttl_seconds = authorizer_ttl_seconds
        self._exits = ExitStack()

    def __enter__(self) -> Self:
        """Start everything.

        Raises:
            PortInUseError: The port is taken; nothing else was started.
            TemplateError: The template asks for something the twin does not do.
            NotBuiltError: A layer is missing.
        """
        with ExitStack() as exits:
            self._start(exits)
            self._exits = exits.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop everything; no process is left."""
        self._exits.close()

    def invoke(self, function: str, event: Any) -> InvokeResult:
        """Invoke a function by logical id and wait for its answer.

        Raises:
            PayloadTooLargeError: The event is over 6 MB.
        """
        return self._pools[function].invoke(event)

    def crash(self, function: str) -> None:
        """Kill the environments of a function, by logical id, in the middle of whatever they do."""
        self._pools[function].crash()

    def drain(self, timeout_seconds: float = 30.0) -> None:
        """Wait until queues with a consumer are empty, stream readers are at the end and no function is at work.

        Raises:
            TimeoutError: Something is still under way.
        """
        give_up = time.monotonic() + timeout_seconds
        while busy := self._busy():
            if time.monotonic() > give_up:
                raise TimeoutError(f"still busy after {timeout_seconds} s: {', '.join(busy)}")
            time.sleep(_DRAIN_POLL_SECONDS)

    @overload
    def client(self, service: Literal["dynamodb"]) -> "DynamoDBClient": ...
    @overload
    def client(self, service: Literal["dynamodbstreams"]) -> "DynamoDBStreamsClient": ...
    @overload
    def client(self, service: Literal["s3"]) -> "S3Client": ...
    @overload
    def client(self, service: Literal["events"]) -> "EventBridgeClient": ...
    @overload
    def client(self, service: Literal["sqs"]) -> "SQSClient": ...
    def client(self, service: Any) -> Any:
        """Make a boto3 client of the twin's cloud."""
        return self._cloud.client(service)

    def queue_url(self, queue: str) -> str:
        """Give the URL of a queue by logical id."""
        return self._cloud.queue_url(self.queues[queue])

    def _start(self, exits: ExitStack) -> None:
        if not _RUNNING.acquire(blocking=False):
            raise RuntimeError("another twin runs in this process")
        exits.callback(_RUNNING.release)
        listener = exits.enter_context(listen(self._port))
        self._start_cloud(exits)
        self._pools = self._make_pools(Path(exits.enter_context(TemporaryDirectory(prefix="runtime-"))))
        self._sources = tuple(self._make_sources())
        api = HttpApi(
            self.template.events_of(Route),
            self.invoke,
            integration_timeout_seconds=self._integration_timeout_seconds,
            authorizer_ttl_seconds=self._authorizer_ttl_seconds,
        )
        server = HttpServer(api, listener)
        self.url = server.url
        for source in self._sources:
            source.start()
        server.start()
        exits.callback(self._stop, server)

    def _start_cloud(self, exits: ExitStack) -> None:
        install()
        self._cloud = Cloud()
        self._cloud.start()
        exits.callback(self._cloud.close)
        self.template: Template = self._load(endpoint_url=self._cloud.endpoint_url)
        for function in self.template.functions.values():
            check_layers(function)
        self.tables = {table.logical_id: table.name for table in self.template.tables}
        self.queues = {queue.logical_id: queue.name for queue in self.template.queues}
        self._cloud.create(self.template.tables, self.template.queues)
        self._cloud.create_buckets(self.template.buckets)
        self._cloud.keep(self._secrets)

    def _stop(self, server: HttpServer) -> None:
        """Begin nothing new, end the workers, and then all who waited for one have their answer."""
        for source in self._sources:
            source.stop()
        self._cloud.writes.add()  # wakes the sources that wait for one
        self._cloud.sends.add()
        for pool in self._pools.values():
            pool.terminate()
        for pool in self._pools.values():
            pool.join()
        server.close()
        for source in self._sources:
            source.join()

    def _make_pools(self, runtime_dir: Path) -> dict[str, FunctionPool]:
        link_distributions(runtime_dir, RUNTIME_CLIENT)
        settings = RuntimeSettings(runtime_dir, self._cloud.endpoint_url, self._log)
        return {
            name: FunctionPool(
                function, functools.partial(Environment, function, settings), max_environments=self._max_environments
            )
            for name, function in self.template.functions.items()
        }

    def _make_sources(self) -> Iterator[Poller]:
        for event in self.template.events:
            pool = self._pools[event.function]
            match event:
                case QueueEvent():
                    yield SqsSource(event, self._cloud, pool.invoke, self._log)
                case StreamEvent():
                    yield StreamSource(event, pool.function.arn, self._cloud, pool.invoke, self._log)
                case ScheduleEvent():
                    yield ScheduleSource(event, pool.invoke, self._log)
                case Route():
                    pass

    def _busy(self) -> list[str]:
        """Name what is under way; a write in between counts too, for it may have made new work."""
        writes = self._cloud.writes.count
        working = self._working()
        waiting = [source.name for source in self._sources if not source.is_drained(writes)]
        changed = ["the cloud"] if self._cloud.writes.count != writes else []
        return [*working, *waiting, *changed, *self._working()]

    def _working(self) -> list[str]:
        return [name for name, pool in self._pools.items() if pool.in_flight]
