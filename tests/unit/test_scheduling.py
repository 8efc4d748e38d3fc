from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from infer.scheduling import OWN_TIME_MS, PASSED_OVER_MS, Scheduler
from infer.spare_time import SpareTime
from llm_router.box import BoxState, ResidentModel
from llm_router.errors import ConflictError, ModelUnavailableError, NotFoundError, RouterError, StoreError
from llm_router.jobs import SET_ASIDE, cancelled, usage_record
from llm_router.models import Failure, Job, JobStatus
from tests.builders import make_job
from tests.fakes import FLIGHT_LEASE_MS, NOW_MS, FakeBox, FakeBreaker, FakeJobStore, SettableClock

TINY, LLAMA, THIRD = MODELS = ("ollama/tinyllama", "ollama/llama3.2", "ollama/phi")
DEADLINE_MS = NOW_MS + 890_000
Step = Callable[[str], object]


def state(*models: str) -> BoxState:
    """Return a box with models in memory."""
    resident = [ResidentModel(name=model, size_bytes=1, context_length=2048, expires_at="") for model in models]
    return BoxState(version="0.31.0", installed=(), resident=tuple(resident))


class OneModelBox(FakeBox):
    """A box whose memory holds one model: the last that was asked."""

    def __init__(self) -> None:
        super().__init__(state(TINY))
        self.looks = 0
        self.unreachable = False

    def state(self) -> BoxState:
        """Return what is in memory."""
        self.looks += 1
        if self.unreachable:
            raise ModelUnavailableError("cannot be reached")
        return super().state()

    def use(self, model: str) -> None:
        """Drive the other model out."""
        self._state = state(model)


class World:
    """A worker, its box, and what it did."""

    def __init__(self) -> None:
        self.clock = SettableClock()
        self.jobs = FakeJobStore(self.clock)
        self.box = OneModelBox()
        self.circuit = FakeBreaker()
        self.began: list[tuple[str, int]] = []
        self.deadlines_ms: dict[str, int] = {}
        self.errors: list[RouterError] = []
        self.took_ms: dict[str, int] = {}
        self.meanwhile: Step = lambda _: None
        self.in_other_hands: set[str] = set()
        self.naps = 0
        self.tried: list[str] = []

    @property
    def order(self) -> list[str]:
        """Return who was begun, in order."""
        return [name for name, _ in self.began]

    def add(self, name: str, model: str, expected_ms: int | None = 2_000, **fields: object) -> Job:
        """Let a job wait."""
        created_at_ms = NOW_MS - 100 + len(self.jobs.jobs)
        usual = {"model": model, "expected_ms": expected_ms, "flight": None, "created_at_ms": created_at_ms}
        job = make_job(name, **(usual | fields))
        self.jobs.open(job)
        return job

    def run_job(self, job_id: str, deadline_ms: int, *, is_last: bool = False) -> None:
        """Answer a job in the time it takes."""
        self.tried.append(job_id)
        if job_id in self.in_other_hands:
            raise ConflictError("in other hands")
        if self.jobs.get(job_id).status.finished:
            return
        job = self.jobs.start(job_id, worker="w", lease_until_ms=self.clock() + 30_000)
        self.began.append((job_id, self.clock()))
        self.deadlines_ms[job_id] = deadline_ms
        self.box.use(job.model)
        self.clock.advance(self.took_ms.get(job_id, 2_000))
        self.meanwhile(job_id)
        self.jobs.jobs[job_id] = replace(job, status=JobStatus.SUCCEEDED)

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self.naps += 1
        self.clock.advance(round(seconds * 1000))

    def message(self, job_id: str, *, deadline_ms: int = DEADLINE_MS) -> list[str]:
        """Let a worker have a job's message, and return who has been begun by now."""
        Scheduler(
            jobs=self.jobs,
            box=self.box,
            run_job=self.run_job,
            spare_time=SpareTime(jobs=self.jobs, circuit=self.circuit, clock=self.clock),
            clock=self.clock,
            sleep=self.sleep,
            on_error=self.errors.append,
        ).run(job_id, deadline_ms=deadline_ms)
        return self.order


def test_alone() -> None:
    """Without anybody else waiting the job is run, and the box is not asked what it holds."""
    world = World()
    world.add("llama", LLAMA)

    assert ["llama"] == world.message("llama")
    assert 0 == world.box.looks


def test_resident_model_goes_first() -> None:
    """Jobs of the model in memory are run before one that needs a load, oldest first; other ones wait."""
    world = World()
    for name, model in (("llama", LLAMA), ("tiny 1", TINY), ("llama 2", LLAMA), ("tiny 2", TINY)):
        world.add(name, model)

    assert ["tiny 1", "tiny 2", "llama"] == world.message("llama")


