"""Latency histograms that add up like every other counter and still give percentiles of a known error.

The buckets are those of DDSketch (Masson, Rim, Lee: DDSketch, a fast and fully-mergeable quantile sketch with
relative-error guarantees, VLDB 2019): bucket i holds the latencies over gamma^(i-1) up to gamma^i milliseconds, with
gamma = (1 + a) / (1 - a). Their middle 2 gamma^i / (gamma + 1) is at most the share `a` away from each of them.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Final

RELATIVE_ERROR: Final = 0.05
"""The `a` of DDSketch, and so how far a percentile may be off, as a share of the true one."""
LATENCY_BUCKET: Final = "latency_ms_log_"
"""Begins the names of the counters; the bucket's index follows, and 0 is that of 1 ms and less."""
_GAMMA: Final = (1 + RELATIVE_ERROR) / (1 - RELATIVE_ERROR)


def bucket(latency_ms: int) -> str:
    """Return the name of the counter that a latency is counted in."""
    return f"{LATENCY_BUCKET}{math.ceil(math.log(max(latency_ms, 1), _GAMMA))}"


def counts_up_to(counters: Mapping[str, int], bounds_ms: Sequence[float]) -> list[int]:
    """Return how many requests took at most each bound; a bucket that reaches over one counts as longer."""
    counts = _by_index(counters)
    return [sum(count for index, count in counts if _GAMMA**index <= bound) for bound in bounds_ms]


def percentile(counters: Mapping[str, int], q: int) -> int | None:
    """Return the latency in ms that `q` percent (1 to 100) of the requests did not exceed; None without requests.

    It is at most RELATIVE_ERROR from the true one (nearest rank), and then rounded to whole milliseconds.
    """
    counts = _by_index(counters)
    left = -(-q * sum(count for _, count in counts) // 100)
    for index, count in counts:
        left -= count
        if left <= 0:
            return round(2 * _GAMMA**index / (_GAMMA + 1)) if index else 1
    return None


def _by_index(counters: Mapping[str, int]) -> list[tuple[int, int]]:
    return sorted(
        (int(name.removeprefix(LATENCY_BUCKET)), count)
        for name, count in counters.items()
        if name.startswith(LATENCY_BUCKET)
    )
