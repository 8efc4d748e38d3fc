"""Rebuilds the counters of a day from its usage records, and compares them with those that were added up live."""

from calendar import monthrange
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

from msgspec import Struct

from llm_router.errors import InvalidRequestError
from llm_router.jobs import utc_day
from llm_router.ports import Clock, RollupStore, UsageStore
from llm_router.prices import is_day
from llm_router.rollups import by_row, total, usage_event
from llm_router.usage import MonthKey, RollupKey, RowKey, UsageRecord

_HOUR_MS: Final = 3_600_000
_DAY_MS: Final = 24 * _HOUR_MS
SETTLED_AFTER_MS: Final = 25 * _HOUR_MS
"""How long after its end a day may be added to: the stream keeps a record for a day, which an hour more is for writing
after it was finished, for the index, and for the aggregator that has just read it."""
RECORDED_DAYS: Final = 394
"""Of how many days before today every record is still there."""
_SHOWN: Final = 200
_Counters = Mapping[str, int]


class Difference(Struct, frozen=True):
    """A counter that is not what the records add up to."""

    row: RowKey
    counter: str
    live: int
    rebuilt: int


class Recomputed(Struct, frozen=True, kw_only=True):
    """What a comparison found."""

    day: str
    settled: bool
    """Whether nothing is added to the day any more; before that, a difference may be a record that is on its way."""
    rows: int
    """How many rows were compared, of the day, its half hours, and its month once that is over."""
    differing_rows: int
    differences: Sequence[Difference]
    """The first 200."""
    repaired: bool

    @property
    def drifted_rows(self) -> int:
        """How many rows are still wrong."""
        return 0 if self.repaired else self.differing_rows


class Recomputation(Struct, frozen=True, kw_only=True):
    """Compares rollups with the records they come from, and puts them right."""

    usage: UsageStore
    rollups: RollupStore
    """Must read what was written last: months are compared with days that may just have been repaired."""
    clock: Clock

    def run(self, day: str, *, repair: bool = False) -> Recomputed:
        """Compare the rows of a UTC day with its records, and those of its month with its days once it is over.

        Rows of tenants that have neither a record that day nor a row in its month are not found. A month is the sum of
        this day's records and of the rows of its other days as they are. Rows of batches are left as they are.

        Args:
            day: `YYYY-MM-DD`.
            repair: Whether to write what was rebuilt in place of what differs, and remove what should not be there.
                Nothing is counted twice: of a settled day the stream has no record any more that was not counted, and
                of those that were counted the table remembers the requests for longer than the stream keeps them.

        Raises:
            InvalidRequestError: no such day, its records may have expired, or it is to be repaired and not settled.
            StoreError: a store failed; a repair may be repeated.
        """
        now_ms = self.clock()
        _check(day, now_ms)
        settled = is_settled(day, now_ms)
        if repair and not settled:
            raise InvalidRequestError("may still be added to; can be repaired 25 hours after its end", field="day")
        live, rebuilt = self._rows(day, with_month=is_settled(_days_of_month(day)[-1], now_ms))
        found = differences(live, rebuilt)
        differing = dict.fromkeys(difference.row for difference in found)
        if repair:
            for key in differing:
                self.rollups.replace(key, rebuilt.get(key, {}))
        return Recomputed(
            day=day,
            settled=settled,
            rows=len(live.keys() | rebuilt.keys()),
            differing_rows=len(differing),
            differences=found[:_SHOWN],
            repaired=repair,
        )

    def _rows(self, day: str, *, with_month: bool) -> tuple[dict[RowKey, _Counters], dict[RowKey, _Counters]]:
        """Return the rows of a day, and of its month where that is wished, as they are and as they should be."""
        month, of_month, of_records = day[:7], self.rollups.month(day[:7]), rebuild(self.usage.day(day))
        rebuilt: dict[RowKey, _Counters] = {key: row for key, row in of_records.items() if isinstance(key, RollupKey)}
        tenants = of_month.keys() | {key.tenant for key in of_records if isinstance(key, MonthKey)}
        of_day = ((*self.rollups.day(tenant, day), *self.rollups.slots(tenant, day)) for tenant in tenants)
        live: dict[RowKey, _Counters] = {row.key: row.counters for rows in of_day for row in rows}
        if with_month:
            live |= {MonthKey(month, tenant): row for tenant, row in of_month.items()}
            rebuilt |= {key: self._month(key, day, of_records) for key in (MonthKey(month, each) for each in tenants)}
        return live, rebuilt

    def _month(self, key: MonthKey, day: str, of_records: Mapping[RowKey, _Counters]) -> _Counters:
        others = (self.rollups.day(key.tenant, other) for other in _days_of_month(day) if other != day)
        return total([of_records.get(key, {}), *(row.counters for rows in others for row in rows)])


def rebuild(records: Iterable[UsageRecord]) -> dict[RowKey, Counter[str]]:
    """Add the records of a day up in all their rows, of which those of a month have the day's share.

    In memory are the rows, not the records.
    """
    return by_row(map(usage_event, records))


def differences(live: Mapping[RowKey, _Counters], rebuilt: Mapping[RowKey, _Counters]) -> list[Difference]:
    """Return every counter that differs, row by row; one that is missing is 0."""
    compared = ((key, live.get(key, {}), rebuilt.get(key, {})) for key in sorted(live.keys() | rebuilt.keys(), key=str))
    return [
        Difference(key, name, found.get(name, 0), expected.get(name, 0))
        for key, found, expected in compared
        for name in sorted(found.keys() | expected.keys())
        if found.get(name, 0) != expected.get(name, 0)
    ]


def is_settled(day: str, now_ms: int) -> bool:
    """Whether a UTC day has been over for so long that no record of it is on its way to be counted."""
    return _start_ms(day) + _DAY_MS + SETTLED_AFTER_MS <= now_ms


def last_settled_day(now_ms: int) -> str:
    """Return the last UTC day that is settled: the day before yesterday, and one more in the first hour of a day."""
    return utc_day(now_ms - _DAY_MS - SETTLED_AFTER_MS)


def _check(day: str, now_ms: int) -> None:
    if not is_day(day):
        raise InvalidRequestError("must be a date, YYYY-MM-DD", field="day")
    start_ms = _start_ms(day)
    if start_ms > now_ms:
        raise InvalidRequestError("must not be in the future", field="day")
    if start_ms < now_ms - RECORDED_DAYS * _DAY_MS:
        raise InvalidRequestError(f"must not be more than {RECORDED_DAYS} days ago", field="day")


def _start_ms(day: str) -> int:
    return int(datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp()) * 1000


def _days_of_month(day: str) -> list[str]:
    year, month = map(int, day.split("-")[:2])
    return [f"{day[:7]}-{number:02}" for number in range(1, monthrange(year, month)[1] + 1)]
