import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from llm_router.accounting.latencies import LATENCY_BUCKET
from llm_router.accounting.rollups import counters, rollup_key, row_keys, slot_of, total
from llm_router.accounting.usage import MonthKey, RollupKey
from llm_router.models import CacheTier, FeedbackVerdict, JobStatus, Source
from tests.builders import TINY, make_usage


def test_generated() -> None:
    """A generated answer adds its tokens, time and money, and falls into one latency bucket."""
    assert {
        "requests": 1,
        "succeeded_requests": 1,
        "generated_requests": 1,
        "input_tokens": 10,
        "output_tokens": 20,
        "busy_ms": 7,
        "latency_ms": 40,
        "actual_nano_usd": 700,
        "baseline_nano_usd": 1_500_000,
        "latency_ms_log_37": 1,
    } == counters(make_usage())


@pytest.mark.parametrize(
    ("fields", "origin"),
    [
        ({}, "generated_requests"),
        ({"joined": True}, "joined_requests"),
        ({"tier": CacheTier.EXACT}, "exact_hits"),
        ({"tier": CacheTier.SEMANTIC}, "semantic_hits"),
        ({"tier": CacheTier.EXACT, "joined": True}, "exact_hits"),
    ],
)
def test_origin(fields: dict[str, object], origin: str) -> None:
    """An answered request is counted under exactly one origin."""
    origins = {"generated_requests", "joined_requests", "exact_hits", "semantic_hits"}

    assert {origin} == origins & counters(make_usage(**fields)).keys()


def test_hit() -> None:
    """What the baseline would have charged for a hit is summed up apart."""
    added = [counters(make_usage(tier=tier)) for tier in (CacheTier.EXACT, CacheTier.SEMANTIC, None)]

    assert [1_500_000, 1_500_000, None] == [each.get("hit_baseline_nano_usd") for each in added]


def test_refusal() -> None:
    """A request whose nearest candidate was refused counts the reason."""
    assert 1 == counters(make_usage(refusal="numbers_differ"))["refused_numbers_differ"]


def test_refusal_before_a_hit() -> None:
    """A request that the cache answered after all, under another model or a moment later, counts no refusal."""
    assert "refused_expired" not in counters(make_usage(refusal="expired", tier=CacheTier.EXACT))


@pytest.mark.parametrize(("tier", "name"), [(None, "generated"), (CacheTier.EXACT, "exact")])
@pytest.mark.parametrize("verdict", FeedbackVerdict)
def test_feedback(tier: CacheTier | None, name: str, verdict: FeedbackVerdict) -> None:
    """A record of what was said counts that alone: the request has been counted by its own."""
    assert {f"{verdict}_{name}_reports": 1} == counters(make_usage(tier=tier, verdict=verdict, refusal="expired"))


@pytest.mark.parametrize("status", [JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.CANCELLED])
def test_shadow(status: JobStatus) -> None:
    """A shadow adds the box's time and its price, and is nobody's request, hit, token, latency or saving."""
    assert {
        "busy_ms": 7,
        "actual_nano_usd": 700,
        "shadow_nano_usd": 700,
        "shadow_requests": 1,
        f"shadow_{status}_requests": 1,
        "shadow_input_tokens": 10,
        "shadow_output_tokens": 20,
    } == counters(make_usage("shadow#req_1", arm="shadow", status=status))


def test_fallback() -> None:
    """An answer of another model than the one the question was meant for is counted as such, beside its origin."""
    added = counters(make_usage(fallback=True))

    assert (1, 1) == (added["fallback_requests"], added["generated_requests"])


@pytest.mark.parametrize("status", [JobStatus.FAILED, JobStatus.CANCELLED])
def test_without_answer(status: JobStatus) -> None:
    """A request without an answer counts as a request and by its status, and zeros are left out."""
    nothing = {
        "input_tokens": 0,
        "output_tokens": 0,
        "busy_ms": 0,
        "actual_nano_usd": 0,
        "baseline_nano_usd": 0,
        "latency_ms": 0,
    }

    assert {"requests": 1, f"{status}_requests": 1, "latency_ms_log_0": 1} == counters(
        make_usage(status=status, **nothing)
    )


@given(st.lists(st.integers(0, 500_000), max_size=20))
def test_buckets_add_up(latencies_ms: list[int]) -> None:
    """Every request is in one bucket."""
    sums = total(counters(make_usage(latency_ms=latency_ms)) for latency_ms in latencies_ms)
    in_buckets = sum(count for name, count in sums.items() if name.startswith(LATENCY_BUCKET))

    assert len(latencies_ms) == in_buckets == sums["requests"]
    assert sum(latencies_ms) == sums["latency_ms"]


def test_key() -> None:
    """A record is counted in the row of its tenant, day, model, grade, arm and source."""
    usage = make_usage(tenant="acme", arm="b", source=Source.SQS)

    assert RollupKey("acme", "2023-11-14", TINY, "simple", "b", "sqs") == rollup_key(usage)


@pytest.mark.parametrize(
    ("after_midnight_ms", "slot"),
    [
        (0, "00:00"),
        (1_799_999, "00:00"),
        (1_800_000, "00:30"),
        (45_000_000, "12:30"),
        (86_399_999, "23:30"),
        (86_400_000, "00:00"),
    ],
)
def test_slot(after_midnight_ms: int, slot: str) -> None:
    """A half hour includes its beginning and not its end."""
    assert slot == slot_of(1_698_710_400_000 + after_midnight_ms)


def test_rows() -> None:
    """A record is counted in the rows of its day, of the half hour in which it finished, and of its tenant's month."""
    day = RollupKey("acme", "2023-11-14", TINY, "simple", "default", "http")

    assert (day, replace(day, slot="22:00"), MonthKey("2023-11", "acme")) == row_keys(make_usage(tenant="acme"))


def test_total_of_nothing() -> None:
    """Without rows every counter is 0."""
    assert 0 == total([])["requests"]
