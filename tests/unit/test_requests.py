import pytest
from msgspec.structs import replace

from llm_router.accounting.usage import UsageRecord
from llm_router.errors import NotFoundError
from llm_router.jobs import cancelled, succeeded, usage_record
from llm_router.models import Failure, Job, JobStatus, Spent
from llm_router.requests import OVERDUE_MS, Requests
from tests.builders import make_answer, make_job
from tests.fakes import JOB_LIFE_MS, NOW_MS, FakeJobStore, SettableClock

ONE, TWO, THREE, FOUR, FIVE = (f"req_{digit * 32}" for digit in "12345")


class World:
    """Requests of one flight: the first leads, the others have joined."""

    def __init__(self, *names: str) -> None:
        self.clock = SettableClock()
        self.jobs = FakeJobStore(self.clock)
        self.dispatched: list[str] = []
        self.requests = Requests(self.jobs, self.dispatched.append, self.clock)
        for name in names:
            self.jobs.open(make_job(name))

    def start(self, name: str = ONE) -> Job:
        """Let a worker take a job up."""
        return self.jobs.start(name, worker="w", lease_until_ms=self.clock() + 1_000)

    def join(self, name: str) -> str:
        """Let one more request join."""
        assert not self.jobs.open(make_job(name))
        return name

    def statuses(self, *names: str) -> list[JobStatus]:
        """Return where requests stand."""
        return [self.jobs.get(name).status for name in names]


@pytest.mark.parametrize("method", ["look", "cancel"])
@pytest.mark.parametrize(
    ("job_id", "tenant"), [(ONE, "other"), (TWO, "default"), ("flight#fingerprint", "default"), ("", "default")]
)
def test_only_one_s_own_requests(method: str, job_id: str, tenant: str) -> None:
    """An unknown id, another tenant's and what is no id at all look the same, to looking and to cancelling."""
    world = World(ONE)
    with pytest.raises(NotFoundError, match=r"^no such request$"):
        getattr(world.requests, method)(job_id, tenant)

    assert [JobStatus.QUEUED] == world.statuses(ONE)


def test_looking_leaves_a_healthy_request_alone() -> None:
    """Requests that wait their turn or are worked on are only looked at."""
    world = World(ONE, TWO)
    looks = [world.requests.look(name, "default").status for name in (ONE, TWO)]
    world.start()
    looks.append(world.requests.look(ONE, "default").status)

    assert [JobStatus.QUEUED, JobStatus.QUEUED, JobStatus.RUNNING] == looks
    assert [] == world.dispatched


@pytest.mark.parametrize("looked_at", [ONE, TWO])
def test_request_of_a_dead_worker_is_dispatched_again(looked_at: str) -> None:
    """Once the worker's lease is over, a look at the request, or at one that joined it, dispatches it again, once."""
    world = World(ONE, TWO)
    world.start()
    world.clock.advance(1_001)
    for _ in range(3):
        world.requests.look(looked_at, "default")

    assert [ONE] == world.dispatched


def test_lost_message_is_sent_again() -> None:
    """A request that nobody has begun for a minute is dispatched again, and once more a minute later."""
    world = World(ONE)
    for _ in range(3):
        world.clock.advance(OVERDUE_MS)
        world.requests.look(ONE, "default")

    assert [ONE] * 3 == world.dispatched


def test_worker_that_died_before_telling_others() -> None:
    """When the leader is finished but a worker died before telling those who joined, a look tells them."""
    world = World(ONE, TWO)
    job = world.start()
    finished = succeeded(job, make_answer(), NOW_MS)
    world.jobs.finish(finished, usage_record(finished))

    assert JobStatus.SUCCEEDED is world.requests.look(TWO, "default").status
    assert world.jobs.usage[TWO].joined


def test_looks_while_a_worker_tells_many() -> None:
    """Who looks while a worker tells those who joined takes his own answer and leaves the others to it, for a while."""
    world = World(ONE, TWO, THREE)
    job = world.start()
    finished = succeeded(job, make_answer(), NOW_MS)
    world.jobs.finish(finished, usage_record(finished))
    world.requests.look(TWO, "default")
    soon = world.statuses(TWO, THREE)
    world.clock.advance(OVERDUE_MS)
    late = world.requests.look(world.join(FOUR), "default").status

    assert [JobStatus.SUCCEEDED, JobStatus.QUEUED] == soon
    assert [JobStatus.SUCCEEDED] * 2 == [late, *world.statuses(THREE)]
    assert world.jobs.open(make_job(FIVE))


def test_leader_that_has_expired() -> None:
    """Who joined a request that was never begun, and has expired before him, is dispatched himself."""
    world = World(ONE)
    world.clock.advance(OVERDUE_MS)
    world.join(TWO)
    world.clock.advance(JOB_LIFE_MS - OVERDUE_MS)

    assert JobStatus.QUEUED is world.requests.look(TWO, "default").status
    assert [TWO] == world.dispatched


def test_worker_that_died_before_passing_a_cancelled_request_on() -> None:
    """When the leader is cancelled but a worker died before passing on, a look has the next who joined dispatched."""
    world = World(ONE, TWO, THREE)
    ended = cancelled(world.start(), Failure(code="cancelled", message="x"), NOW_MS)
    world.jobs.finish(ended, usage_record(ended))
    world.requests.look(THREE, "default")

    assert [TWO] == world.dispatched
    assert [JobStatus.QUEUED] * 2 == world.statuses(TWO, THREE)


def test_cancel_of_a_waiting_request() -> None:
    """A request that waits ends at once, leaves a record that cost nothing, and frees its question for the next."""
    world = World(ONE)
    ended = world.requests.cancel(ONE, "default")

    assert JobStatus.CANCELLED is ended.status is world.jobs.usage[ONE].status
    assert 0 == world.jobs.usage[ONE].actual_nano_usd
    assert world.jobs.open(make_job(THREE))


