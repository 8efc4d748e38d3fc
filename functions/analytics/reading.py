"""Reads the counters of a period: whole UTC days from the rows of days, what is left of others from half hours."""

from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

from msgspec import Struct
from msgspec.structs import replace

from analytics.periods import Part, is_midnight, parts, starts
from analytics.queries import ReportQuery
from llm_router.access.keys import ALL_TENANTS
from llm_router.accounting.usage import Rollup, RollupKey
from llm_router.errors import InvalidRequestError
from llm_router.ports import Clock, RollupStore

MAX_TENANTS: Final = 200
MAX_PARTITIONS: Final = 200 * 31
"""Days of all tenants of a report; so many are read in well less time than a caller waits."""
MAX_SHIFTED_DAYS: Final = 92
"""Days that are not UTC's and are shown one by one."""
_READERS: Final = 8


class Reading(NamedTuple):
    """Rows of a time, and how many items of the table were read for them."""

    rows: Sequence[Rollup]
    items: int


class Reader(Struct, frozen=True):
    """Reads what a query asks for. Its methods raise InvalidRequestError when that is too much, or StoreError."""

    rollups: RollupStore
    clock: Clock

    def period(self, query: ReportQuery) -> Reading:
        """Return all rows of the period."""
        moments = starts(query.first_day, query.last_day, query.zone)
        (reading,) = self._read(query.tenant, [parts(moments[0], moments[-1])])
        return reading

    def days(self, query: ReportQuery) -> list[Reading]:
        """Return the rows of each day of the period, the oldest first."""
        moments = starts(query.first_day, query.last_day, query.zone)
        if len(moments) > MAX_SHIFTED_DAYS + 1 and not all(map(is_midnight, moments)):
            raise InvalidRequestError(f"must be UTC when more than {MAX_SHIFTED_DAYS} days are shown", field="tz")
        return self._read(query.tenant, [parts(*moments[number : number + 2]) for number in range(len(moments) - 1)])

    def _read(self, tenant: str, spans: Sequence[Sequence[Part]]) -> list[Reading]:
        listed, tenants = self._tenants(tenant, {part.day[:7] for span in spans for part in span})
        asked = [
            (number, name, part) for number, span in enumerate(spans) for part in span for name in tenants[part.day[:7]]
        ]
        if len(asked) > MAX_PARTITIONS:
            raise InvalidRequestError(
                f"has {len(asked):,} days of tenants in this period, and {MAX_PARTITIONS:,} can be read; name one",
                field="tenant",
            )
        rows: list[list[Rollup]] = [[] for _ in spans]
        items = [0 for _ in spans]
        items[0] = listed
        # A day is a partition of its own; a year of them one after the other would take longer than a caller waits.
        with ThreadPoolExecutor(_READERS) as readers:
            for (number, *_), reading in zip(asked, readers.map(self._part, asked), strict=True):
                rows[number] += reading.rows
                items[number] += reading.items
        return [Reading(*each) for each in zip(rows, items, strict=True)]

    def _tenants(self, tenant: str, months: Iterable[str]) -> tuple[int, dict[str, Sequence[str]]]:
        """Return how many items name the tenants, and the tenants by month."""
        if tenant != ALL_TENANTS:
            return 0, dict.fromkeys(months, (tenant,))
        by_month = {month: sorted(self.rollups.month(month)) for month in months}
        if len({name for names in by_month.values() for name in names}) > MAX_TENANTS:
            raise InvalidRequestError(f"are more than {MAX_TENANTS} in this period; name one", field="tenant")
        return sum(map(len, by_month.values())), dict(by_month)

    def _part(self, asked: tuple[int, str, Part]) -> Reading:
        _, tenant, part = asked
        if part.is_whole:
            rows = self.rollups.day(tenant, part.day)
            return Reading(rows, len(rows))
        if not part.is_most or part.day >= self._unsettled():
            rows = self.rollups.slots(tenant, part.day, part.first, part.end)
            return Reading(rows, len(rows))
        whole = self.rollups.day(tenant, part.day)
        rest = [row for each in part.rest for row in self.rollups.slots(tenant, each.day, each.first, each.end)]
        return Reading(_without(whole, rest), len(whole) + len(rest))

    def _unsettled(self) -> str:
        """Return the first day to which requests may be added between one read and the next."""
        return (datetime.fromtimestamp(self.clock() / 1000, tz=UTC) - timedelta(days=1)).date().isoformat()


def _without(whole: Iterable[Rollup], rest: Iterable[Rollup]) -> list[Rollup]:
    """Take what some half hours of a day counted from the day's rows."""
    left: dict[RollupKey, Counter[str]] = {row.key: Counter(row.counters) for row in whole}
    for row in rest:
        left.setdefault(replace(row.key, slot=""), Counter()).subtract(row.counters)
    return [Rollup(key, {name: count for name, count in counts.items() if count}) for key, counts in left.items()]
