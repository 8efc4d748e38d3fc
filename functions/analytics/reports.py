"""Reports over the rollups: sums of integers, turned into dollars and percentages only for showing."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from msgspec import Struct

from llm_router.costs import REPORTED_BASELINES, usd
from llm_router.errors import InvalidRequestError
from llm_router.ports import Clock, RollupStore
from llm_router.prices import PriceBook
from llm_router.report_responses import CacheStatsResponse, Period, SummaryResponse
from llm_router.rollups import recent, total
from llm_router.usage import Rollup

MAX_DAYS: Final = 366
DEFAULT_DAYS: Final = 30


def parse_days(text: str | None) -> int:
    """Return the `days` parameter of a query.

    Raises:
        InvalidRequestError: it is not a whole number from 1 to MAX_DAYS.
    """
    if text is None:
        return DEFAULT_DAYS
    # Longer digits are out of range already, whatever they say.
    days = int(text) if text.isdecimal() and len(text) <= len(str(MAX_DAYS)) else 0
    if not 1 <= days <= MAX_DAYS:
        raise InvalidRequestError(f"must be a whole number from 1 to {MAX_DAYS}", field="days")
    return days


class Reports(Struct, frozen=True, kw_only=True):
    """Answers questions about one tenant's requests."""

    rollups: RollupStore
    baseline_model: str
    prices: PriceBook
    clock: Clock

    def summary(self, tenant: str, days: int) -> SummaryResponse:
        """Return what the router did in the last `days` UTC days, today included."""
        period, rows = self._rows(tenant, days)
        sums = total(row.counters for row in rows)
        # From the tokens, not from the records: they may have been compared with another model when they were made.
        by_day = _tokens_by_day(rows)
        baseline_nano_usd = self._list_price(self.baseline_model, by_day)
        saved_nano_usd = None if baseline_nano_usd is None else baseline_nano_usd - sums["actual_nano_usd"]
        hits = sums["exact_hits"] + sums["semantic_hits"]
        requests = sums["requests"]
        return SummaryResponse(
            period=period,
            total_requests=requests,
            failed_requests=sums["failed_requests"],
            fallback_requests=sums["fallback_requests"],
            cache_hits=hits,
            cache_hit_rate=_percent(hits, requests) or 0.0,
            input_tokens=sums["input_tokens"],
            output_tokens=sums["output_tokens"],
            actual_cost=usd(sums["actual_nano_usd"]),
            actual_nano_usd=sums["actual_nano_usd"],
            baseline_model=self.baseline_model,
            baseline_cost=_usd(baseline_nano_usd),
            baseline_nano_usd=baseline_nano_usd,
            total_savings=_usd(saved_nano_usd),
            savings_percentage=_percent(saved_nano_usd or 0, baseline_nano_usd or 0),
            baselines={
                model: _usd(self._list_price(model, by_day))
                for model in dict.fromkeys((self.baseline_model, *REPORTED_BASELINES))
            },
            avg_latency_ms=round(sums["latency_ms"] / requests, 2) if requests else 0.0,
            requests_by_model=_requests_by(rows, "model"),
            requests_by_complexity=_requests_by(rows, "complexity"),
            requests_by_arm=_requests_by(rows, "arm"),
            shadow_requests=sums["shadow_requests"],
            shadow_cost=usd(sums["shadow_nano_usd"]),
        )

    def cache_stats(self, tenant: str, days: int) -> CacheStatsResponse:
        """Return how the cache did in the last `days` UTC days, today included."""
        period, rows = self._rows(tenant, days)
        sums = total(row.counters for row in rows)
        hits = sums["exact_hits"] + sums["semantic_hits"]
        return CacheStatsResponse(
            period=period,
            answered_requests=sums["succeeded_requests"],
            exact_hits=sums["exact_hits"],
            semantic_hits=sums["semantic_hits"],
            joined_requests=sums["joined_requests"],
            generated_requests=sums["generated_requests"],
            hit_rate=_percent(hits, sums["succeeded_requests"]) or 0.0,
        )

    def _rows(self, tenant: str, days: int) -> tuple[Period, Sequence[Rollup]]:
        names, rows = recent(self.rollups, tenant, days, self.clock())
        return Period(names[0], names[-1]), rows

    def _list_price(self, model: str, by_day: Mapping[str, Mapping[str, int]]) -> int | None:
        """Return nano-dollars for each day's tokens at its price, rounded by the day; None where a price is unknown."""
        costs = []
        for day, sums in by_day.items():
            price = self.prices.in_force(day).get(model)
            if price is None:
                return None
            costs.append(price.cost_nano_usd(sums["input_tokens"], sums["output_tokens"]))
        return sum(costs)


def _tokens_by_day(rows: Iterable[Rollup]) -> dict[str, Counter[str]]:
    """Return the sums of every day on which there were tokens."""
    days: dict[str, list[Mapping[str, int]]] = {}
    for row in rows:
        if row.counters.get("input_tokens") or row.counters.get("output_tokens"):
            days.setdefault(row.key.day, []).append(row.counters)
    return {day: total(counters) for day, counters in days.items()}


def _requests_by(rows: Iterable[Rollup], dimension: str) -> dict[str, int]:
    counted: dict[str, int] = {}
    for row in rows:
        name = getattr(row.key, dimension)
        if requests := row.counters.get("requests", 0):  # a row may hold nothing but reports on older answers
            counted[name] = counted.get(name, 0) + requests
    return dict(sorted(counted.items()))


def _usd(nano: int | None) -> float | None:
    return None if nano is None else usd(nano)


def _percent(part: int, whole: int) -> float | None:
    return round(100 * part / whole, 2) if whole else None
