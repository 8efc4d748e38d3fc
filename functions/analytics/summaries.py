"""Everything about a period at once: what was asked, what it cost, and what the cache did."""

from collections.abc import Iterable, Sequence

from analytics.figures import Baselines, Figures, known_usd, percent, saved_percent
from analytics.queries import ReportQuery, period
from llm_router.accounting.usage import Rollup
from llm_router.costs import usd
from llm_router.report_responses import CacheStatsResponse, FullyLoaded, SummaryResponse


def summary(query: ReportQuery, rows: Sequence[Rollup], baselines: Baselines, loaded: FullyLoaded) -> SummaryResponse:
    """Sum up requests, tokens, money and latency.

    Baselines are from the tokens, not from the records, which may have been compared with another model when they
    were made.
    """
    figures = Figures.of(rows)
    money, sums = baselines.cost_row("", figures), figures.sums
    return SummaryResponse(
        period=period(query),
        tenant=query.tenant,
        total_requests=money.requests,
        failed_requests=sums["failed_requests"],
        fallback_requests=sums["fallback_requests"],
        cache_hits=money.cache_hits,
        cache_hit_rate=percent(money.cache_hits, money.requests) or 0.0,
        input_tokens=money.input_tokens,
        output_tokens=money.output_tokens,
        actual_cost=money.actual_cost,
        actual_nano_usd=money.actual_nano_usd,
        baseline_model=baselines.model,
        baseline_cost=money.baseline_cost,
        baseline_nano_usd=money.baseline_nano_usd,
        total_savings=money.net_savings,
        net_savings=money.net_savings,
        net_savings_nano_usd=money.net_savings_nano_usd,
        savings_percentage=saved_percent(money.net_savings_nano_usd, money.baseline_nano_usd),
        baselines={model: known_usd(cost) for model, cost in baselines.costs_nano_usd(figures).items()},
        avg_latency_ms=round(sums["latency_ms"] / money.requests, 2) if money.requests else 0.0,
        latency_p50_ms=figures.latency_ms(50),
        latency_p95_ms=figures.latency_ms(95),
        latency_p99_ms=figures.latency_ms(99),
        requests_by_model=_requests_by(rows, "model"),
        requests_by_complexity=_requests_by(rows, "complexity"),
        requests_by_arm=_requests_by(rows, "arm"),
        shadow_requests=sums["shadow_requests"],
        shadow_cost=usd(sums["shadow_nano_usd"]),
        fully_loaded=loaded,
    )


def cache_stats(query: ReportQuery, rows: Iterable[Rollup]) -> CacheStatsResponse:
    """Tell how many requests the cache answered."""
    figures = Figures.of(rows)
    sums = figures.sums
    return CacheStatsResponse(
        period=period(query),
        tenant=query.tenant,
        answered_requests=sums["succeeded_requests"],
        exact_hits=sums["exact_hits"],
        semantic_hits=sums["semantic_hits"],
        joined_requests=sums["joined_requests"],
        generated_requests=sums["generated_requests"],
        hit_rate=percent(figures.hits, sums["succeeded_requests"]) or 0.0,
    )


def _requests_by(rows: Iterable[Rollup], dimension: str) -> dict[str, int]:
    counted: dict[str, int] = {}
    for row in rows:
        name = getattr(row.key, dimension)
        if requests := row.counters.get("requests", 0):  # a row may hold nothing but reports on older answers
            counted[name] = counted.get(name, 0) + requests
    return dict(sorted(counted.items()))
