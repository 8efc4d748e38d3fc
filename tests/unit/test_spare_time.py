"""Jobs that nobody waits for: whom they let go first, when it is their turn, and what becomes of them without a box."""

from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from infer.batch_lines import REST_MS, BatchLines, SecondLook
from infer.scheduling import ANSWER_TIME_MS, OWN_TIME_MS, Scheduler
from infer.spare_time import SpareTime
from llm_router.batching.batches import Batch, line_job_id
from llm_router.box import BoxState, ResidentModel
from llm_router.errors import ModelUnavailableError, RouterError, StoreError
from llm_router.inference import InferenceRunner
from llm_router.jobs import is_set_aside
from llm_router.models import CacheTier, Delivery, Job, JobStatus, Source, Target
from llm_router.stored_answers import StoredAnswers
from tests.builders import make_entry, make_generation, make_job, make_runner
from tests.fakes import (
    NOW_MS,
    FakeBatchStore,
    FakeBox,
    FakeBreaker,
    FakeCacheStore,
    FakeEmbedder,
    FakeJobStore,
    FakeModel,
    FakeStatusStore,
    SettableClock,
)

if TYPE_CHECKING:
    from collections.abc import Callable

TINY, LLAMA = "ollama/tinyllama", "ollama/llama3.2"
DEADLINE_MS = NOW_MS + 890_000
BATCH_ID, OTHER_ID = f"batch_{'0' * 32}", f"batch_{'1' * 32}"


def line(number: int, batch_id: str = BATCH_ID, **fields: object) -> Job:
    """Return the job of a line."""
    usual: dict[str, object] = {
        "source": Source.BATCH,
        "delivery": Delivery(batch_id=batch_id, line=number),
        "expected_ms": 2000,
        "flight": None,
        "created_at_ms": NOW_MS - 1000 + number,
    }
    return make_job(line_job_id(batch_id, number), **(usual | fields))


class World:
    """A worker of the line that nobody waits in, and what else happens while it waits."""

    def __init__(self) -> None:
        self.clock = SettableClock()
        self.jobs = FakeJobStore(self.clock)
        self.circuit = FakeBreaker()
        self.resident = TINY
        self.began: list[str] = []
        self.began_at_ms: list[int] = []
        self.errors: list[RouterError] = []
        self.meanwhile: Callable[[], object] = lambda: None

    def add(self, job: Job) -> str:
        """Let a job wait."""
        self.jobs.open(job)
        return job.job_id

    def run_job(self, job_id: str, deadline_ms: int, *, is_last: bool = False) -> None:
        """Answer a job in two seconds."""
        assert deadline_ms <= DEADLINE_MS
        assert not is_last or job_id
        job = self.jobs.get(job_id)
        self.began.append(job_id)
        self.began_at_ms.append(self.clock())
        self.resident = job.model
        self.clock.advance(2000)
        self.jobs.jobs[job_id] = replace(job, status=JobStatus.SUCCEEDED)

    def sleep(self, seconds: float) -> None:
        """Let time pass, and what happens in it."""
        self.clock.advance(round(seconds * 1000))
        self.meanwhile()

    def end(self, job_id: str) -> None:
        """Let another worker answer a job."""
        self.jobs.jobs[job_id] = replace(self.jobs.jobs[job_id], status=JobStatus.SUCCEEDED)

    def message(self, job_id: str, *, is_last: bool = False) -> list[str]:
        """Let a worker have a job's message, and return who was begun."""
        resident = ResidentModel(name=self.resident, size_bytes=1, context_length=2048, expires_at="")
        Scheduler(
            jobs=self.jobs,
            box=FakeBox(BoxState(version="0.31.0", installed=(), resident=(resident,))),
            run_job=self.run_job,
            spare_time=SpareTime(jobs=self.jobs, circuit=self.circuit, clock=self.clock),
            clock=self.clock,
            sleep=self.sleep,
            on_error=self.errors.append,
        ).run(job_id, deadline_ms=DEADLINE_MS, is_last=is_last)
        return self.began


def test_alone() -> None:
    """Where nobody else wants the box a line is run at once."""
    world = World()

    assert [world.add(line(1))] == world.message(line_job_id(BATCH_ID, 1))
    assert [NOW_MS] == world.began_at_ms


@pytest.mark.parametrize("status", [JobStatus.QUEUED, JobStatus.RUNNING])
def test_callers_go_first(status: JobStatus) -> None:
    """A line waits for every request of a caller's, waiting or running, and begins within a second of the last."""
    world = World()
    world.add(make_job("caller", flight=None))
    if status is JobStatus.RUNNING:
        world.jobs.start("caller", worker="w", lease_until_ms=DEADLINE_MS)
    name = world.add(line(1))
    world.meanwhile = lambda: world.end("caller") if world.clock() >= NOW_MS + 5000 else None

    assert [name] == world.message(name)
    assert [NOW_MS + 5000] == world.began_at_ms


def test_one_line_at_a_time() -> None:
    """A line waits for another one that is run, unless its worker has died."""
    world = World()
    first, second = world.add(line(1)), world.add(line(2))
    world.jobs.start(first, worker="w", lease_until_ms=NOW_MS + 30_000)

    assert [second] == world.message(second)
    assert [NOW_MS + 31_000] == world.began_at_ms


