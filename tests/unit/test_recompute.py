"""Rebuilding a day from its records: what differs is named, and can be put right."""

from collections.abc import Callable, Mapping, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from llm_router.accounting.recompute import Difference, Recomputation, Recomputed
from llm_router.accounting.rollups import counters, rollup_key, row_keys, transactions, usage_event
from llm_router.accounting.settled_days import RECORDED_DAYS, SETTLED_AFTER_MS, is_settled, last_settled_day
from llm_router.accounting.usage import BatchKey, MonthKey, RowKey, UsageRecord
from llm_router.adapters.dynamodb_rollups import DEDUPE_TTL_SECONDS, SLOT_TTL_SECONDS
from llm_router.adapters.job_items import USAGE_TTL_SECONDS
from llm_router.errors import InvalidRequestError, StoreError
from llm_router.jobs import utc_day
from tests.builders import make_usage
from tests.fakes import FakeRollupStore, FakeUsageStore, SettableClock
from tests.usage_stream import DAYS, FIRST_DAY_MS, direct_sum, generated_usage

DAY, NEXT_DAY = DAYS
DAY_MS = 24 * 3_600_000
SETTLED_MS = FIRST_DAY_MS + DAY_MS + SETTLED_AFTER_MS
USAGE = tuple(generated_usage(300, seed=6))
ON_DAY = [usage for usage in USAGE if usage.day == DAY]


class FailingRollups(FakeRollupStore):
    """Fails after `writes` repairs of rows."""

    writes = 0
    is_counting = True

    def replace(self, key: RowKey, counters: Mapping[str, int]) -> None:
        """Replace a row, or fail."""
        self._write()
        super().replace(key, counters)

    def adjust(self, key: RowKey, changes: Mapping[str, int]) -> None:
        """Add to a row, or fail."""
        if not self.is_counting:
            self._write()
        super().adjust(key, changes)

    def _write(self) -> None:
        if self.writes == 0:
            raise StoreError("repairing a rollup failed")
        self.writes -= 1


