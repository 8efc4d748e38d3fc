"""What becomes of a job that cannot be ended: tables that refuse it, workers that die over it, and the redrive."""

import pytest

from llm_router.errors import ConflictError, StoreError
from llm_router.inference import MAX_STARTS
from llm_router.jobs import SET_ASIDE, is_set_aside, settle
from llm_router.models import Failure, Job, JobStatus
from llm_router.requests import OVERDUE_MS, Requests
from llm_router.work import LEASE_MS
from tests.builders import make_generation, make_job, make_runner
from tests.fakes import JOB_LIFE_MS, FakeCacheStore, FakeJobStore, FakeModel, FakeStatusStore, SettableClock

FAILURE = Failure(code=SET_ASIDE, message="kept")
ONE, TWO, THREE = (f"req_{digit * 32}" for digit in "123")


class World:
    """A runner, requests of one flight, of which the first leads, and a model that always answers."""

    def __init__(self, *names: str) -> None:
        self.clock = SettableClock()
        self.jobs = FakeJobStore(self.clock)
        self.cache = FakeCacheStore()
        self.model = FakeModel(make_generation())
        self.dispatched: list[str] = []
        self.requests = Requests(self.jobs, self.dispatched.append, self.clock)
        self.runner = make_runner(
            jobs=self.jobs,
            cache=self.cache,
            statuses=FakeStatusStore(),
            model=self.model,
            clock=self.clock,
            new_worker=iter(f"worker {number}" for number in range(99)).__next__,
        )
        for name in names:
            self.jobs.open(make_job(name))

    def run(self, name: str = ONE, *, is_last: bool = False) -> Job:
        """Deliver a message of a request."""
        return self.runner.run(name, deadline_ms=self.clock() + 100_000, is_last=is_last)

    def refuse(self, *methods: str, is_last: bool = False) -> None:
        """Deliver a message while the tables refuse some calls."""
        self.jobs.broken = set(methods)
        with pytest.raises(StoreError):
            self.run(is_last=is_last)
        self.jobs.broken = set()

    def die(self, name: str = ONE) -> None:
        """Let a worker begin a request and be killed."""
        self.jobs.start(name, worker=f"dead {self.clock()}", lease_until_ms=self.clock() + LEASE_MS)
        self.clock.advance(LEASE_MS + 1)

    def statuses(self, *names: str) -> list[JobStatus]:
        """Return where requests stand."""
        return [self.jobs.get(name).status for name in names]


def test_refused_end_is_tried_again() -> None:
    """A job whose end a table refuses waits for the next attempt, however often: no worker was lost over it."""
    world = World(ONE)
    for _ in range(MAX_STARTS + 1):
        world.refuse("finish")

    assert (JobStatus.QUEUED, 0, None) == (
        world.jobs.get(ONE).status,
        world.jobs.get(ONE).attempts,
        world.jobs.get(ONE).failure,
    )
    assert JobStatus.SUCCEEDED is world.run().status
    assert [ONE] == list(world.jobs.usage)


@pytest.mark.parametrize("refused", ["start", "finish"])
def test_set_aside_after_the_last_attempt(refused: str) -> None:
    """The last time a table refuses a job, it is failed with a reason and without a record."""
    world = World(ONE)
    world.refuse(refused, is_last=True)
    seen = world.requests.look(ONE, "default")

    assert (JobStatus.FAILED, "set_aside") == (seen.status, seen.failure and seen.failure.code)
    assert "it is kept for the operator" in str(seen.failure)
    assert {} == world.jobs.usage
    assert [] == world.dispatched


def test_redrive() -> None:
    """A message that is redriven days later completes the job, with one record and a cache entry; twice is as once."""
    world = World(ONE, TWO)
    world.refuse("finish", is_last=True)
    world.clock.advance(3 * JOB_LIFE_MS)
    runs = [world.run() for _ in range(2)]

    assert [JobStatus.SUCCEEDED] * 2 == [run.status for run in runs]
    assert world.jobs.get(ONE).failure is None
    assert 1 == len(world.cache.entries)
    assert 2 == len(world.model.calls)
    assert [ONE] == list(world.jobs.usage)  # the request that joined expired a day after it came, unseen


def test_redrive_with_followers() -> None:
    """Requests that joined wait with the one that is set aside, and a redrive completes all of them, once."""
    world = World(ONE, TWO, THREE)
    world.refuse("finish", is_last=True)
    waiting = world.statuses(TWO, THREE)
    for _ in range(2):
        world.run()

    assert [JobStatus.QUEUED] * 2 == waiting
    assert [JobStatus.SUCCEEDED] * 3 == world.statuses(ONE, TWO, THREE)
    assert [False, True, True] == [world.jobs.usage[name].joined for name in (ONE, TWO, THREE)]
    assert world.jobs.leader(make_job(THREE)) is None


