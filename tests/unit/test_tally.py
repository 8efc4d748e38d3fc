from concurrent.futures import ThreadPoolExecutor

from llm_router.accounting.quantities import Quantities
from llm_router.accounting.tally import Tally, unmetered

MS = 1_000_000


class Clock:
    """Nanoseconds that pass when they are told to."""

    def __init__(self) -> None:
        self.now_ns = 17

    def __call__(self) -> int:
        """Return the time."""
        return self.now_ns

    def advance(self, by_ns: int) -> None:
        """Let time pass."""
        self.now_ns += by_ns


def test_event() -> None:
    """An event costs a request, its time in the function's memory, and what was added meanwhile."""
    clock = Clock()
    tally = Tally(256, clock)
    with tally.running(queue_requests=3):
        clock.advance(20 * MS)
        tally.add(read_request_milliunits=500)
        tally.add(read_request_milliunits=1000)

        used = tally.take()

    assert used == Quantities(lambda_mb_ms=5120, lambda_requests=1, queue_requests=3, read_request_milliunits=1500)


def test_two_records() -> None:
    """Of two records of one event each has what was used since the other; together they have all of it."""
    clock = Clock()
    tally = Tally(1, clock)
    with tally.running():
        clock.advance(3 * MS)
        first = tally.take()
        clock.advance(4 * MS)
        second = tally.take()

    assert (first, second) == (Quantities(lambda_mb_ms=3, lambda_requests=1), Quantities(lambda_mb_ms=4))


def test_afterwards() -> None:
    """What an event uses after its record, parts of a millisecond too, is in the next; what passes between is not."""
    clock = Clock()
    tally = Tally(1, clock)
    with tally.running():
        tally.take()
        clock.advance(MS * 3 // 2)
        tally.add(write_request_milliunits=1000)
    clock.advance(60_000 * MS)
    tally.add(write_request_milliunits=7000)
    with tally.running():
        clock.advance(MS * 3 // 2)

        used = tally.take()

    assert used == Quantities(lambda_mb_ms=3, lambda_requests=1, write_request_milliunits=1000)


def test_threads() -> None:
    """Threads that add at the same time lose nothing."""
    tally = Tally(1, Clock())
    with tally.running(), ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda _: tally.add(gateway_requests=1), range(1000)))

    assert Quantities(lambda_requests=1, gateway_requests=1000) == tally.take()


def test_unmetered() -> None:
    """A tally that never runs has nothing to tell."""
    tally = unmetered()
    tally.add(gateway_requests=1)

    assert Quantities() == tally.take()