class BusyRollups(FakeRollupStore):
    """Counts one of `waiting` requests each time that the row of a month has been read."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting: list[UsageRecord] = []

    def month_of(self, tenant: str, month: str) -> Mapping[str, int]:
        """Return the row as it was a moment ago."""
        row = super().month_of(tenant, month)
        if self.waiting and self.waiting[0].tenant == tenant:
            self.add([usage_event(self.waiting.pop(0))])
        return row


class Books:
    """Records of the last day of one month and the first of the next, and the rows they were counted in."""

    def __init__(
        self,
        recorded: Sequence[UsageRecord] = USAGE,
        *,
        now_ms: int = SETTLED_MS,
        rollups: FakeRollupStore | None = None,
    ) -> None:
        self.usage = FakeUsageStore(recorded)
        self.rollups = rollups or FakeRollupStore()
        self.clock = SettableClock(now_ms)
        self.count(recorded)

    def count(self, usages: Sequence[UsageRecord]) -> None:
        """Count records."""
        for part in transactions(map(usage_event, usages)):
            self.rollups.add(part)

    def recompute(self, day: str = DAY, *, repair: bool = False) -> Recomputed:
        """Compare a day."""
        return Recomputation(usage=self.usage, rollups=self.rollups, clock=self.clock).run(day, repair=repair)


def moved(usage: UsageRecord, days: int, at_ms: int | None = None) -> UsageRecord:
    """Return a record some days later than it was, or than a moment."""
    finished_at_ms = (usage.finished_at_ms if at_ms is None else at_ms) + days * DAY_MS
    return replace(usage, finished_at_ms=finished_at_ms, day=utc_day(finished_at_ms))


def compared(usages: Sequence[UsageRecord]) -> dict[RowKey, dict[str, int]]:
    """Return the rows that are compared: those of batches are not."""
    return {key: row for key, row in direct_sum(usages).items() if not isinstance(key, BatchKey)}


def test_equal() -> None:
    """What was counted live is what the records add up to, in every row of the day, its half hours and its month."""
    books = Books()
    done = books.recompute()

    assert len(compared(ON_DAY)) == done.rows > 200
    assert (True, 0, [], False) == (done.settled, done.differing_rows, done.differences, done.repaired)


@given(st.lists(st.sampled_from(USAGE), unique_by=lambda usage: usage.request_id, max_size=20))
def test_any_equal(usages: list[UsageRecord]) -> None:
    """Whatever was recorded, of whatever kind, nothing differs on either day."""
    books = Books(usages, now_ms=SETTLED_MS + 2 * DAY_MS)

    assert [0, 0] == [books.recompute(day).differing_rows for day in DAYS]


def test_lost_record() -> None:
    """A record that was never counted is missing in each of its rows, counter by counter."""
    books = Books()
    lost = make_usage("lost", tenant="newcomer", day=DAY, finished_at_ms=FIRST_DAY_MS)
    books.usage.records.append(lost)
    done = books.recompute()

    assert (3, False) == (done.differing_rows, done.repaired)
    assert [
        Difference(row, counter, 0, count)
        for row in sorted(row_keys(lost), key=str)
        for counter, count in sorted(counters(lost).items())
    ] == done.differences


def lose(books: Books) -> None:
    """A record is not counted."""
    books.usage.records.append(make_usage("lost", tenant="newcomer", day=DAY, finished_at_ms=FIRST_DAY_MS))


def count_twice(books: Books) -> None:
    """A record is counted under another name, too."""
    books.count([replace(ON_DAY[0], request_id="again", batch_id=None)])


def add_row(books: Books) -> None:
    """There is a row without records."""
    books.rollups.rows[replace(rollup_key(ON_DAY[0]), model="ollama/nobody")] = {"requests": 1}


def lose_row(books: Books) -> None:
    """A row is gone."""
    del books.rollups.rows[row_keys(ON_DAY[0])[1]]


def lose_counter(books: Books) -> None:
    """A counter of a row is gone."""
    del books.rollups.rows[rollup_key(ON_DAY[0])]["baseline_nano_usd"]


def miscount_month(books: Books) -> None:
    """A month has a nano-dollar too much."""
    books.rollups.rows[row_keys(ON_DAY[0])[2]]["actual_nano_usd"] += 1


TROUBLES = [lose, count_twice, add_row, lose_row, lose_counter, miscount_month]


@pytest.mark.parametrize("trouble", TROUBLES)
def test_repair(trouble: Callable[[Books], None]) -> None:
    """Whatever went wrong is found, and after a repair every row is the sum of the records; a second finds nothing."""
    books = Books()
    trouble(books)
    found, repaired = books.recompute(), books.recompute(repair=True)
    again = books.recompute(repair=True)

    assert 0 < found.differing_rows == found.drifted_rows
    assert replace(found, repaired=True) == repaired
    assert 0 == repaired.drifted_rows
    assert 0 == again.differing_rows
    assert direct_sum(books.usage.records) == books.rollups.rows


def test_half_a_repair() -> None:
    """A repair that fails at any write is made whole by the next."""
    for writes in range(3):
        store = FailingRollups()
        books = Books(rollups=store)
        lose(books)
        store.writes, store.is_counting = writes, False
        with pytest.raises(StoreError):
            books.recompute(repair=True)
        store.writes = 3
        books.recompute(repair=True)

        assert direct_sum(books.usage.records) == books.rollups.rows


def test_delivered_after_a_repair() -> None:
    """Records that were counted and come once more after a repair are not added to what was rebuilt."""
    books = Books()
    lose(books)
    books.recompute(repair=True)
    books.count(USAGE)

    assert direct_sum(books.usage.records) == books.rollups.rows


def test_month_that_is_not_over() -> None:
    """A month is right again as soon as a day is repaired, though it goes on."""
    books = Books(now_ms=SETTLED_MS + DAY_MS)
    on_day = [usage for usage in USAGE if usage.day == NEXT_DAY]
    books.count([replace(on_day[0], request_id="again", batch_id=None)])
    books.rollups.rows[MonthKey(NEXT_DAY[:7], on_day[-1].tenant)]["actual_nano_usd"] += 1
    books.usage.records.append(make_usage("lost", tenant="newcomer", day=NEXT_DAY, finished_at_ms=FIRST_DAY_MS))
    books.recompute(NEXT_DAY, repair=True)

    assert direct_sum(books.usage.records) == books.rollups.rows


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_month_that_is_added_to(count: int) -> None:
    """What is counted between two readings of a month is no difference, and is not lost in a repair."""
    rollups = BusyRollups()
    books = Books(rollups=rollups, now_ms=SETTLED_MS + DAY_MS)
    books.usage.records.append(make_usage("lost", tenant="acme", day=NEXT_DAY, finished_at_ms=FIRST_DAY_MS + DAY_MS))
    late = [moved(make_usage(f"late{number}", tenant="acme"), 3, FIRST_DAY_MS) for number in range(count)]
    books.usage.records += late
    rollups.waiting = list(late)
    done = books.recompute(NEXT_DAY, repair=True)

    assert [] == rollups.waiting
    assert 3 == done.differing_rows
    assert direct_sum(books.usage.records) == rollups.rows


def test_month_that_is_added_to_all_the_while() -> None:
    """A month that is never the same at two readings is left to the next repair."""
    rollups = BusyRollups()
    books = Books(rollups=rollups, now_ms=SETTLED_MS + DAY_MS)
    lost = make_usage("lost", tenant="acme", day=NEXT_DAY, finished_at_ms=FIRST_DAY_MS + DAY_MS)
    late = [moved(make_usage(f"late{number}", tenant="acme"), 3, FIRST_DAY_MS) for number in range(6)]
    books.usage.records += [lost, *late]
    rollups.waiting = list(late)
    before, after = books.recompute(NEXT_DAY, repair=True), books.recompute(NEXT_DAY, repair=True)

    assert (2, 1) == (before.differing_rows, after.differing_rows)
    assert direct_sum(books.usage.records) == rollups.rows


def test_day_that_is_not_settled() -> None:
    """Until 25 hours after its end a day is compared, which may show what is on its way, and is not repaired."""
    books = Books(now_ms=SETTLED_MS - 1)
    lose(books)
    rows = dict(books.rollups.rows)
    with pytest.raises(InvalidRequestError, match="may still be added to"):
        books.recompute(repair=True)
    done = books.recompute()

    assert (False, 2) == (done.settled, done.differing_rows)
    assert rows == books.rollups.rows


@pytest.mark.parametrize("day", ["2023-02-30", "2023-1-1", "20231031", "yesterday", "", "2023-11-03", "2022-10-03"])
def test_no_such_day(day: str) -> None:
    """A day that is none, has not begun, or whose first records may have expired, is refused."""
    with pytest.raises(InvalidRequestError) as refused:
        Books().recompute(day)

    assert "day" == refused.value.field


def test_lives() -> None:
    """Of a day that can be recomputed every record and row is there; requests are remembered until it is settled."""
    day_seconds = DAY_MS // 1000

    assert (RECORDED_DAYS + 1) * day_seconds <= USAGE_TTL_SECONDS
    assert (RECORDED_DAYS + 1) * day_seconds <= SLOT_TTL_SECONDS
    assert SETTLED_AFTER_MS // 1000 + day_seconds < DEDUPE_TTL_SECONDS


@given(st.integers(FIRST_DAY_MS, FIRST_DAY_MS + 400 * DAY_MS))
def test_last_settled_day(now_ms: int) -> None:
    """The day that is compared when none is named is settled, and the one after it is not."""
    day = last_settled_day(now_ms)

    assert (True, False) == (is_settled(day, now_ms), is_settled(day, now_ms - DAY_MS))


def test_much_differs() -> None:
    """All rows that differ are counted, and the first of their counters named."""
    books = Books()
    books.rollups.rows.clear()
    done = books.recompute()

    assert (len(compared(ON_DAY)), 200) == (done.differing_rows, len(done.differences))