def test_look_at_a_follower_of_what_was_set_aside() -> None:
    """Who joined and still asks need not wait for the operator: a request of his own is dispatched, in the lead."""
    world = World(ONE, TWO, THREE)
    world.refuse("finish", is_last=True)
    world.requests.look(THREE, "default")
    world.run(TWO)
    world.run()

    assert [TWO] == world.dispatched
    assert [JobStatus.SUCCEEDED] * 3 == world.statuses(ONE, TWO, THREE)
    assert [False, False, True] == [world.jobs.usage[name].joined for name in (ONE, TWO, THREE)]


def test_set_aside_that_is_refused_too() -> None:
    """A job that not even can be set aside waits for its lease to end, and the next look dispatches it again."""
    world = World(ONE)
    world.refuse("finish", "set_aside", is_last=True)
    world.clock.advance(OVERDUE_MS)
    world.requests.look(ONE, "default")

    assert [JobStatus.RUNNING] == world.statuses(ONE)
    assert [ONE] == world.dispatched
    assert JobStatus.SUCCEEDED is world.run().status


def test_what_is_refused_after_the_end_is_not_set_aside() -> None:
    """A job that has ended stays as it is when its last message fails over what comes after the end."""
    world = World(ONE, TWO)
    world.refuse("close_flight", is_last=True)
    answered = world.statuses(ONE, TWO)
    world.run()

    assert [JobStatus.SUCCEEDED] * 2 == answered == world.statuses(ONE, TWO)
    assert 1 == len(world.model.calls)
    assert {ONE, TWO} == world.jobs.usage.keys()


def test_job_that_kills_its_workers() -> None:
    """After five lost workers the next fails the job for good, and whoever joined it, without asking the model."""
    world = World(ONE, TWO)
    for _ in range(MAX_STARTS):
        world.die()
    ended = world.run()

    assert (JobStatus.FAILED, "worker_lost") == (ended.status, ended.failure and ended.failure.code)
    assert [JobStatus.FAILED] * 2 == world.statuses(ONE, TWO)
    assert {ONE, TWO} == world.jobs.usage.keys()
    assert [] == world.model.calls
    assert ended.failure == world.run().failure
    assert not is_set_aside(ended)


def test_one_lost_worker_less() -> None:
    """The fifth worker still runs the job."""
    world = World(ONE)
    for _ in range(MAX_STARTS - 1):
        world.die()

    assert JobStatus.SUCCEEDED is world.run().status


def test_heir_whose_worker_died() -> None:
    """A message of a cancelled request takes up the heir whose worker was lost: he has no message of his own."""
    world = World(ONE, TWO, THREE)
    world.requests.cancel(ONE, "default")
    world.die(TWO)
    world.run()

    assert [JobStatus.CANCELLED, JobStatus.SUCCEEDED, JobStatus.SUCCEEDED] == world.statuses(ONE, TWO, THREE)
    assert {ONE, TWO, THREE} == world.jobs.usage.keys()


def test_heir_is_set_aside_in_his_own_name() -> None:
    """When the last attempt at a cancelled request's heir is refused, he is set aside; a redrive completes him."""
    world = World(ONE, TWO)
    world.requests.cancel(ONE, "default")
    world.refuse("finish", is_last=True)
    aside = world.jobs.get(TWO)
    world.run()

    assert is_set_aside(aside)
    assert [JobStatus.CANCELLED, JobStatus.SUCCEEDED] == world.statuses(ONE, TWO)


def test_late_worker_does_not_end_what_another_took_up() -> None:
    """A worker that comes back after its lease leaves the job, and whoever joined it, to the one who took it up."""
    world = World(ONE, TWO)

    def overtaken() -> None:
        world.clock.advance(LEASE_MS + 1)
        world.jobs.start(ONE, worker="other", lease_until_ms=world.clock() + LEASE_MS)

    world.model.script = (overtaken, make_generation())
    with pytest.raises(ConflictError):
        world.run()

    assert [JobStatus.RUNNING, JobStatus.QUEUED] == world.statuses(ONE, TWO)
    assert {} == world.jobs.usage


class SlowHandOver(FakeJobStore):
    """A store in which somebody else hands a flight over just before."""

    def hand_over(self, job: Job) -> str | None:
        """Find that it was handed over already."""
        super().hand_over(job)
        return super().hand_over(job)


@pytest.mark.parametrize("end", ["cancelled", "set aside"])
def test_two_hand_a_flight_over_at_once(end: str) -> None:
    """Whoever is second to hand a flight over leaves those who joined to the first."""
    world = World()
    world.jobs = jobs = SlowHandOver(world.clock)
    for name in (ONE, TWO, THREE):
        jobs.open(make_job(name))
    world.requests = Requests(jobs, world.dispatched.append, world.clock)
    if end == "cancelled":
        world.requests.cancel(ONE, "default")
    else:
        jobs.set_aside(jobs.get(ONE), FAILURE)
        settle(jobs, jobs.get(ONE), world.clock)

    assert [JobStatus.QUEUED] * 2 == world.statuses(TWO, THREE)
    assert TWO == jobs.leader(make_job(THREE))