def test_lines_do_not_starve() -> None:
    """However many callers there are, a line has its turn while its worker still has time for it."""
    world = World()
    world.add(make_job("caller", flight=None))
    name = world.add(line(1))

    assert [name] == world.message(name)
    assert [DEADLINE_MS - OWN_TIME_MS] == world.began_at_ms


def test_lines_of_the_resident_model_go_first() -> None:
    """Lines are run in an order that saves loads: those of the model in memory, then that of the message."""
    world = World()
    models = (LLAMA, TINY, LLAMA, TINY)
    names = [world.add(line(number, model=model)) for number, model in enumerate(models, start=1)]

    assert [names[1], names[3], names[0]] == world.message(names[0])


def test_line_run_in_passing_has_time_to_end() -> None:
    """A line that is run in another's place has time for the longest answer, though it is expected to be short."""
    world = World()
    names = [world.add(line(number, model=TINY)) for number in range(2, 400)]
    own = world.add(line(1, model=LLAMA))
    began = world.message(own)
    last_ms = DEADLINE_MS - OWN_TIME_MS - ANSWER_TIME_MS

    assert own == began[-1]
    assert names[: len(began) - 1] == began[:-1]
    assert last_ms - 2000 <= world.began_at_ms[-1] <= last_ms


def test_caller_between_two_lines() -> None:
    """A caller who comes while lines are run in place of another is answered before the next of them."""
    world = World()
    names = [world.add(line(number, model=model)) for number, model in enumerate((LLAMA, TINY, TINY), start=1)]
    original = world.run_job

    def run_job(job_id: str, deadline_ms: int, *, is_last: bool = False) -> None:
        original(job_id, deadline_ms, is_last=is_last)
        if job_id == names[1]:
            world.add(make_job("caller", flight=None))

    world.run_job = run_job  # type: ignore[method-assign] # something happens meanwhile
    world.meanwhile = lambda: (world.began.append("caller"), world.end("caller"))

    assert [names[1], "caller", names[2], names[0]] == world.message(names[0])


def test_line_waits_for_the_box() -> None:
    """While the circuit is open nothing begins; once it lets calls through the line is run, in the same attempt."""
    world = World()
    world.circuit.open_for_ms = 30_000
    name = world.add(line(1))

    def repaired() -> None:
        if world.clock() >= NOW_MS + 60_000:
            world.circuit.open_for_ms = None

    world.meanwhile = repaired

    assert [name] == world.message(name)
    assert [NOW_MS + 60_000] == world.began_at_ms


def test_box_that_stays_down() -> None:
    """A worker whose time is over leaves the line to the next: not begun, and no attempt of it used up."""
    world = World()
    world.circuit.open_for_ms = 30_000
    name = world.add(line(1))
    with pytest.raises(ModelUnavailableError):
        world.message(name)

    assert (JobStatus.QUEUED, 0, []) == (world.jobs.get(name).status, world.jobs.get(name).attempts, world.began)


def test_last_delivery_is_no_pause() -> None:
    """The last time that a message comes its job is begun, so that the operator gets it and not nobody."""
    world = World()
    world.circuit.open_for_ms = 30_000
    name = world.add(line(1))

    assert [name] == world.message(name, is_last=True)


def test_circuit_that_cannot_be_read() -> None:
    """A circuit breaker whose table fails pauses nothing."""
    world = World()
    world.circuit.broken = True
    name = world.add(line(1))

    assert [name] == world.message(name)


class Running:
    """A runner over a line, and what its model says."""

    def __init__(self, *script: object, **fields: object) -> None:
        self.clock = SettableClock()
        self.jobs = FakeJobStore(self.clock)
        self.job = line(1, **fields)
        self.jobs.open(self.job)
        self.cache = FakeCacheStore()
        self.model = FakeModel(*script)  # type: ignore[arg-type] # a test's script

    def runner(self, **parts: object) -> InferenceRunner:
        """Return the runner."""
        usual = {"jobs": self.jobs, "cache": self.cache, "model": self.model, "clock": self.clock}
        return make_runner(**usual | {"statuses": FakeStatusStore()} | parts)

    def run(self, *, is_last: bool = False, **parts: object) -> Job:
        """Deliver the line's message."""
        return self.runner(**parts).run(self.job.job_id, deadline_ms=DEADLINE_MS, is_last=is_last)


CLOUD = Target(model="cloud/gpt-4o-mini", namespace="cloud", max_tokens=512)


def test_line_of_a_box_that_goes_down() -> None:
    """A line whose box is gone is neither failed nor left to the cloud: it waits, however often that happens."""
    running = Running(ModelUnavailableError("gone"), fallbacks=(CLOUD,))
    for _ in range(10):
        with pytest.raises(ModelUnavailableError):
            running.run()
    waits = running.jobs.get(running.job.job_id)

    assert (JobStatus.QUEUED, 0, {}, []) == (waits.status, waits.attempts, running.jobs.usage, running.jobs.escalations)


