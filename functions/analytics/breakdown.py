"""A period in parts: by a property of the requests, and by the day."""

from collections import defaultdict
from collections.abc import Iterable, Sequence

from analytics.figures import Baselines, Figures, known_usd, percent
from analytics.queries import ReportQuery, days_of, period
from analytics.reading import Reading
from llm_router.accounting.usage import Rollup
from llm_router.costs import usd
from llm_router.report_responses import CostsResponse, DailyResponse, DayRow, FullyLoaded

TOTAL = "total"


def costs(query: ReportQuery, reading: Reading, baselines: Baselines, loaded: FullyLoaded) -> CostsResponse:
    """Show what requests cost, one row for each value of a property."""
    figures = {name: Figures.of(rows) for name, rows in _grouped(reading.rows, query.by).items()}
    shown = [baselines.cost_row(name, each) for name, each in figures.items() if not each.is_empty]
    return CostsResponse(
        period=period(query),
        tenant=query.tenant,
        by=query.by,
        baseline_model=baselines.model,
        rows=tuple(sorted(shown, key=lambda row: (-row.actual_nano_usd, row.name))),
        totals=baselines.cost_row(TOTAL, Figures.of(reading.rows)),
        fully_loaded=loaded,
        items_read=reading.items,
    )


def daily(query: ReportQuery, readings: Sequence[Reading], baselines: Baselines) -> DailyResponse:
    """Show what happened, one row for each day."""
    figures = [Figures.of(reading.rows) for reading in readings]
    return DailyResponse(
        period=period(query),
        tenant=query.tenant,
        baseline_model=baselines.model,
        days=tuple(day_row(day, each, baselines) for day, each in zip(days_of(query), figures, strict=True)),
    )


def day_row(day: str, figures: Figures, baselines: Baselines) -> DayRow:
    """Show the requests of one day, or of any time under the name of one."""
    sums, costs_nano_usd = figures.sums, baselines.costs_nano_usd(figures)
    return DayRow(
        day=day,
        requests=sums["requests"],
        cache_hits=figures.hits,
        cache_hit_rate=percent(figures.hits, sums["requests"]) or 0.0,
        generated_requests=sums["generated_requests"],
        failed_requests=sums["failed_requests"],
        input_tokens=sums["input_tokens"],
        output_tokens=sums["output_tokens"],
        actual_cost=usd(sums["actual_nano_usd"]),
        actual_nano_usd=sums["actual_nano_usd"],
        baselines={model: known_usd(nano_usd) for model, nano_usd in costs_nano_usd.items()},
        baselines_nano_usd=costs_nano_usd,
        latency_p50_ms=figures.latency_ms(50),
        latency_p95_ms=figures.latency_ms(95),
        latency_p99_ms=figures.latency_ms(99),
    )


def _grouped(rows: Iterable[Rollup], dimension: str) -> dict[str, list[Rollup]]:
    groups: dict[str, list[Rollup]] = defaultdict(list)
    for row in rows:
        groups[getattr(row.key, dimension)].append(row)
    return groups
