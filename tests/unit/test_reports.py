from decimal import Decimal

import pytest

from analytics.figures import Baselines, Figures
from analytics.full_costs import DESCRIPTION, LoadedReader
from analytics.reading import Reader
from analytics.reports import Reports
from llm_router.accounting.platform_prices import platform_prices
from llm_router.accounting.prices import ListPrice, PriceBook, price_book
from llm_router.accounting.rollups import usage_event
from llm_router.accounting.usage import Rollup, UsageRecord
from llm_router.models import CacheTier, FeedbackVerdict, JobStatus
from llm_router.report_responses import CacheStatsResponse, CostRow, FullyLoaded, Period, SummaryResponse
from tests.builders import TINY, make_query, make_usage, usage_at
from tests.fakes import NOW_MS, FakeBoxHours, FakeRollupStore, SettableClock

LARGE = "ollama/llama3.2"
JULY_30_MS = 1_785_412_800_000  # 2026-07-30, 12:00 UTC
FREE = {"busy_ms": 0, "actual_nano_usd": 0}


def reports(
    *records: UsageRecord, baseline_model: str = "gpt-4", now_ms: int = NOW_MS, hours: FakeBoxHours | None = None
) -> Reports:
    """Return reports over some requests, asked for at 22:13 UTC on 2023-11-14 unless another time is said."""
    store = FakeRollupStore()
    store.add([usage_event(record) for record in records])
    return Reports(
        reader=Reader(store, SettableClock(now_ms)),
        baselines=Baselines(baseline_model, price_book()),
        loaded=LoadedReader(store, hours or FakeBoxHours(), platform_prices()),
    )


BUSY = reports(
    make_usage("1"),
    make_usage(
        "2", model=LARGE, arm="phi", complexity="complex", actual_nano_usd=4_000_000, latency_ms=61, fallback=True
    ),
    make_usage("3", tier=CacheTier.EXACT, latency_ms=1, **FREE),
    make_usage("4", tier=CacheTier.SEMANTIC, latency_ms=8, **FREE),
    make_usage("5", joined=True, latency_ms=30, **FREE),
    make_usage(
        "6", status=JobStatus.FAILED, input_tokens=0, output_tokens=0, baseline_nano_usd=0, latency_ms=10, **FREE
    ),
    make_usage("7", tenant="other"),
    make_usage("8", day="2023-11-13"),
    make_usage("shadow#1", arm="shadow", model="ollama/phi3", actual_nano_usd=300_000),
    make_usage("shadow#2", arm="shadow", model="ollama/phi3", status=JobStatus.CANCELLED, actual_nano_usd=0),
    make_usage("9", model="ollama/mistral", verdict=FeedbackVerdict.WRONG),  # of a request of long ago
)


def test_summary() -> None:
    """A summary adds one tenant's requests of the period up, exactly, and turns sums into dollars and percent."""
    assert SummaryResponse(
        period=Period("2023-11-14", "2023-11-14"),
        tenant="default",
        total_requests=6,
        failed_requests=1,
        fallback_requests=1,
        cache_hits=2,
        cache_hit_rate=33.33,
        input_tokens=50,
        output_tokens=100,
        actual_cost=0.0043007,
        actual_nano_usd=4_300_700,
        baseline_model="gpt-4",
        baseline_cost=0.0075,
        baseline_nano_usd=7_500_000,
        total_savings=0.0031993,
        net_savings=0.0031993,
        net_savings_nano_usd=3_199_300,
        savings_percentage=42.65,
        baselines={
            "gpt-4": 0.0075,  # 50 x 30,000 + 100 x 60,000 nano-dollars
            "gpt-3.5-turbo": 0.000175,  # 50 x 500 + 100 x 1,500
            "gpt-4o": 0.001125,  # 50 x 2,500 + 100 x 10,000
            "gpt-4o-mini": 0.0000675,  # 50 x 150 + 100 x 600
        },
        avg_latency_ms=25.0,
        latency_p50_ms=10,
        latency_p95_ms=64,
        latency_p99_ms=64,  # 61 ms, within 5 %
        requests_by_model={LARGE: 1, TINY: 5},
        requests_by_complexity={"complex": 1, "simple": 5},
        requests_by_arm={"default": 5, "phi": 1},
        shadow_requests=2,
        shadow_cost=0.0003,
        fully_loaded=FullyLoaded(  # neither metered nor looked at
            description=DESCRIPTION,
            region="us-east-1",
            marginal_nano_usd=4_300_700,
            box_idle_nano_usd=0,
            lambda_nano_usd=0,
            dynamodb_nano_usd=0,
            gateway_nano_usd=0,
            queue_nano_usd=0,
            total_nano_usd=4_300_700,
            total_cost=0.0043007,
            nano_usd_per_request=716_783,
            net_savings=0.0031993,
            net_savings_nano_usd=3_199_300,
            observed_hours=0.0,
            billed_hours=0.0,
        ),
    ) == BUSY.summary(make_query())