def test_own_model_is_resident() -> None:
    """A job whose model is in memory is run at once, however old the others are."""
    world = World()
    world.add("llama", LLAMA)
    world.add("tiny", TINY)

    assert ["tiny"] == world.message("tiny")


def test_everybody_waits_for_the_same_model() -> None:
    """Where a load cannot be saved nothing is asked and nothing reordered."""
    world = World()
    world.add("llama", LLAMA)
    world.add("llama:latest", f"{LLAMA}:latest")

    assert ["llama"] == world.message("llama")
    assert 0 == world.box.looks


def test_box_is_silent() -> None:
    """A box that cannot be asked what it holds keeps nobody from running, and the trouble is told."""
    world = World()
    world.add("llama", LLAMA)
    world.add("tiny", TINY)
    world.box.unreachable = True

    assert ["llama"] == world.message("llama")
    assert ["model_unavailable"] == [error.code for error in world.errors]


def test_table_does_not_tell_who_is_in_line() -> None:
    """Nor does an index that fails."""
    world = World()
    world.add("llama", LLAMA)
    world.jobs.broken = {"line"}

    assert ["llama"] == world.message("llama")
    assert [StoreError] == [type(error) for error in world.errors]


@pytest.mark.parametrize("expected_ms", [None, PASSED_OVER_MS + 1], ids=["unknown", "too long"])
def test_only_what_fits_goes_first(expected_ms: int | None) -> None:
    """A job is passed over only by answers that are expected within the bound."""
    world = World()
    world.add("llama", LLAMA)
    world.add("tiny", TINY, expected_ms)

    assert ["llama"] == world.message("llama")


def test_turn_comes() -> None:
    """However many of the other model wait, and come, a job is passed over for a minute at most."""
    world = World()
    world.add("llama", LLAMA)
    world.add("tiny 1", TINY)
    world.meanwhile = lambda name: world.add(f"{name}'", TINY)
    order = world.message("llama")

    assert 31 == len(order)
    assert ("llama", NOW_MS + PASSED_OVER_MS) == world.began[-1]


def test_own_time_is_kept() -> None:
    """Who goes first has to end while the passed-over job still has its time; without that much nobody goes first."""
    world = World()
    for name in ("llama", "llama 2"):
        world.add(name, LLAMA)
    world.add("tiny", TINY)
    world.message("llama")
    world.box.use(TINY)
    world.add("tiny 2", TINY)
    world.message("llama 2", deadline_ms=world.clock() + OWN_TIME_MS)

    assert ["tiny", "llama", "llama 2"] == world.order
    assert DEADLINE_MS - OWN_TIME_MS == world.deadlines_ms["tiny"]
    assert DEADLINE_MS == world.deadlines_ms["llama"]


def test_joined_job_is_not_begun() -> None:
    """A request that has just joined an equal one, and still stands in the line, is left to its leader."""
    world = World()
    world.add("llama", LLAMA)
    for name in ("leader", "follower"):
        world.add(name, TINY, flight="same")
    world.jobs._joined.clear()  # noqa: SLF001 - as an index that is behind

    assert ["leader", "llama"] == world.message("llama")


def test_expired_job_in_the_line() -> None:
    """Who is gone, and still stands in the line, is passed by."""
    world = World()
    world.add("llama", LLAMA)
    world.add("gone", TINY)
    world.jobs._expires_at_ms["gone"] = NOW_MS  # noqa: SLF001 - as an index that is behind

    assert ["llama"] == world.message("llama")


def test_other_worker_is_faster() -> None:
    """Who is in another worker's hands by now is left there, and the next goes first."""
    world = World()
    for name, model in (("llama", LLAMA), ("taken", TINY), ("tiny", TINY)):
        world.add(name, model)
    world.in_other_hands = {"taken"}

    assert ["tiny", "llama"] == world.message("llama")


def test_cancelled_while_passed_over() -> None:
    """A job that its caller cancels meanwhile is not begun."""
    world = World()
    llama = world.add("llama", LLAMA)
    for number in range(3):
        world.add(f"tiny {number}", TINY)
    ended = cancelled(llama, Failure(code="cancelled", message="cancelled"), NOW_MS)
    world.meanwhile = lambda _: world.jobs.finish(ended, usage_record(ended))

    assert ["tiny 0"] == world.message("llama")


def test_duplicate_of_a_finished_job() -> None:
    """A message whose job has ended, with everything after its end, changes nothing and asks nobody."""
    world = World()
    job = world.add("tiny", TINY, flight="tiny")
    world.message("tiny")
    world.jobs.close_flight(job, followers=[])

    assert ["tiny"] == world.message("tiny")


