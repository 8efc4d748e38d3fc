"""The rhythm in which `chat` looks whether a job is finished: a little less often each time."""

from collections.abc import Iterator
from itertools import accumulate, count
from typing import Final

FIRST_PAUSE_MS: Final = 100
LONGEST_PAUSE_MS: Final = 500
_GROWTH: Final = 1.5


def pauses_ms() -> Iterator[float]:
    """Yield the pauses before the second look and every later one."""
    pause_ms: float = FIRST_PAUSE_MS
    while True:
        yield pause_ms
        pause_ms = min(pause_ms * _GROWTH, LONGEST_PAUSE_MS)


def seen_after(finished_ms: int, patience_ms: int) -> tuple[int, int]:
    """Return how long a caller is kept, in ms, and by how many looks, for what is finished after `finished_ms`."""
    for looks, at_ms in zip(count(1), accumulate(pauses_ms(), initial=0.0), strict=False):
        if at_ms >= min(finished_ms, patience_ms):
            return min(round(at_ms), patience_ms), looks
    raise AssertionError  # the pauses have no end