def test_line_that_is_given_up() -> None:
    """The last time that its message comes, a line is set aside for the operator."""
    running = Running(ModelUnavailableError("gone"))
    with pytest.raises(ModelUnavailableError):
        running.run(is_last=True)

    assert is_set_aside(running.jobs.get(running.job.job_id))


def test_line_that_breaks_off() -> None:
    """A line whose answer breaks off in the middle fails as any other: it may be what breaks the box."""
    running = Running("Half an ", ModelUnavailableError("gone"))

    assert JobStatus.FAILED is running.run().status


def test_caller_is_told_at_once() -> None:
    """A caller's request does not wait for a box that is gone."""
    running = Running(ModelUnavailableError("gone"), source=Source.HTTP)

    assert JobStatus.FAILED is running.run().status


@pytest.mark.parametrize(
    ("stored", "tier"), [("What is Python?", CacheTier.EXACT), ("Please tell me, what is Python?", CacheTier.SEMANTIC)]
)
def test_line_that_was_answered_meanwhile(stored: str, tier: CacheTier) -> None:
    """A line whose answer was stored while it waited, in its words or in others, is not generated again."""
    vector = tuple(FakeEmbedder().embed("What is Python?"))
    running = Running(make_generation(), embedding=vector)
    running.cache.put(make_entry(stored), FakeEmbedder().embed(stored))
    answers = StoredAnswers(running.cache, threshold=0.85, clock=running.clock)
    ended = running.run(look_again=SecondLook(answers, running.clock))
    usage = running.jobs.usage[ended.job_id]

    assert (tier, [], 0) == (ended.answer and ended.answer.tier, running.model.calls, usage.actual_nano_usd)
    assert (tier, BATCH_ID) == (usage.tier, usage.batch_id)


def test_index_that_cannot_be_reached() -> None:
    """After one failure the index is left alone for minutes; the exact words are still looked up."""
    clock, cache = SettableClock(), FakeCacheStore()
    searches: list[str] = []

    def nearest(namespace: str, *_: object) -> list[object]:
        searches.append(namespace)
        raise StoreError("nearest failed")

    cache.nearest = nearest  # type: ignore[method-assign,assignment] # counts the searches
    look = SecondLook(StoredAnswers(cache, threshold=0.85, clock=clock), clock)
    job = line(1, embedding=(1.0,))
    found = [look(job), look(job)]
    cache.put(make_entry(job.prompt), None)
    by_words = look(job)
    clock.advance(REST_MS)
    look(line(2, embedding=(1.0,), entry_id="other"))

    assert [None, None] == found
    assert by_words is not None
    assert 2 == len(searches)


def test_caller_is_not_looked_up_again() -> None:
    """A caller's request was looked up when it came, and does not wait long enough for another look."""
    clock, cache = SettableClock(), FakeCacheStore()
    cache.put(make_entry(), None)

    assert None is SecondLook(StoredAnswers(cache, threshold=0.85, clock=clock), clock)(make_job())


class Cancelled:
    """Lines of two batches, the first of which is cancelled."""

    def __init__(self) -> None:
        self.clock = SettableClock()
        self.jobs = FakeJobStore(self.clock)
        self.batches = FakeBatchStore(self.jobs, self.clock)
        for batch_id in (BATCH_ID, OTHER_ID):
            self.batches.open(Batch(batch_id=batch_id, tenant="default", created_at_ms=NOW_MS))
        self.batches.cancel(BATCH_ID, NOW_MS)
        self.lines = BatchLines(self.jobs, self.batches, self.clock)


def test_equal_lines_of_a_cancelled_batch() -> None:
    """Every line of a cancelled batch is cancelled, with a record, though one led and the others had joined it."""
    world = Cancelled()
    for number in range(1, 301):
        world.jobs.open(line(number, flight="same"))

    assert None is world.lines.wanted(line_job_id(BATCH_ID, 1))
    assert {JobStatus.CANCELLED} == {job.status for job in world.jobs.jobs.values()}
    assert 300 == len(world.jobs.usage)


def test_line_of_another_batch_that_joined() -> None:
    """A line that joined one of a cancelled batch is wanted, and gets the answer itself."""
    world = Cancelled()
    world.jobs.open(line(1, flight="same"))
    heir = line(1, OTHER_ID, flight="same")
    world.jobs.open(heir)

    assert heir.job_id == world.lines.wanted(line_job_id(BATCH_ID, 1))
    assert JobStatus.QUEUED is world.jobs.get(heir.job_id).status


@pytest.mark.parametrize("status", [JobStatus.RUNNING, JobStatus.SUCCEEDED])
def test_what_has_begun_is_not_cancelled(status: JobStatus) -> None:
    """A line that a worker has begun, or that has ended, stays as it is."""
    world = Cancelled()
    world.jobs.open(line(1))
    world.jobs.jobs[line_job_id(BATCH_ID, 1)] = line(1, status=status)

    assert line_job_id(BATCH_ID, 1) == world.lines.wanted(line_job_id(BATCH_ID, 1))
    assert status is world.jobs.get(line_job_id(BATCH_ID, 1)).status
