"""Turns usage records into counters, and counters into reports; integers all the way."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial
from operator import attrgetter
from typing import Final

from msgspec.structs import replace

from llm_router.accounting import latencies
from llm_router.accounting.quantities import QUANTITIES
from llm_router.accounting.usage import (
    AnyKey,
    BatchKey,
    BudgetKey,
    MonthKey,
    Rollup,
    RollupKey,
    RowKey,
    UsageEvent,
    UsageRecord,
)
from llm_router.arms import SHADOW_ARM
from llm_router.models import JobStatus
from llm_router.ports import TRANSACTION_ACTIONS, RollupStore

REFUSED: Final = "refused_"
"""Begins the names of the counters of refused candidates; the reason follows."""
_READERS: Final = 8
_MINUTE_MS: Final = 60_000
_SLOT_MINUTES: Final = 30
"""The offsets of time zones are multiples of it, but for those of Kathmandu, Eucla and the Chatham Islands."""


def rollup_key(record: UsageRecord) -> RollupKey:
    """Return the row of its day that a record is counted in."""
    return RollupKey(
        tenant=record.tenant,
        day=record.day,
        model=record.model,
        complexity=record.complexity,
        arm=record.arm,
        source=record.source,
    )


def counters(record: UsageRecord) -> dict[str, int]:
    """Return what a record adds to its row; zeros are left out."""
    if record.verdict is not None:
        return {f"{record.verdict}_{record.tier or 'generated'}_reports": 1}
    if record.arm == SHADOW_ARM:
        return _without_zeros(_of_shadow(record) | _quantities(record))
    added = {
        "requests": 1,
        f"{record.status}_requests": 1,
        "input_tokens": record.input_tokens,
        "output_tokens": record.output_tokens,
        "busy_ms": record.busy_ms,
        "latency_ms": record.latency_ms,
        "actual_nano_usd": record.actual_nano_usd,
        "baseline_nano_usd": record.baseline_nano_usd,
        latencies.bucket(record.latency_ms): 1,
    }
    if record.status is JobStatus.SUCCEEDED:
        added[_origin(record)] = 1
        added["fallback_requests"] = int(record.fallback)
        added["estimated_token_requests"] = int(record.tokens_estimated)
    if record.tier is not None:
        added["hit_baseline_nano_usd"] = record.baseline_nano_usd
    elif record.refusal is not None:
        added[f"{REFUSED}{record.refusal}"] = 1
    return _without_zeros(added | _quantities(record))


def row_keys(record: UsageRecord) -> tuple[RowKey, ...]:
    """Return every row that a record is counted in: of its day, its half hour, its tenant's month, and its batch."""
    day = rollup_key(record)
    batch = (BatchKey(record.batch_id),) if record.batch_id else ()
    return day, replace(day, slot=slot_of(record.finished_at_ms)), MonthKey(record.day[:7], record.tenant), *batch


def slot_of(epoch_ms: int) -> str:
    """Return the start of the half hour of UTC that a moment is in, `HH:MM`."""
    hour, minute = divmod(epoch_ms // _MINUTE_MS % (24 * 60), 60)
    return f"{hour:02}:{minute - minute % _SLOT_MINUTES:02}"


def usage_event(record: UsageRecord) -> UsageEvent:
    """Return what a record adds to its rows."""
    rows, held = row_keys(record), record.reservation
    if held is None:
        return UsageEvent(record.request_id, rows, counters(record))
    spent = record.actual_nano_usd
    charges = {"committed_nano_usd": spent - held.nano_usd, "spent_nano_usd": spent}
    return UsageEvent(record.request_id, rows, counters(record), BudgetKey(held.month, held.key_id), charges)


def by_row(events: Iterable[UsageEvent]) -> dict[AnyKey, Counter[str]]:
    """Add events up, row by row."""
    rows: dict[AnyKey, Counter[str]] = defaultdict(Counter)
    for event in events:
        for key in event.rows:
            rows[key].update(event.counters)
        if event.budget is not None:
            rows[event.budget].update(event.charges)
    return dict(rows)


def transactions(events: Iterable[UsageEvent]) -> Iterator[Sequence[UsageEvent]]:
    """Sort events by their rows and cut them so that each part and its rows fit into one transaction; each comes once.

    An event costs a write of its own, which remembers it; the write of a row is shared by all its events of one part.
    Events of one tenant, half hour, model, complexity, arm and source share all rows but those of batches: 97 of them
    and three rows are one transaction. At worst no two events share any of their four rows or their balance, and 16 of
    them are one.
    """
    part: list[UsageEvent] = []
    rows: set[AnyKey] = set()
    for event in sorted({event.request_id: event for event in events}.values(), key=attrgetter("rows")):
        grown = rows.union(event.written)
        if len(part) + 1 + len(grown) > TRANSACTION_ACTIONS:
            yield part
            part, grown = [], set(event.written)
        part.append(event)
        rows = grown
    if part:
        yield part


def total(rows: Iterable[Mapping[str, int]]) -> Counter[str]:
    """Add rows of counters up."""
    sums: Counter[str] = Counter()
    for row in rows:
        sums.update(row)
    return sums


def recent(store: RollupStore, tenant: str, days: int, now_ms: int) -> tuple[Sequence[str], Sequence[Rollup]]:
    """Return the last `days` UTC days, today included, oldest first, and all rows of the tenant in them."""
    today = datetime.fromtimestamp(now_ms / 1000, tz=UTC).date()
    names = [(today - timedelta(days=back)).isoformat() for back in reversed(range(days))]
    # A day is a partition of its own; a year of them one after the other would take longer than a caller waits.
    with ThreadPoolExecutor(_READERS) as readers:
        days_of_rows = readers.map(partial(store.day, tenant), names)
        return names, [row for rows in days_of_rows for row in rows]


def _of_shadow(record: UsageRecord) -> dict[str, int]:
    """Return what a shadow adds: the box's time and its price like any other, and no request of anybody's."""
    return {
        "busy_ms": record.busy_ms,
        "actual_nano_usd": record.actual_nano_usd,
        "shadow_nano_usd": record.actual_nano_usd,
        "shadow_requests": 1,
        f"shadow_{record.status}_requests": 1,
        "shadow_input_tokens": record.input_tokens,
        "shadow_output_tokens": record.output_tokens,
    }


def _quantities(record: UsageRecord) -> dict[str, int]:
    return {name: getattr(record, name) for name in QUANTITIES}


def _without_zeros(counted: Mapping[str, int]) -> dict[str, int]:
    return {name: count for name, count in counted.items() if count}


def _origin(record: UsageRecord) -> str:
    if record.tier is not None:
        return f"{record.tier}_hits"
    return "joined_requests" if record.joined else "generated_requests"
