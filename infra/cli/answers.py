"""What the command reads of the router's answers; fields it does not show are left alone."""

from collections.abc import Mapping
from typing import Final, Generic, TypeVar

from msgspec import Struct

from infra.cli.errors import Detail

_ENDED: Final = frozenset({"succeeded", "failed", "cancelled"})
_FINAL: Final = frozenset({"completed", "cancelled", "failed"})
T = TypeVar("T")


class Reply(Struct, Generic[T], frozen=True):
    """An answer, and the bytes it came in, for those who want all of it."""

    shown: T
    raw: bytes
    retry_after_seconds: float | None = None


class Request(Struct, frozen=True, kw_only=True):
    """A prompt's answer, or where the request stands."""

    request_id: str
    status: str
    response: str | None = None
    model_used: str = ""
    complexity: str = ""
    cache_tier: str | None = None
    actual_cost: float = 0.0
    baseline_cost: float = 0.0
    truncated: bool = False
    position: int | None = None
    estimated_ms: int | None = None
    error: Detail | None = None

    @property
    def has_ended(self) -> bool:
        """Whether there is nothing to wait for."""
        return self.response is not None or self.error is not None or self.status in _ENDED


class BatchState(Struct, frozen=True, kw_only=True):
    """A batch and the counts of its lines."""

    batch_id: str
    status: str
    created_at: str
    input_error: str | None
    lines: int
    invalid: int
    pending: int
    succeeded: int
    failed: int
    cancelled: int
    hits: int
    estimated_ms: int | None
    actual_nano_usd: int
    baseline_nano_usd: int

    @property
    def is_final(self) -> bool:
        """Whether nothing more will come of it."""
        return self.status in _FINAL

    @property
    def is_all_answered(self) -> bool:
        """Whether every line has its answer."""
        return self.status == "completed" and self.succeeded == self.lines


class BadLine(Struct, frozen=True):
    """A line that cannot be asked."""

    line: int
    error: Detail
    custom_id: str | None = None


class TakenIn(BatchState, frozen=True, kw_only=True):
    """A batch that was handed over."""

    errors: tuple[BadLine, ...]


class ResultHead(Struct, frozen=True):
    """Which line a result is of, and whether it has an answer."""

    line: int
    request_id: str
    status: str


class ResultsPage(Struct, frozen=True):
    """Results of consecutive lines."""

    body: bytes
    """JSON Lines, whole ones; empty when the next line is not finished."""
    is_last: bool
    """Whether no line follows."""


class FullyLoaded(Struct, frozen=True):
    """What a period cost in all."""

    total_nano_usd: int | None


class Summary(Struct, frozen=True, kw_only=True):
    """The figures of a period."""

    period: Mapping[str, str]
    tenant: str
    total_requests: int
    failed_requests: int
    cache_hits: int
    cache_hit_rate: float
    input_tokens: int
    output_tokens: int
    actual_nano_usd: int
    baseline_model: str
    baseline_nano_usd: int | None
    net_savings_nano_usd: int | None
    latency_p50_ms: int | None
    latency_p95_ms: int | None
    fully_loaded: FullyLoaded


class CostRow(Struct, frozen=True, kw_only=True):
    """What the requests with something in common used and cost."""

    name: str
    requests: int
    cache_hits: int
    input_tokens: int
    output_tokens: int
    actual_nano_usd: int
    baseline_nano_usd: int | None
    net_savings_nano_usd: int | None


class Costs(Struct, frozen=True, kw_only=True):
    """The costs of a period by model."""

    rows: tuple[CostRow, ...]
    totals: CostRow


class Key(Struct, frozen=True, kw_only=True):
    """An API key."""

    key_id: str
    status: str
    hint: str
    tenant: str
    role: str
    labels: Mapping[str, str]
    created_at_ms: int
    expires_at_ms: int | None
    former_until_ms: int | None = None


class NewSecret(Key, frozen=True, kw_only=True):
    """A key with its secret."""

    secret: str


class Keys(Struct, frozen=True):
    """A page of the keys."""

    keys: tuple[Key, ...]
    next_after: str | None = None
    """What the page that follows comes after; None for the last."""
