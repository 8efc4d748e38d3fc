"""Adds up what a function uses of the platform while it works on requests."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock

from llm_router.accounting.quantities import Quantities

_NS_PER_MS = 1_000_000


class Tally:
    """What one process has used since it last told; what it uses after a record was made is in the next one.

    So nothing is counted twice, whatever records an event leads to. Lost are only what an environment does after its
    last record, and what a record would have held that its table refuses. Threads may add to it at the same time.

    Args:
        memory_mb: Memory of the function.
        clock_ns: Nanoseconds from an arbitrary beginning.
    """

    def __init__(self, memory_mb: int, clock_ns: Callable[[], int]) -> None:
        self.memory_mb = memory_mb
        self._clock_ns = clock_ns
        self._lock = Lock()
        self._used: Counter[str] = Counter()
        self._worked_ns = 0
        self._since_ns: int | None = None

    @property
    def is_running(self) -> bool:
        """Whether the function works on requests."""
        return self._since_ns is not None

    @contextmanager
    def running(self, **counted: int) -> Iterator[None]:
        """Count the time of one event, its request to Lambda, and what else it is known to cost."""
        self._since_ns = self._clock_ns()
        self.add(lambda_requests=1, **counted)
        try:
            yield
        finally:
            with self._lock:
                self._work()
                self._since_ns = None

    def add(self, **counted: int) -> None:
        """Count amounts by the names of `Quantities`; nothing outside an event."""
        if self.is_running:
            with self._lock:
                self._used.update(counted)

    def take(self) -> Quantities:
        """Return what was used since the last call."""
        with self._lock:
            self._work()
            worked_ms, self._worked_ns = divmod(self._worked_ns, _NS_PER_MS)
            used, self._used = self._used, Counter()
        return Quantities(lambda_mb_ms=worked_ms * self.memory_mb, **used)

    def _work(self) -> None:
        if self._since_ns is not None:
            now_ns = self._clock_ns()
            self._worked_ns += now_ns - self._since_ns
            self._since_ns = now_ns


def unmetered() -> Tally:
    """Return a tally that counts nothing."""
    return Tally(0, lambda: 0)