def test_cancel_of_a_waiting_leader() -> None:
    """When the leader is cancelled before it began, the next who joined is dispatched in its place."""
    world = World(ONE, TWO, THREE)
    world.requests.cancel(ONE, "default")

    assert [JobStatus.CANCELLED, JobStatus.QUEUED, JobStatus.QUEUED] == world.statuses(ONE, TWO, THREE)
    assert [TWO] == world.dispatched
    assert TWO == world.jobs.leader(make_job(THREE))


def test_cancel_of_one_that_joined() -> None:
    """Cancelling a request that joined another leaves the other alone."""
    world = World(ONE, TWO)
    world.requests.cancel(TWO, "default")

    assert [JobStatus.QUEUED, JobStatus.CANCELLED] == world.statuses(ONE, TWO)
    assert [] == world.dispatched


def test_cancel_of_a_running_request() -> None:
    """A running request is ended by its worker, which is asked to."""
    world = World(ONE)
    world.start()
    asked = world.requests.cancel(ONE, "default")

    assert (JobStatus.RUNNING, True) == (asked.status, asked.cancel_requested)


def test_cancel_of_a_request_whose_worker_is_dead() -> None:
    """Nobody would hear the wish, so the request ends at once."""
    world = World(ONE)
    world.start()
    world.clock.advance(1_001)

    assert JobStatus.CANCELLED is world.requests.cancel(ONE, "default").status


def test_cancel_of_a_finished_request() -> None:
    """A finished request stays as it is, however often it is cancelled."""
    world = World(ONE)
    finished = succeeded(world.start(), make_answer(), NOW_MS)
    world.jobs.finish(finished, usage_record(finished))

    assert [JobStatus.SUCCEEDED] * 2 == [world.requests.cancel(ONE, "default").status for _ in range(2)]
    assert [ONE] == list(world.jobs.usage)


def escalated(world: World, name: str = ONE) -> None:
    """Let a request be left to the cloud, after 30 ms of the box."""
    world.jobs.escalate(replace(world.jobs.get(name), spent=Spent(busy_ms=30, actual_nano_usd=3000)))


def test_request_of_a_dead_worker_of_the_cloud_goes_back_to_the_cloud() -> None:
    """Once the lease of the cloud's worker is over, a look leaves the request to the cloud again, once; not the box."""
    world = World(ONE)
    escalated(world)
    world.jobs.start(ONE, worker="w", lease_until_ms=world.clock() + 1_000, in_cloud=True)
    healthy = world.requests.look(ONE, "default")
    world.clock.advance(1_001)
    for _ in range(3):
        world.requests.look(ONE, "default")

    assert JobStatus.RUNNING is healthy.status
    assert ([ONE, ONE], []) == (world.jobs.escalations, world.dispatched)
    assert [JobStatus.ESCALATED] == world.statuses(ONE)


def test_escalation_that_got_lost_is_repeated() -> None:
    """A request that nobody in the cloud has begun for a minute is left to it again, once a minute."""
    world = World(ONE)
    escalated(world)
    for _ in range(3):
        world.requests.look(ONE, "default")
    world.clock.advance(OVERDUE_MS)
    for _ in range(3):
        world.requests.look(ONE, "default")

    assert [ONE, ONE] == world.jobs.escalations


def test_worker_of_the_cloud_that_was_quicker_keeps_the_request() -> None:
    """A look that would pass a request on finds that somebody has begun it in between, and lets be."""
    world = World(ONE)
    escalated(world)
    world.clock.advance(OVERDUE_MS)
    stale = world.jobs.get(ONE)
    world.jobs.start(ONE, worker="w", lease_until_ms=world.clock() + 1_000, in_cloud=True)
    seen = world.requests.revive(stale)

    assert (stale, [JobStatus.RUNNING]) == (seen, world.statuses(ONE))


def test_forced_model_of_the_cloud_is_never_the_box_s() -> None:
    """A request for the cloud whose submitter died before it was left there is not dispatched to the box."""
    world = World()
    world.jobs.open(make_job(ONE, model="cloud/gpt-4o-mini"))
    world.clock.advance(OVERDUE_MS)
    world.requests.look(ONE, "default")

    assert ([ONE], []) == (world.jobs.escalations, world.dispatched)


def test_cancel_of_a_request_that_waits_for_the_cloud() -> None:
    """It ends at once and pays for what the box did; the next who joined waits for the cloud in its place."""
    world = World(ONE, TWO)
    escalated(world)
    world.requests.cancel(ONE, "default")

    assert [JobStatus.CANCELLED, JobStatus.ESCALATED] == world.statuses(ONE, TWO)
    assert (30, 3000) == (world.jobs.usage[ONE].busy_ms, world.jobs.usage[ONE].actual_nano_usd)
    assert [] == world.dispatched


class Overtaken(FakeJobStore):
    """A job store where a worker of the cloud is always a moment faster."""

    def finish(self, job: Job, usage: UsageRecord) -> bool:
        """Begin the job before it can be ended."""
        self.start(job.job_id, worker="w", lease_until_ms=NOW_MS + 1_000, in_cloud=True)
        return super().finish(job, usage)


def test_cancel_that_a_worker_overtakes() -> None:
    """A request that is taken up while it is being cancelled is ended by the worker that has it now."""
    world = World()
    world.jobs = Overtaken(world.clock)
    world.jobs.open(make_job(ONE))
    escalated(world)
    seen = Requests(world.jobs, world.dispatched.append, world.clock).cancel(ONE, "default")

    assert (JobStatus.RUNNING, True) == (seen.status, seen.cancel_requested)
    assert {} == world.jobs.usage
