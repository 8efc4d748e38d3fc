"""Bodies of requests and responses about batches."""

from enum import StrEnum
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from llm_router.batching.batches import LineError
from llm_router.errors import InvalidRequestError
from llm_router.responses import ChatResponse


class BatchRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Body of `POST /api/v1/batches` as JSON: the requests, or where the file with them is."""

    requests: (
        Annotated[tuple[msgspec.Raw, ...], Meta(description="Each a chat request, with a `custom_id` if you like.")]
        | None
    ) = None
    s3_uri: Annotated[str, Meta(description="s3://bucket/key of a file with a request on every line.")] | None = None

    def __post_init__(self) -> None:
        """Refuse neither and both.

        Raises:
            InvalidRequestError: there is not exactly one of the two.
        """
        if (self.requests is None) == (self.s3_uri is None):
            rule = "is required, or `s3_uri`" if self.requests is None else "must not come with `s3_uri`"
            raise InvalidRequestError(rule, field="requests")


class BadLine(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A line that cannot be asked."""

    line: int
    """From 1; blank lines do not count."""
    custom_id: str | None = None
    """Absent where it could not be read."""
    error: LineError


class BatchStatus(StrEnum):
    """Where a batch stands."""

    READING_INPUT = "reading_input"
    IN_PROGRESS = "in_progress"
    COMPLETED = "completed"
    CANCELLING = "cancelling"
    """What has begun is brought to its end, and nothing else is begun."""
    CANCELLED = "cancelled"
    FAILED = "failed"
    """Its input could not be read to the end; the lines before have their results."""


class BatchResponse(Struct, frozen=True, kw_only=True):
    """A batch and the counts of its lines; costs in USD, and exactly, in integer nano-dollars."""

    batch_id: str
    status: BatchStatus
    created_at: str
    """UTC, ISO 8601."""
    input_complete: bool
    """Whether every line has been read."""
    input_error: str | None
    """Why reading ended before the last line."""
    lines: int
    """Read so far; blank lines do not count."""
    accepted: int
    """Lines that are requests, as far as is known."""
    invalid: int
    """Lines that no request could be made of; their errors are among the results."""
    pending: int
    """Accepted and not finished: waiting, or being answered."""
    succeeded: int
    failed: int
    cancelled: int
    hits: int
    """How many of those that succeeded the cache answered."""
    progress: float
    """Share of the lines read so far that are finished, invalid ones included: 0 to 1."""
    estimated_ms: int | None
    """How much longer the box would work at the pace of this batch so far; null while that is not known."""
    input_tokens: int
    output_tokens: int
    actual_cost: float
    actual_nano_usd: int
    baseline_cost: float
    baseline_nano_usd: int


class AcceptedBatchResponse(BatchResponse, frozen=True, kw_only=True):
    """A batch that was taken in, and what was wrong with its lines."""

    errors: tuple[BadLine, ...]
    """Of the first hundred lines that are no valid requests."""


class LineStatus(StrEnum):
    """Where a line stands: as its request does, or that it is none."""

    QUEUED = "queued"
    """Or nobody has looked at it yet."""
    RUNNING = "running"
    ESCALATED = "escalated"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    INVALID = "invalid"
    """No request could be made of it."""


class ResultLine(Struct, frozen=True, kw_only=True):
    """What became of one line."""

    line: int
    """From 1; blank lines do not count."""
    custom_id: str | None
    request_id: str
    status: LineStatus
    response: ChatResponse | None
    """The body that the same request to `POST /api/v1/chat` is answered with."""
    error: LineError | None
