"""What a finished request used, and the counters that such records are added to."""

from collections.abc import Mapping

from msgspec import Struct

from llm_router.access.limits import Reservation
from llm_router.accounting.quantities import Quantities
from llm_router.arms import DEFAULT_ARM
from llm_router.classification.complexity import Complexity
from llm_router.models import CacheTier, FeedbackVerdict, JobStatus, Source


class UsageRecord(Quantities, frozen=True, kw_only=True, omit_defaults=False):
    """What one finished request used, or what its caller said of it: no prompt and no answer in it. Append-only."""

    request_id: str
    tenant: str
    day: str
    """UTC day the request finished, `YYYY-MM-DD`."""
    finished_at_ms: int
    status: JobStatus
    source: Source
    complexity: Complexity
    model: str
    arm: str = DEFAULT_ARM
    tier: CacheTier | None = None
    joined: bool = False
    """Whether the answer was generated for an equal request that came first."""
    fallback: bool = False
    """Whether another model than the one the question was meant for answered."""
    tokens_estimated: bool = False
    """Whether the cloud did not tell the tokens, and they were estimated from the length of the texts."""
    refusal: str | None = None
    """Why the nearest stored answer was not served."""
    batch_id: str | None = None
    verdict: FeedbackVerdict | None = None
    """Present in the second record of a request, which counts what was said of the answer and nothing else."""
    input_tokens: int = 0
    output_tokens: int = 0
    cached_input_tokens: int = 0
    """How many of the input tokens the cloud billed at its price for what it still knew from before."""
    busy_ms: int = 0
    latency_ms: int = 0
    actual_nano_usd: int = 0
    baseline_nano_usd: int = 0
    reservation: Reservation | None = None
    """What it held of a key's budget, which it is charged to; None where there is no budget."""


class RollupKey(Struct, frozen=True, order=True):
    """What the row of a day, or of half an hour of it, is about."""

    tenant: str
    day: str
    model: str
    complexity: str
    arm: str
    source: str
    slot: str = ""
    """Start of the half hour, `HH:MM` in UTC; empty in the row of the whole day."""


class MonthKey(Struct, frozen=True, order=True):
    """What the row of a month is about."""

    month: str
    """UTC month, `YYYY-MM`."""
    tenant: str


class BatchKey(Struct, frozen=True, order=True):
    """What the row of a batch is about."""

    batch_id: str


class BudgetKey(Struct, frozen=True, order=True):
    """What the balance of a budget is about."""

    month: str
    key_id: str


RowKey = RollupKey | MonthKey | BatchKey
"""What one row of counters is about, of whatever kind."""
AnyKey = RowKey | BudgetKey
"""The same, or a balance, which is kept elsewhere."""


class UsageEvent(Struct, frozen=True):
    """What one usage record adds to each of its rows."""

    request_id: str
    """The record's own: the usage table takes it once, so it is the same however the record gets to be counted."""
    rows: tuple[RowKey, ...]
    """One of each kind, always in the same order; last that of its batch, if it is of one."""
    counters: Mapping[str, int]
    budget: BudgetKey | None = None
    """The balance that it changes, if it does."""
    charges: Mapping[str, int] = {}
    """What it adds to that."""

    @property
    def written(self) -> tuple[AnyKey, ...]:
        """All that it is added to."""
        return self.rows if self.budget is None else (*self.rows, self.budget)


class Rollup(Struct, frozen=True):
    """The counters of a day, or of half an hour of it."""

    key: RollupKey
    counters: Mapping[str, int]
