import pytest

from analytics.reports import DEFAULT_DAYS, MAX_DAYS, Reports, parse_days
from llm_router.errors import InvalidRequestError
from llm_router.models import CacheTier, FeedbackVerdict, JobStatus
from llm_router.prices import price_book
from llm_router.report_responses import CacheStatsResponse, Period, SummaryResponse
from llm_router.rollups import usage_event
from llm_router.usage import UsageRecord
from tests.builders import TINY, make_usage
from tests.fakes import NOW_MS, FakeRollupStore, SettableClock

LARGE = "ollama/llama3.2"
JULY_30_MS = 1_785_412_800_000  # 2026-07-30, 12:00 UTC
FREE = {"busy_ms": 0, "actual_nano_usd": 0}


def reports(*records: UsageRecord, baseline_model: str = "gpt-4", now_ms: int = NOW_MS) -> Reports:
    """Return reports over some requests, asked for at 22:13 UTC on 2023-11-14 unless another time is said."""
    store = FakeRollupStore()
    store.add([usage_event(record) for record in records])
    return Reports(rollups=store, baseline_model=baseline_model, prices=price_book(), clock=SettableClock(now_ms))


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
        savings_percentage=42.66,
        baselines={
            "gpt-4": 0.0075,  # 50 x 30,000 + 100 x 60,000 nano-dollars
            "gpt-3.5-turbo": 0.000175,  # 50 x 500 + 100 x 1,500
            "gpt-4o": 0.001125,  # 50 x 2,500 + 100 x 10,000
            "gpt-4o-mini": 0.0000675,  # 50 x 150 + 100 x 600
        },
        avg_latency_ms=25.0,
        requests_by_model={LARGE: 1, TINY: 5},
        requests_by_complexity={"complex": 1, "simple": 5},
        requests_by_arm={"default": 5, "phi": 1},
        shadow_requests=2,
        shadow_cost=0.0003,
    ) == BUSY.summary("default", 1)


def test_cache_stats() -> None:
    """The cache's share is of the answered requests; one that joined another is neither a hit nor a miss."""
    assert CacheStatsResponse(
        period=Period("2023-11-14", "2023-11-14"),
        answered_requests=5,
        exact_hits=1,
        semantic_hits=1,
        joined_requests=1,
        generated_requests=2,
        hit_rate=40.0,
    ) == BUSY.cache_stats("default", 1)


def test_period() -> None:
    """Two days are yesterday and today in UTC."""
    summary = BUSY.summary("default", 2)

    assert Period("2023-11-13", "2023-11-14") == summary.period
    assert 7 == summary.total_requests


def test_nothing_yet() -> None:
    """Without requests there are zeros, and no savings percentage to claim."""
    summary = reports().summary("default", 30)

    assert (0, 0.0, 0.0, None, {}) == (
        summary.total_requests,
        summary.cache_hit_rate,
        summary.avg_latency_ms,
        summary.savings_percentage,
        summary.requests_by_model,
    )
    assert 0.0 == reports().cache_stats("default", 30).hit_rate


def test_loss() -> None:
    """When the box costs more than the baseline the savings are negative."""
    summary = reports(make_usage(actual_nano_usd=3_000_000)).summary("default", 1)

    assert (-0.0015, -100.0) == (summary.total_savings, summary.savings_percentage)


def test_each_day_has_its_price() -> None:
    """Tokens of two days are compared at the price of each: 10 and 20 at 1,000 and 6,000, then at 200 and 1,200."""
    before, after = make_usage("1", day="2026-07-29"), make_usage("2", day="2026-07-30")
    summary = reports(before, after, baseline_model="gpt-5.6-luna", now_ms=JULY_30_MS).summary("default", 2)

    assert 130_000 + 26_000 == summary.baseline_nano_usd


def test_unknown_price() -> None:
    """A baseline without a price on a day with tokens is unknown, and so are the savings; other days do not matter."""
    answered, failed = (
        make_usage("1", day="2026-07-08"),
        make_usage("2", day="2026-07-08", input_tokens=0, output_tokens=0),
    )
    july_9 = make_usage("3", day="2026-07-09")
    summary = reports(answered, july_9, baseline_model="gpt-5.6-luna", now_ms=JULY_30_MS).summary("default", 30)
    known = reports(failed, july_9, baseline_model="gpt-5.6-luna", now_ms=JULY_30_MS).summary("default", 30)

    assert (None, None, None, None) == (
        summary.baseline_cost,
        summary.baseline_nano_usd,
        summary.total_savings,
        summary.savings_percentage,
    )
    assert (None, 0.00007) == (summary.baselines["gpt-5.6-luna"], summary.baselines["gpt-3.5-turbo"])
    assert 130_000 == known.baseline_nano_usd


@pytest.mark.parametrize(("text", "days"), [(None, DEFAULT_DAYS), ("1", 1), ("07", 7), (str(MAX_DAYS), MAX_DAYS)])
def test_days(text: str | None, days: int) -> None:
    """A period is a whole number of days, 30 unless the caller says otherwise."""
    assert days == parse_days(text)


@pytest.mark.parametrize("text", ["", "0", "367", "-1", "1.5", "week", "²", "1" * 5000, "0000000001234"])
def test_bad_days(text: str) -> None:
    """Any other period is refused by name."""
    with pytest.raises(InvalidRequestError) as caught:
        parse_days(text)

    assert "days" == caught.value.field
