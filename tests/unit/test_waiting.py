import pytest
from msgspec.structs import replace

from chat.waiting import Waiter
from llm_router.models import Job, JobStatus
from tests.builders import make_job
from tests.fakes import NOW_MS, FakeJobStore, SettableClock


class Sleeper:
    """Lets time pass instead of sleeping, and finishes the job at its time."""

    def __init__(self, done_after_ms: float = float("inf")) -> None:
        self.clock = SettableClock()
        self.jobs = FakeJobStore(self.clock)
        self.job = make_job()
        self.jobs.open(self.job)
        self.done_at_ms = self.clock.now_ms + done_after_ms
        self.pauses_ms: list[int] = []

    def __call__(self, seconds: float) -> None:
        """Sleep."""
        self.pauses_ms.append(round(seconds * 1000))
        self.clock.advance(round(seconds * 1000))
        if self.clock.now_ms >= self.done_at_ms:
            self.jobs.jobs[self.job.job_id] = replace(self.job, status=JobStatus.SUCCEEDED)

    def wait(self, wait_seconds: float) -> Job:
        """Wait for the job."""
        return Waiter(self.jobs, self.clock, self).wait(self.job, wait_seconds, since_ms=NOW_MS)


def test_pauses_grow() -> None:
    """The job is read after 0.1 s, then less and less often, twice a second at the least."""
    sleeper = Sleeper()
    sleeper.wait(3)

    assert [100, 150, 225, 338, 500, 500, 500, 500, 187] == sleeper.pauses_ms


def test_done_in_time() -> None:
    """A job that ends is returned at the next look."""
    sleeper = Sleeper(done_after_ms=200)
    job = sleeper.wait(25)

    assert JobStatus.SUCCEEDED == job.status
    assert [100, 150] == sleeper.pauses_ms


def test_patience_ends() -> None:
    """When the wait is over the job is returned as it stands, not later than asked for."""
    sleeper = Sleeper()
    began_ms = sleeper.clock.now_ms
    job = sleeper.wait(1.25)

    assert JobStatus.QUEUED == job.status
    assert 1250 == sleeper.clock.now_ms - began_ms


def test_failed_look() -> None:
    """A look that fails is made up for by the next; when all fail the job is returned as it was last seen."""
    sleeper = Sleeper(done_after_ms=200)
    sleeper.jobs.broken = {"get"}
    job = sleeper.wait(1)
    sleeper.jobs.broken = set()

    assert JobStatus.QUEUED == job.status
    assert JobStatus.SUCCEEDED == sleeper.wait(2).status


@pytest.mark.parametrize("wait_seconds", [0, -1])
def test_no_patience(wait_seconds: float) -> None:
    """Who does not want to wait does not."""
    sleeper = Sleeper()

    assert sleeper.job == sleeper.wait(wait_seconds)
    assert [] == sleeper.pauses_ms


def test_finished_already() -> None:
    """A finished job is returned without a look."""
    sleeper = Sleeper()
    sleeper.job = replace(sleeper.job, status=JobStatus.FAILED)

    assert sleeper.job == sleeper.wait(25)
    assert [] == sleeper.pauses_ms


def test_wait_counts_from_the_arrival() -> None:
    """What had to be done before the waiting is part of the wait."""
    sleeper = Sleeper()
    sleeper.clock.advance(900)
    sleeper.wait(1)

    assert [100] == sleeper.pauses_ms


def test_finished_while_it_was_submitted() -> None:
    """A job that inline inference finished is seen as such, even when that took longer than the wait."""
    sleeper = Sleeper()
    sleeper.jobs.jobs[sleeper.job.job_id] = replace(sleeper.job, status=JobStatus.SUCCEEDED)
    sleeper.clock.advance(40_000)

    assert JobStatus.SUCCEEDED == sleeper.wait(25).status
    assert [] == sleeper.pauses_ms


@pytest.mark.parametrize(("expected_ms", "waits"), [(25_001, False), (25_000, True), (None, True)])
def test_expected_too_late(expected_ms: int | None, waits: bool) -> None:  # noqa: FBT001 - a test's parameter
    """Nobody waits for an answer that is not expected in time; one that may be is waited for, and an unknown one."""
    sleeper = Sleeper()
    sleeper.job = sleeper.jobs.jobs["req_1"] = replace(sleeper.job, expected_ms=expected_ms)
    sleeper.wait(25)

    assert waits is bool(sleeper.pauses_ms)


def test_long_line() -> None:
    """Nobody waits behind a line that will not be through in time, however short the own answer is."""
    sleeper = Sleeper()
    sleeper.jobs.open(make_job("before", flight=None, created_at_ms=NOW_MS - 1, expected_ms=20_000))
    sleeper.job = sleeper.jobs.jobs["req_1"] = replace(sleeper.job, expected_ms=6_000)
    sleeper.wait(25)

    assert [] == sleeper.pauses_ms


def test_late_job_is_waited_for() -> None:
    """A request that should have been answered by now may be at any moment."""
    sleeper = Sleeper()
    started = sleeper.jobs.start("req_1", worker="w", lease_until_ms=NOW_MS + 30_000)
    sleeper.job = sleeper.jobs.jobs["req_1"] = replace(started, expected_ms=1_000, started_at_ms=NOW_MS - 60_000)
    sleeper.wait(1)

    assert sleeper.pauses_ms
