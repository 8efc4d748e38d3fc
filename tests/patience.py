"""Waiting for what happens elsewhere: in another thread, process or table."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def eventually(condition: Callable[[], T], *, seconds: float = 30) -> T:
    """Return what a condition says once it is true, or what it says last; how long that takes is no finding."""
    give_up = time.monotonic() + seconds
    while not (value := condition()) and time.monotonic() < give_up:
        time.sleep(0.02)
    return value