@pytest.mark.parametrize("is_taken_over", [False, True])
def test_redriven_job(*, is_taken_over: bool) -> None:
    """A job that was set aside is run, also when an equal request has its flight by now."""
    world = World()
    job = world.add("tiny", TINY, flight="tiny")
    world.jobs.set_aside(job, Failure(code=SET_ASIDE, message="kept"))
    if is_taken_over:
        world.clock.advance(FLIGHT_LEASE_MS + 1)
        world.add("other", TINY, flight="tiny", created_at_ms=world.clock())
    world.message("tiny")

    assert ["tiny"] == world.tried


@pytest.fixture
def heired() -> World:
    """Return a world whose leader was cancelled, and left its flight to an heir."""
    world = World()
    leader = world.add("leader", TINY, flight="tiny")
    world.add("heir", TINY, flight="tiny")
    ended = cancelled(leader, Failure(code="cancelled", message="cancelled"), NOW_MS)
    world.jobs.finish(ended, usage_record(ended))
    world.jobs.hand_over(leader)
    return world


def test_cancelled_job_with_an_heir(heired: World) -> None:
    """The message of a cancelled job is its heir's, who has none of his own."""
    assert ["heir"] == heired.message("leader")


def test_heir_in_other_hands(heired: World) -> None:
    """While another worker runs the heir the message is kept: should that worker die, the heir is taken up again."""
    heired.jobs.start("heir", worker="other", lease_until_ms=NOW_MS + 30_000)

    assert ["heir"] == heired.message("leader")
    assert 31 == heired.naps


def test_heir_that_has_ended(heired: World) -> None:
    """Once the heir has ended, and his flight with him, the message of the cancelled job changes nothing."""
    heired.message("leader")
    heired.jobs.close_flight(heired.jobs.get("heir"), followers=[])

    assert ["heir"] == heired.message("leader")


def test_message_of_a_job_in_other_hands_is_kept() -> None:
    """While another worker runs the job its message is kept: that worker may have none of it, and die."""
    world = World()
    job = world.add("tiny", TINY, flight="tiny")
    world.jobs.start("tiny", worker="other", lease_until_ms=NOW_MS + 30_000)

    assert ["tiny"] == world.message("tiny")
    assert 31 == world.naps
    assert world.jobs.leader(job)


def test_job_in_other_hands_until_the_end() -> None:
    """When the worker's own time is over the message comes again."""
    world = World()
    world.add("tiny", TINY)
    world.jobs.start("tiny", worker="other", lease_until_ms=DEADLINE_MS + 1)
    with pytest.raises(ConflictError):
        world.message("tiny")

    assert world.clock() == DEADLINE_MS


def test_expired_job() -> None:
    """A job that is gone is nobody's."""
    with pytest.raises(NotFoundError):
        World().message("unknown")


Arrival = tuple[int, str, int, int]


@given(
    st.lists(
        st.tuples(st.integers(0, 100_000), st.sampled_from(MODELS), st.integers(0, 90_000), st.integers(0, 90_000)),
        min_size=1,
        max_size=40,
    )
)
def test_nobody_starves(arrivals: list[Arrival]) -> None:
    """Whatever arrives, and however wrong expectations are, a job begins one bound and one generation after its turn.

    An arrival is a moment, a model, and how long its answer is expected to take and takes, in milliseconds.
    """
    world = World()
    pending = sorted((NOW_MS + at_ms, number) for number, (at_ms, *_) in enumerate(arrivals))
    received_ms: dict[str, int] = {}
    queue: list[str] = []

    def arrive(_: str = "") -> None:
        while pending and pending[0][0] <= world.clock():
            created_at_ms, number = pending.pop(0)
            _, model, expected_ms, took_ms = arrivals[number]
            world.took_ms[str(number)] = took_ms
            world.add(str(number), model, expected_ms, created_at_ms=created_at_ms)
            queue.append(str(number))

    world.meanwhile = arrive
    while pending or queue:
        if not queue:
            world.clock.now_ms = pending[0][0]
            arrive()
        name = queue.pop(0)
        if world.jobs.get(name).status is JobStatus.QUEUED:
            received_ms[name] = world.clock()
            world.message(name, deadline_ms=world.clock() + 890_000)

    longest_ms = max(world.took_ms.values())
    late_ms = {name: at_ms - received_ms[name] for name, at_ms in world.began if name in received_ms}
    assert sorted(map(str, range(len(arrivals)))) == sorted(world.order)
    assert all(each <= PASSED_OVER_MS + longest_ms for each in late_ms.values())


def test_job_that_went_to_the_cloud_is_not_waited_for() -> None:
    """A message that comes again for a job that was left to the cloud is done with, whatever happens there."""
    world = World()
    job = world.add("tiny", TINY)
    world.jobs.escalate(job)
    waiting = world.message("tiny")
    world.jobs.start("tiny", worker="cloud", lease_until_ms=NOW_MS + 30_000, in_cloud=True)

    assert ([], [], 0) == (waiting, world.message("tiny"), world.naps)
