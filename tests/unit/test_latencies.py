from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_router.accounting.latencies import RELATIVE_ERROR, bucket, counts_up_to, percentile

LATENCIES_MS = st.lists(st.integers(0, 1_000_000), min_size=1, max_size=60)


def histogram(latencies_ms: list[int]) -> Counter[str]:
    """Return the counters of some requests, beside one that is no latency."""
    return Counter(bucket(latency_ms) for latency_ms in latencies_ms) + Counter({"latency_ms": 7})


@pytest.mark.parametrize(
    ("latency_ms", "index"), [(0, 0), (1, 0), (2, 7), (3, 11), (50, 40), (1000, 70), (240_000, 124)]
)
def test_bucket(latency_ms: int, index: int) -> None:
    """A latency is in the bucket of its logarithm to the base 1.05 / 0.95, rounded up; 1 ms and less in the first."""
    assert f"latency_ms_log_{index}" == bucket(latency_ms)


def test_percentile() -> None:
    """Of 1 to 100 ms, 50 lies in the bucket up to 54.8 ms, 95 and 99 in the one up to 99.8 ms."""
    counters = histogram(list(range(1, 101)))

    assert [1, 52, 95, 95, 105] == [percentile(counters, q) for q in (1, 50, 95, 99, 100)]


def test_percentile_of_nothing() -> None:
    """Without requests there is no latency, whatever else was counted."""
    assert percentile({"latency_ms": 7}, 50) is None


@given(LATENCIES_MS, st.integers(1, 100))
def test_error(latencies_ms: list[int], q: int) -> None:
    """A percentile is within 5 percent of the true one of nearest rank, and the rounding to a whole millisecond."""
    rank = -(-q * len(latencies_ms) // 100)
    exact = max(1, sorted(latencies_ms)[rank - 1])
    estimate = percentile(histogram(latencies_ms), q)

    assert estimate is not None
    assert abs(estimate - exact) <= RELATIVE_ERROR * exact + 0.5


@given(LATENCIES_MS, LATENCIES_MS, st.integers(1, 100))
def test_merge(some_ms: list[int], others_ms: list[int], q: int) -> None:
    """A percentile of two histograms added up is that of all their requests."""
    assert percentile(histogram(some_ms + others_ms), q) == percentile(histogram(some_ms) + histogram(others_ms), q)


@given(LATENCIES_MS, st.integers(1, 100), st.integers(1, 100))
def test_monotone(latencies_ms: list[int], q: int, other: int) -> None:
    """A higher percentile is never a shorter latency."""
    low, high = (percentile(histogram(latencies_ms), each) for each in sorted((q, other)))

    assert low is not None
    assert high is not None
    assert low <= high


def test_counts_up_to() -> None:
    """Of 1 to 100 ms, 49 lie in buckets that end by 50 ms, and none is lost at the end."""
    counters = histogram(list(range(1, 101)))

    assert [1, 49, 90, 100] == counts_up_to(counters, [1, 50, 91, 1000])


@given(LATENCIES_MS, st.integers(1, 1_000_000))
def test_counts_never_flatter(latencies_ms: list[int], bound_ms: int) -> None:
    """No more requests are counted within a bound than there are, and none of those that took 10 % less is missing."""
    (counted,) = counts_up_to(histogram(latencies_ms), [bound_ms])

    assert (
        sum(each <= bound_ms * 0.9 for each in latencies_ms)
        <= counted
        <= sum(each <= bound_ms for each in latencies_ms)
    )
