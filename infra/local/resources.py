"""What the twin runs, as read from a SAM template: functions, events, tables, queues, layers."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

if TYPE_CHECKING:
    from mypy_boto3_sqs.literals import QueueAttributeNameType

ACCOUNT_ID: Final = "123456789012"
REGION: Final = "us-east-1"


def arn(service: str, resource: str) -> str:
    """Write an ARN in the twin's account and region."""
    return f"arn:aws:{service}:{REGION}:{ACCOUNT_ID}:{resource}"


@dataclass(frozen=True)
class Layer:
    """A layer: where Python looks in it, and the folder that is `/opt`, if its source has that shape."""

    logical_id: str
    python_root: Path
    opt_root: Path | None


@dataclass(frozen=True)
class Function:
    """A Lambda function; `layers` in the order of the template."""

    logical_id: str
    name: str
    code_uri: Path
    handler: str
    timeout_seconds: int
    memory_size_mb: int
    environment: Mapping[str, str]
    layers: Sequence[Layer]

    @property
    def arn(self) -> str:
        """The function's ARN."""
        return arn("lambda", f"function:{self.name}")


@dataclass(frozen=True)
class Table:
    """A DynamoDB table; `properties` are CreateTable's arguments as the template writes them."""

    logical_id: str
    name: str
    properties: Mapping[str, Any]
    ttl_attribute: str | None


@dataclass(frozen=True)
class Queue:
    """An SQS queue; `attributes` are CreateQueue's, `redrive_policy` apart since it names another queue."""

    logical_id: str
    name: str
    attributes: Mapping["QueueAttributeNameType", str]
    redrive_policy: str | None

    @property
    def visibility_timeout_seconds(self) -> int:
        """How long a received message stays hidden; 30 s by default."""
        return int(self.attributes.get("VisibilityTimeout", "30"))


@dataclass(frozen=True)
class Authorizer:
    """A Lambda authorizer of the HTTP API; `headers` are what it is asked about, and what its answer is kept for."""

    function: str
    headers: Sequence[str]
    result_ttl_seconds: float


@dataclass(frozen=True)
class Route:
    """One route of the HTTP API; `method` is upper case or `ANY`."""

    function: str
    method: str
    path: str
    authorizer: Authorizer | None = None

    @property
    def key(self) -> str:
        """The API's name of the route, `POST /items/{id}`."""
        return f"{self.method} {self.path}"


@dataclass(frozen=True)
class QueueEvent:
    """An SQS event source mapping; `queue` is the queue's name, `function` a logical id."""

    function: str
    queue: str
    batch_size: int
    maximum_concurrency: int
    batching_window_seconds: float
    report_item_failures: bool


@dataclass(frozen=True)
class StreamEvent:
    """A DynamoDB stream event source mapping; `maximum_retries` is None for "until the record expires".

    `filters` are parsed patterns, any of which may match; `on_failure_queue` is a queue's name;
    `parallelization_factor` is how many batches of a shard are worked on at once, those of one item in order.
    """

    function: str
    table: str
    batch_size: int
    starting_position: str
    maximum_retries: int | None
    bisect: bool
    report_item_failures: bool
    filters: Sequence[Mapping[str, Any]]
    on_failure_queue: str | None
    parallelization_factor: int = 1


@dataclass(frozen=True)
class ScheduleEvent:
    """A `rate(...)` schedule; `rule` is the EventBridge rule's name, `input` replaces the event when given."""

    function: str
    rule: str
    rate_seconds: float
    input: Any


Event = Route | QueueEvent | StreamEvent | ScheduleEvent
EventT = TypeVar("EventT", bound=Event)


@dataclass(frozen=True)
class Template:
    """Everything the twin runs; functions by logical id."""

    functions: Mapping[str, Function]
    tables: Sequence[Table]
    queues: Sequence[Queue]
    events: Sequence[Event]

    @property
    def buckets(self) -> set[str]:
        """The buckets that functions are told of; they belong to somebody else, and the template only names them."""
        given = (item for function in self.functions.values() for item in function.environment.items())
        return {value for name, value in given if name.endswith("_BUCKET") and value}

    def events_of(self, kind: type[EventT]) -> Iterator[EventT]:
        """Give the events of one kind, in the template's order."""
        return (event for event in self.events if isinstance(event, kind))
