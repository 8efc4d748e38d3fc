"""Reports over the rollups: sums of integers, turned into dollars and percentages only for showing."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from msgspec import Struct

from llm_router.costs import REPORTED_BASELINES, price_book, usd
from llm_router.errors import InvalidRequestError
from llm_router.ports import Clock, Rollup, RollupStore
from llm_router.responses import CacheStatsResponse, Period, SummaryResponse
from llm_router.rollups import total

MAX_DAYS: Final = 366
DEFAULT_DAYS: Final = 30


def parse_days(text: str | None) -> int:
    """Return the `days` parameter of a query.

    Raises:
        InvalidRequestError: it is not a whole number from 1 to MAX_DAYS.
    """
    if text is None:
        return DEFAULT_DAYS
    # isdecimal accepts digits of other scripts, and so does int; both agree, so nothing slips through.
    if not (text.isdecimal() and 1 <= int(text[:9]) <= MAX_DAYS):
        raise InvalidRequestError(f"must be a whole number from 1 to {MAX_DAYS}", field="days")
    return int(text)


class Reports(Struct, frozen=True, kw_only=True):
    """Answers questions about one tenant's requests."""

    rollups: RollupStore
    baseline_model: str
    clock: Clock

    def summary(self, tenant: str, days: int) -> SummaryResponse:
        """Return what the router did in the last `days` UTC days, today included."""
        period, rows = self._rows(tenant, days)
        sums = total(row.counters for row in rows)
        saved_nano_usd = sums["baseline_nano_usd"] - sums["actual_nano_usd"]
        hits = sums["exact_hits"] + sums["semantic_hits"]
        requests = sums["requests"]
        return SummaryResponse(
            period=period,
            total_requests=requests,
            failed_requests=sums["failed_requests"],
            cache_hits=hits,
            cache_hit_rate=_percent(hits, requests) or 0.0,
            input_tokens=sums["input_tokens"],
            output_tokens=sums["output_tokens"],
            actual_cost=usd(sums["actual_nano_usd"]),
            actual_nano_usd=sums["actual_nano_usd"],
            baseline_model=self.baseline_model,
            baseline_cost=usd(sums["baseline_nano_usd"]),
            baseline_nano_usd=sums["baseline_nano_usd"],
            total_savings=usd(saved_nano_usd),
            savings_percentage=_percent(saved_nano_usd, sums["baseline_nano_usd"]),
            baselines=self._baselines(sums["input_tokens"], sums["output_tokens"]),
            avg_latency_ms=round(sums["latency_ms"] / requests, 2) if requests else 0.0,
            requests_by_model=_requests_by(rows, "model"),
            requests_by_complexity=_requests_by(rows, "complexity"),
        )

    def cache_stats(self, tenant: str, days: int) -> CacheStatsResponse:
        """Return how the cache did in the last `days` UTC days, today included."""
        period, rows = self._rows(tenant, days)
        sums = total(row.counters for row in rows)
        hits = sums["exact_hits"] + sums["semantic_hits"]
        return CacheStatsResponse(
            period=period,
            lookups=sums["succeeded_requests"],
            exact_hits=sums["exact_hits"],
            semantic_hits=sums["semantic_hits"],
            joined_requests=sums["joined_requests"],
            misses=sums["generated_requests"],
            hit_rate=_percent(hits, sums["succeeded_requests"]) or 0.0,
        )

    def _rows(self, tenant: str, days: int) -> tuple[Period, Sequence[Rollup]]:
        today = datetime.fromtimestamp(self.clock() / 1000, tz=UTC).date()
        names = [(today - timedelta(days=back)).isoformat() for back in reversed(range(days))]
        return Period(names[0], names[-1]), [row for name in names for row in self.rollups.day(tenant, name)]

    def _baselines(self, input_tokens: int, output_tokens: int) -> dict[str, float]:
        models = dict.fromkeys((self.baseline_model, *REPORTED_BASELINES))
        return {model: usd(price_book().price(model).cost_nano_usd(input_tokens, output_tokens)) for model in models}


def _requests_by(rows: Iterable[Rollup], dimension: str) -> dict[str, int]:
    counted: dict[str, int] = {}
    for row in rows:
        name = getattr(row.key, dimension)
        counted[name] = counted.get(name, 0) + row.counters["requests"]
    return dict(sorted(counted.items()))


def _percent(part: int, whole: int) -> float | None:
    return round(100 * part / whole, 2) if whole else None
