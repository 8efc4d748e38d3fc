"""A usage stream: its records, their delivery as Lambda does it, and trouble at every call."""

import copy
import random
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from typing import Any, Final, TypeVar

import msgspec

from aggregate_costs.app import count_batch
from llm_router.accounting.rollups import counters, row_keys
from llm_router.accounting.usage import BatchKey, MonthKey, Rollup, RollupKey, RowKey, UsageEvent, UsageRecord
from llm_router.adapters.dynamodb import to_item
from llm_router.arms import SHADOW_ARM
from llm_router.classification import Complexity
from llm_router.errors import StoreError
from llm_router.jobs import utc_day
from llm_router.models import CacheTier, FeedbackVerdict, JobStatus, Source
from llm_router.ports import RollupStore
from tests.builders import make_usage
from tests.loading import load_event

T = TypeVar("T")

MAXIMUM_RETRIES: Final = 5
FIRST_DAY_MS: Final = 1_698_710_400_000
DAYS: Final = ("2023-10-31", "2023-11-01")
"""Of two months; the first begins at `FIRST_DAY_MS`."""
TENANTS: Final = ("default", "acme", "counted")


BATCHES: Final = ("batch_a", "batch_b", "batch_c")


class Death(BaseException):
    """The process ends here; nothing in it can do anything about that."""


class Trouble(StrEnum):
    """What goes wrong with a write."""

    REFUSED = "it fails"
    ANSWER_LOST = "it is written, and its answer is lost"
    DEATH_BEFORE = "the process dies before it"
    DEATH_AFTER = "the process dies after it"


class TroubledRollups:
    """A RollupStore whose writes meet the next trouble each, none when it is None or there are no more."""

    def __init__(self, store: RollupStore, troubles: Iterable[Trouble | None], poison: str | None = None) -> None:
        self.calls = 0
        self._store = store
        self._troubles = iter(troubles)
        self._poison = poison

    def add(self, events: Sequence[UsageEvent]) -> int:
        """Meet the next trouble; refuse a transaction with the poisoned model in it."""
        self.calls += 1
        models = {key.model for event in events for key in event.rows if isinstance(key, RollupKey)}
        if self._poison in models:
            raise StoreError("counting requests failed")
        return troubled(next(self._troubles, None), lambda: self._store.add(events), StoreError("the store failed"))

    def day(self, tenant: str, day: str) -> Sequence[Rollup]:
        """Return the rows of one tenant and day."""
        return self._store.day(tenant, day)

    def slots(self, tenant: str, day: str, first: str = "00:00", end: str = "24:00") -> Sequence[Rollup]:
        """Return the rows of some half hours of one tenant and day."""
        return self._store.slots(tenant, day, first, end)

    def month(self, month: str) -> Mapping[str, Mapping[str, int]]:
        """Return the rows of a month."""
        return self._store.month(month)

    def month_of(self, tenant: str, month: str) -> Mapping[str, int]:
        """Return the row of a month and tenant."""
        return self._store.month_of(tenant, month)

    def batch(self, batch_id: str) -> Mapping[str, int]:
        """Return the row of a batch."""
        return self._store.batch(batch_id)

    def replace(self, key: RowKey, counters: Mapping[str, int]) -> None:
        """Replace a row."""
        self._store.replace(key, counters)

    def adjust(self, key: RowKey, changes: Mapping[str, int]) -> None:
        """Add to a row."""
        self._store.adjust(key, changes)


def troubled(trouble: Trouble | None, write: Callable[[], T], error: Exception) -> T:
    """Make a write that meets some trouble."""
    if trouble is Trouble.DEATH_BEFORE:
        raise Death
    if trouble is Trouble.REFUSED:
        raise error
    written = write()
    if trouble is Trouble.DEATH_AFTER:
        raise Death
    if trouble is Trouble.ANSWER_LOST:
        raise error
    return written


