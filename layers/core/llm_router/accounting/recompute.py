"""Rebuilds the counters of a day from its usage records, and compares them with those that were added up live."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from msgspec import Struct

from llm_router.accounting.rollups import by_row, total, usage_event
from llm_router.accounting.settled_days import check_recorded, days_of_month, is_settled
from llm_router.accounting.usage import AnyKey, MonthKey, RollupKey, RowKey, UsageRecord
from llm_router.errors import InvalidRequestError
from llm_router.ports import Clock, RollupStore, UsageStore

_SHOWN: Final = 200
_MONTH_READINGS: Final = 3
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
    """How many rows were compared, of the day, its half hours, and its month once the day is settled."""
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
    """Must read what was written last: months are compared with days that may just have been added to."""
    clock: Clock

    def run(self, day: str, *, repair: bool = False) -> Recomputed:
        """Compare the rows of a UTC day with its records, and those of its month with its days once it is settled.

        Rows of tenants that have neither a record that day nor a row in its month are not found. A month is the sum of
        this day's records and of the rows of its other days as they are; that of a tenant for whom requests are being
        counted all the while is passed over. Rows of batches are left as they are.

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
        check_recorded(day, now_ms)
        settled = is_settled(day, now_ms)
        if repair and not settled:
            raise InvalidRequestError("may still be added to; can be repaired 25 hours after its end", field="day")
        live, rebuilt = self._rows(day, with_month=settled)
        found = differences(live, rebuilt)
        differing = dict.fromkeys(difference.row for difference in found)
        if repair:
            for key in differing:
                self._repair(key, live.get(key, {}), rebuilt.get(key, {}))
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
        for key in (MonthKey(month, tenant) for tenant in tenants if with_month):
            if (compared := self._month(key, day, of_records.get(key, {}))) is not None:
                live[key], rebuilt[key] = compared
        return live, rebuilt

    def _month(self, key: MonthKey, day: str, of_day: _Counters) -> tuple[_Counters, _Counters] | None:
        """Return the row of a month as it is and as it should be, None when it is added to at every reading.

        Whatever is counted is added to day and month at once: where the month is the same before and after, so are all
        of its days.
        """
        others = [other for other in days_of_month(day) if other != day]
        for _ in range(_MONTH_READINGS):
            before = self.rollups.month_of(key.tenant, key.month)
            of_others = [row.counters for other in others for row in self.rollups.day(key.tenant, other)]
            if before == self.rollups.month_of(key.tenant, key.month):
                return before, total([of_day, *of_others])
        return None

    def _repair(self, key: RowKey, live: _Counters, rebuilt: _Counters) -> None:
        if isinstance(key, MonthKey):
            self.rollups.adjust(key, {each.counter: each.rebuilt - each.live for each in _of_row(key, live, rebuilt)})
        else:
            self.rollups.replace(key, rebuilt)


def rebuild(records: Iterable[UsageRecord]) -> dict[AnyKey, Counter[str]]:
    """Add the records of a day up in all their rows, of which those of a month have the day's share.

    In memory are the rows, not the records.
    """
    return by_row(map(usage_event, records))


def differences(live: Mapping[RowKey, _Counters], rebuilt: Mapping[RowKey, _Counters]) -> list[Difference]:
    """Return every counter that differs, row by row; one that is missing is 0."""
    keys = sorted(live.keys() | rebuilt.keys(), key=str)
    return [each for key in keys for each in _of_row(key, live.get(key, {}), rebuilt.get(key, {}))]


def _of_row(key: RowKey, live: _Counters, rebuilt: _Counters) -> Iterator[Difference]:
    for name in sorted(live.keys() | rebuilt.keys()):
        if live.get(name, 0) != rebuilt.get(name, 0):
            yield Difference(key, name, live.get(name, 0), rebuilt.get(name, 0))
