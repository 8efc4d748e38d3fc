"""The fully loaded cost of a period, beside what its requests cost by themselves."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Final

from msgspec import Struct

from analytics.figures import Baselines, Figures, known_usd
from analytics.periods import starts
from analytics.queries import ReportQuery
from analytics.reading import Reading
from llm_router.access.keys import ALL_TENANTS
from llm_router.accounting.box_hours import BoxHour
from llm_router.accounting.full_cost import FullCost, full_cost, share
from llm_router.accounting.platform_prices import PlatformPrices
from llm_router.accounting.rollups import total
from llm_router.accounting.usage import Rollup
from llm_router.ports import BoxHours, RollupStore
from llm_router.report_responses import FullyLoaded

DESCRIPTION: Final = (
    "actual_cost and net_savings are marginal: the seconds the box was busy, and what a cloud charged. This is fully "
    "loaded: beside them the box's idle hours, and Lambda, DynamoDB, the gateway and the queue at the list prices of "
    "the region, as metered and in part estimated. Not in it: logs, metrics, traces, storage, data transfer, reports."
)


class LoadedReader(Struct, frozen=True):
    """Reads what the fully loaded cost needs beside the counters; its methods may raise StoreError."""

    rollups: RollupStore
    hours: BoxHours
    prices: PlatformPrices

    def cost(self, query: ReportQuery, reading: Reading, baselines: Baselines) -> tuple[Reading, FullyLoaded]:
        """Return what was read of a period, with the items that its cost takes beside, and the cost."""
        moments = starts(query.first_day, query.last_day, query.zone)
        first, end = moments[0], moments[-1]
        found = self.hours.days(first.date().isoformat(), (end - timedelta(hours=1)).date().isoformat())
        months = self._months(query, found)
        cost = full_cost(
            _by_day(reading.rows),
            [hour.between(first, end) for hour in found],
            self.prices,
            None if months is None else {month: share(query.tenant, rows) for month, rows in months.items()},
        )
        items = reading.items + len(found) + sum(map(len, (months or {}).values()))
        return Reading(reading.rows, items), self._shown(cost, Figures.of(reading.rows), baselines)

    def _months(
        self, query: ReportQuery, hours: Iterable[BoxHour]
    ) -> Mapping[str, Mapping[str, Mapping[str, int]]] | None:
        """Return what tells a tenant's share of the box, by month; None where all of it is asked for."""
        if query.tenant == ALL_TENANTS:
            return None
        return {month: self.rollups.month(month) for month in {hour.day[:7] for hour in hours}}

    def _shown(self, cost: FullCost, figures: Figures, baselines: Baselines) -> FullyLoaded:
        baseline_nano_usd = baselines.cost_nano_usd(baselines.model, figures.tokens)
        total_nano_usd, saved_nano_usd = cost.total_nano_usd, None
        if baseline_nano_usd is not None and total_nano_usd is not None:
            saved_nano_usd = baseline_nano_usd - total_nano_usd
        return FullyLoaded(
            description=DESCRIPTION,
            region=self.prices.region,
            marginal_nano_usd=cost.marginal_nano_usd,
            box_idle_nano_usd=cost.box_idle_nano_usd,
            lambda_nano_usd=cost.lambda_nano_usd,
            dynamodb_nano_usd=cost.dynamodb_nano_usd,
            gateway_nano_usd=cost.gateway_nano_usd,
            queue_nano_usd=cost.queue_nano_usd,
            total_nano_usd=total_nano_usd,
            total_cost=known_usd(total_nano_usd),
            nano_usd_per_request=cost.nano_usd_per_request,
            net_savings=known_usd(saved_nano_usd),
            net_savings_nano_usd=saved_nano_usd,
            observed_hours=cost.observed_hours,
            billed_hours=cost.billed_hours,
        )


def _by_day(rows: Iterable[Rollup]) -> Mapping[str, Mapping[str, int]]:
    days: dict[str, list[Mapping[str, int]]] = defaultdict(list)
    for row in rows:
        days[row.key.day].append(row.counters)
    return {day: total(counters) for day, counters in days.items()}