def deliver(store: RollupStore, batch: Sequence[dict[str, Any]]) -> list[str]:
    """Deliver a batch as Lambda does; return the sequence numbers of the records that it gave up.

    It goes on at the first record that failed, the whole batch when the function died; a batch whose first record
    failed is halved, and a record alone is tried again a few times.
    """
    waiting = deque([(batch, 0)])
    given_up = []
    while waiting:
        records, retries = waiting.popleft()
        numbers = [record["dynamodb"]["SequenceNumber"] for record in records]
        try:
            failures = count_batch(store, records)["batchItemFailures"]
            failed = [failure["itemIdentifier"] for failure in failures]
        except Death:
            failed = numbers
        first = min((numbers.index(number) for number in failed), default=len(numbers))
        rest = records[first:]
        if first and rest:
            waiting.appendleft((rest, retries))
        elif len(rest) > 1:
            middle = len(rest) // 2
            waiting.extendleft([(rest[middle:], retries), (rest[:middle], retries)])
        elif rest and retries < MAXIMUM_RETRIES:
            waiting.appendleft((rest, retries + 1))
        elif rest:
            given_up.append(numbers[0])
    return given_up


def stream_records(usages: Iterable[UsageRecord]) -> list[dict[str, Any]]:
    """Return the stream's records of these insertions, one after another."""
    (sample,) = load_event("aggregate-costs")["Records"]
    inserted = []
    for number, usage in enumerate(usages):
        record = copy.deepcopy(sample)
        record["eventID"] = f"event-{usage.request_id}"
        record["dynamodb"]["SequenceNumber"] = str(1000 + number)
        record["dynamodb"]["Keys"] = {"request_id": {"S": usage.request_id}}
        record["dynamodb"]["NewImage"] = to_item(msgspec.to_builtins(usage) | {"expires_at": 1})
        inserted.append(record)
    return inserted


def generated_usage(count: int, seed: int) -> Iterator[UsageRecord]:
    """Make up usage of every kind: hits, joined requests, failures, fallbacks, shadows, feedback, lines of batches."""
    dice = random.Random(seed)
    for number in range(count):
        finished_at_ms = FIRST_DAY_MS + dice.randrange(len(DAYS) * 24 * 3_600_000)
        yield make_usage(
            f"req_{number}",
            tenant=dice.choice(TENANTS),
            day=utc_day(finished_at_ms),
            batch_id=BATCHES[number % 3] if number % 5 == 0 else None,
            finished_at_ms=finished_at_ms,
            status=dice.choice([JobStatus.SUCCEEDED, JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.CANCELLED]),
            source=dice.choice([Source.HTTP, Source.SQS, Source.INVOKE]),
            complexity=dice.choice(list(Complexity)),
            model=dice.choice(["ollama/tinyllama", "ollama/a#b", "openai/gpt-4o-mini"]),
            arm=dice.choice(["default", "default", "b", SHADOW_ARM]),
            tier=dice.choice([None, None, *CacheTier]),
            joined=dice.random() < 0.1,
            fallback=dice.random() < 0.1,
            refusal=dice.choice([None, "expired", "numbers_differ"]),
            verdict=dice.choice([None] * 8 + list(FeedbackVerdict)),
            input_tokens=dice.randrange(4000),
            output_tokens=dice.randrange(1000),
            busy_ms=dice.randrange(100_000),
            latency_ms=dice.randrange(300_000),
            actual_nano_usd=dice.randrange(10**8),
            baseline_nano_usd=dice.randrange(10**9),
        )


def direct_sum(usages: Iterable[UsageRecord]) -> dict[RowKey, dict[str, int]]:
    """Add every record up once in each of its rows, one after another, with nothing between."""
    rows: dict[RowKey, Counter[str]] = {}
    for usage in usages:
        for key in row_keys(usage):
            rows.setdefault(key, Counter()).update(counters(usage))
    return {key: dict(row) for key, row in rows.items()}


def stored(store: RollupStore) -> dict[RowKey, dict[str, int]]:
    """Return all rows of the generated tenants and days, of every kind."""
    rows: dict[RowKey, dict[str, int]] = {}
    for day in DAYS:
        for tenant in TENANTS:
            rows |= {row.key: dict(row.counters) for row in (*store.day(tenant, day), *store.slots(tenant, day))}
        rows |= {MonthKey(day[:7], tenant): dict(row) for tenant, row in store.month(day[:7]).items()}
    batches = {BatchKey(batch_id): dict(store.batch(batch_id)) for batch_id in BATCHES}
    return rows | {key: row for key, row in batches.items() if row}
