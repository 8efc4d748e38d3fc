"""Reports over the rollups, each made of one reading of the table."""

from msgspec import Struct

from analytics.breakdown import costs, daily
from analytics.figures import Baselines
from analytics.full_costs import LoadedReader
from analytics.queries import ReportQuery
from analytics.reading import Reader, Reading
from analytics.savings import savings
from analytics.summaries import cache_stats, summary
from llm_router.report_responses import (
    CacheStatsResponse,
    CostsResponse,
    DailyResponse,
    FullyLoaded,
    SummaryResponse,
)
from llm_router.savings_responses import SavingsReport


class Reports(Struct, frozen=True, kw_only=True):
    """Answers questions about requests; its methods raise InvalidRequestError when that is too much, or StoreError."""

    reader: Reader
    baselines: Baselines
    loaded: LoadedReader

    def summary(self, query: ReportQuery) -> SummaryResponse:
        """Return what the router did and what it was worth."""
        reading, loaded = self._loaded(query)
        return summary(query, reading.rows, self.baselines, loaded)

    def cache_stats(self, query: ReportQuery) -> CacheStatsResponse:
        """Return how the cache did."""
        return cache_stats(query, self.reader.period(query).rows)

    def costs(self, query: ReportQuery) -> CostsResponse:
        """Return what requests cost, by one of their properties."""
        reading, loaded = self._loaded(query)
        return costs(query, reading, self.baselines, loaded)

    def savings(self, query: ReportQuery) -> SavingsReport:
        """Return what was saved, day by day and in all, and where the figures are from."""
        readings = self.reader.days(query)
        whole = Reading(
            [row for reading in readings for row in reading.rows], sum(reading.items for reading in readings)
        )
        _, loaded = self.loaded.cost(query, whole, self.baselines)
        return savings(query, readings, self.baselines, loaded)

    def daily(self, query: ReportQuery) -> DailyResponse:
        """Return what happened day by day."""
        return daily(query, self.reader.days(query), self.baselines)

    def _loaded(self, query: ReportQuery) -> tuple[Reading, FullyLoaded]:
        return self.loaded.cost(query, self.reader.period(query), self.baselines)