def test_cache_stats() -> None:
    """The cache's share is of the answered requests; one that joined another is neither a hit nor a miss."""
    assert CacheStatsResponse(
        period=Period("2023-11-14", "2023-11-14"),
        tenant="default",
        answered_requests=5,
        exact_hits=1,
        semantic_hits=1,
        joined_requests=1,
        generated_requests=2,
        hit_rate=40.0,
    ) == BUSY.cache_stats(make_query())


def test_period() -> None:
    """Two days are yesterday and today in UTC."""
    summary = BUSY.summary(make_query(2))

    assert Period("2023-11-13", "2023-11-14") == summary.period
    assert 7 == summary.total_requests


def test_nothing_yet() -> None:
    """Without requests there are zeros, and no savings percentage to claim."""
    summary = reports().summary(make_query(30))

    assert (0, 0.0, 0.0, None, {}) == (
        summary.total_requests,
        summary.cache_hit_rate,
        summary.avg_latency_ms,
        summary.savings_percentage,
        summary.requests_by_model,
    )
    assert 0.0 == reports().cache_stats(make_query(30)).hit_rate


def test_loss() -> None:
    """When the box costs more than the baseline the savings are negative."""
    summary = reports(make_usage(actual_nano_usd=3_000_000)).summary(make_query())

    assert (-0.0015, -100.0) == (summary.total_savings, summary.savings_percentage)


@pytest.mark.parametrize(("cost", "expected"), [(0, 100.0), (1, 99.99), (1_500_000, 0.0), (1_500_001, -0.01)])
def test_savings_are_not_rounded_up(cost: int, expected: float) -> None:
    """Only what cost nothing saved everything, and a loss of a nano-dollar is a loss."""
    assert expected == reports(make_usage(actual_nano_usd=cost)).summary(make_query()).savings_percentage


def test_each_day_has_its_price() -> None:
    """Tokens of two days are compared at the price of each: 10 and 20 at 1,000 and 6,000, then at 200 and 1,200."""
    before, after = make_usage("1", day="2026-07-29"), make_usage("2", day="2026-07-30")
    summary = reports(before, after, baseline_model="gpt-5.6-luna", now_ms=JULY_30_MS).summary(
        make_query(2, now_ms=JULY_30_MS)
    )

    assert 130_000 + 26_000 == summary.baseline_nano_usd


def test_unknown_price() -> None:
    """A baseline without a price on a day with tokens is unknown, and so are the savings; other days do not matter."""
    answered, failed = (
        make_usage("1", day="2026-07-08"),
        make_usage("2", day="2026-07-08", input_tokens=0, output_tokens=0),
    )
    july_9 = make_usage("3", day="2026-07-09")
    summary = reports(answered, july_9, baseline_model="gpt-5.6-luna", now_ms=JULY_30_MS).summary(
        make_query(30, now_ms=JULY_30_MS)
    )
    known = reports(failed, july_9, baseline_model="gpt-5.6-luna", now_ms=JULY_30_MS).summary(
        make_query(30, now_ms=JULY_30_MS)
    )

    assert (None, None, None, None) == (
        summary.baseline_cost,
        summary.baseline_nano_usd,
        summary.total_savings,
        summary.savings_percentage,
    )
    assert (None, 0.00007) == (summary.baselines["gpt-5.6-luna"], summary.baselines["gpt-3.5-turbo"])
    assert 130_000 == known.baseline_nano_usd


def test_costs() -> None:
    """Costs are one row for each model, the most expensive first, and a total; shadows are in them, as paid for."""
    costs = BUSY.costs(make_query())

    assert (
        CostRow(
            name=LARGE,
            requests=1,
            cache_hits=0,
            input_tokens=10,
            output_tokens=20,
            busy_seconds=0.007,
            actual_cost=0.004,
            actual_nano_usd=4_000_000,
            baseline_cost=0.0015,
            baseline_nano_usd=1_500_000,
            net_savings=-0.0025,
            net_savings_nano_usd=-2_500_000,
        )
        == costs.rows[0]
    )
    assert [(LARGE, 1), ("ollama/phi3", 0), (TINY, 5)] == [(row.name, row.requests) for row in costs.rows]
    assert [4_000_000, 300_000, 700] == [row.actual_nano_usd for row in costs.rows]
    assert ("total", 6, 2, 4_300_700, 7_500_000) == (
        costs.totals.name,
        costs.totals.requests,
        costs.totals.cache_hits,
        costs.totals.actual_nano_usd,
        costs.totals.baseline_nano_usd,
    )
    assert 4 == costs.items_read  # with a row of reports on older answers, which is not shown


@pytest.mark.parametrize(
    ("by", "names"),
    [
        ("complexity", ["complex", "simple"]),
        ("arm", ["phi", "shadow", "default"]),
        ("source", ["http"]),
        ("tenant", ["default", "other"]),
    ],
)
def test_costs_by(by: str, names: list[str]) -> None:
    """Costs are shown by other properties too, and their rows add up to the summary."""
    query = make_query(by=by, tenant="all")
    costs, summary = BUSY.costs(query), BUSY.summary(query)

    assert names == [row.name for row in costs.rows]
    for name in ("actual_nano_usd", "baseline_nano_usd", "net_savings_nano_usd", "input_tokens", "output_tokens"):
        added = sum(getattr(row, name) for row in costs.rows)
        assert added == getattr(costs.totals, name) == getattr(summary, name), name
    assert 7 == summary.total_requests


def test_unknown_price_by_model() -> None:
    """A model whose tokens fall on a day without a price has an unknown baseline, and so has the total."""
    before, after = make_usage("1", day="2026-07-08", model=LARGE), make_usage("2", day="2026-07-30")
    asked = make_query(30, now_ms=JULY_30_MS)
    costs = reports(before, after, baseline_model="gpt-5.6-luna", now_ms=JULY_30_MS).costs(asked)
    known = {row.name: (row.baseline_nano_usd, row.net_savings_nano_usd) for row in (*costs.rows, costs.totals)}

    # Since 30 July: 10 x 200 + 20 x 1,200 = 26,000, less the 700 that it did cost.
    assert {LARGE: (None, None), TINY: (26_000, 25_300), "total": (None, None)} == known


def test_half_nano_dollars() -> None:
    """A price of half nano-dollars is rounded once: parts may round up each, their total is the summary's."""
    half = ListPrice(
        model="half",
        provider="",
        input_usd_per_million_tokens=Decimal("0.0375"),
        output_usd_per_million_tokens=Decimal(1),
        source="",
    )
    rows = [Rollup(usage_event(make_usage(model=model)).rows[0], {"input_tokens": 1}) for model in ("a", "b")]
    figures, baselines = [Figures.of(some) for some in (rows, rows[:1])], Baselines("half", PriceBook({}, {}, (half,)))

    assert [75, 38] == [baselines.cost_nano_usd("half", each.tokens) for each in figures]


def test_daily() -> None:
    """Every day has a row, the oldest first, with nothing on it where nothing happened."""
    daily = BUSY.daily(make_query(3))
    empty, yesterday, today = daily.days
    nothing = dict.fromkeys(("gpt-4", "gpt-3.5-turbo", "gpt-4o", "gpt-4o-mini"), 0)

    assert ["2023-11-12", "2023-11-13", "2023-11-14"] == [day.day for day in daily.days]
    assert (0, 0.0, 0, nothing, None) == (
        empty.requests,
        empty.cache_hit_rate,
        empty.actual_nano_usd,
        empty.baselines_nano_usd,
        empty.latency_p95_ms,
    )
    assert (1, 0, 1, 0, 10, 20, 700, 39) == (  # 40 ms, within 5 %
        yesterday.requests,
        yesterday.cache_hits,
        yesterday.generated_requests,
        yesterday.failed_requests,
        yesterday.input_tokens,
        yesterday.output_tokens,
        yesterday.actual_nano_usd,
        yesterday.latency_p50_ms,
    )
    assert (6, 2, 33.33, 1, 4_300_700) == (
        today.requests,
        today.cache_hits,
        today.cache_hit_rate,
        today.failed_requests,
        today.actual_nano_usd,
    )
    assert {"gpt-4": 1_500_000, "gpt-3.5-turbo": 35_000, "gpt-4o": 225_000, "gpt-4o-mini": 13_500} == (
        yesterday.baselines_nano_usd
    )
    assert {"gpt-4": 0.0015, "gpt-3.5-turbo": 0.000035, "gpt-4o": 0.000225, "gpt-4o-mini": 0.0000135} == (
        yesterday.baselines
    )


def test_prices_of_a_day_elsewhere() -> None:
    """Tokens have the price of the UTC day they were used on, wherever the day that shows them begins."""
    moments = [usage_at("2026-07-29T23:00", "1"), usage_at("2026-07-30T01:00", "2")]
    asked = make_query(first="2026-07-30", last="2026-07-30", tz="Europe/Berlin", now_ms=JULY_30_MS)
    (day,) = reports(*moments, baseline_model="gpt-5.6-luna", now_ms=JULY_30_MS).daily(asked).days

    assert 130_000 + 26_000 == day.baselines_nano_usd["gpt-5.6-luna"]
