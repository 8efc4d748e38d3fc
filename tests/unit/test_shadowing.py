from collections.abc import Callable, Sequence

import pytest
from msgspec.structs import replace

from infer.scheduling import OWN_TIME_MS
from infer.shadowing import BEFORE_SHADOWS, WAITS_MS, Shadows
from infer.spare_time import is_wanted
from llm_router.jobs import failed, succeeded, usage_record
from llm_router.models import CacheTier, Failure, Generation, Job, JobInLine, JobStatus, Lane, Turn
from tests.builders import TINY, make_answer, make_generation, make_job, make_runner
from tests.fakes import NOW_MS, FakeCacheStore, FakeJobStore, FakeModel, FakeStatusStore, SettableClock

PHI = "ollama/phi3"
DEADLINE_MS = NOW_MS + 890_000
SHADOW = "shadow#req_1"


class LateJobStore(FakeJobStore):
    """A job store whose index is behind: its line shows what is told, not what is."""

    late_line: Sequence[JobInLine] | None = None

    def line(self, *, limit: int, lane: Lane = Lane.INTERACTIVE) -> Sequence[JobInLine]:
        """Return what is told."""
        if self.late_line is not None and lane is Lane.INTERACTIVE:
            return self.late_line
        return super().line(limit=limit, lane=lane)


class World:
    """A worker with shadows, over a runner whose model plays a script."""

    def __init__(
        self, *script: str | Generation | Callable[[], object], daily_limit: int = 100, step_ms: int = 0
    ) -> None:
        self.clock = SettableClock(step_ms=step_ms)
        self.jobs = LateJobStore(self.clock)
        self.cache = FakeCacheStore()
        self.errors: list[Exception] = []
        self.model = FakeModel(*(script or ("Another ", "answer.", make_generation("Another answer.", model=PHI))))
        self.runner = make_runner(
            jobs=self.jobs,
            cache=self.cache,
            statuses=FakeStatusStore(),
            model=self.model,
            clock=self.clock,
            on_store_error=self.errors.append,
            on_cache_error=self.errors.append,
            gives_way=lambda job: job.lane is Lane.SHADOW and is_wanted(self.jobs, self.clock(), *BEFORE_SHADOWS),
        )
        self.shadows = Shadows(
            jobs=self.jobs,
            model=PHI,
            daily_limit=daily_limit,
            run_job=lambda job_id, deadline_ms: self.runner.run(job_id, deadline_ms=deadline_ms),
            clock=self.clock,
            on_error=self.errors.append,
        )

    def answered(self, name: str = "req_1", **fields: object) -> Job:
        """Return a request that its model has just answered."""
        job = make_job(name, flight=None, **fields)
        self.jobs.open(job)
        ended = succeeded(job, make_answer(), self.clock())
        self.jobs.finish(ended, usage_record(ended))
        return ended

    def waiting(self) -> list[str]:
        """Return the shadows in line."""
        return [each.job_id for each in self.jobs.line(limit=50, lane=Lane.SHADOW)]

    def idle(self, after: str = "req_1") -> None:
        """Let a worker be done with its message."""
        self.shadows.run_waiting(after, deadline_ms=DEADLINE_MS)


def test_shadow() -> None:
    """The question of an answered request is asked of the shadow model, with the same options, in an arm of its own."""
    world = World()
    turns = (Turn("Which snakes are there?", "Pythons."),)
    world.shadows.follow(world.answered(system_prompt="Be brief.", temperature=0.5, history=turns, max_tokens=77))
    world.idle()
    shadow = world.jobs.get(SHADOW)
    (call,) = world.model.calls

    assert (JobStatus.SUCCEEDED, "shadow", "Another answer.") == (
        shadow.status,
        shadow.arm,
        shadow.answer and shadow.answer.text,
    )
    assert (PHI, "What is Python?", "Be brief.", 0.5, turns, 77) == (
        call.model,
        call.prompt,
        call.system_prompt,
        call.temperature,
        call.history,
        call.max_tokens,
    )


def test_request_is_left_alone() -> None:
    """The request keeps its own answer, nothing is cached, and the shadow has a record of its own that says so."""
    world = World()
    request = world.answered()
    world.shadows.follow(request)
    world.idle()

    assert request == world.jobs.get("req_1")
    assert {} == world.cache.entries
    assert ("default", "shadow") == (world.jobs.usage["req_1"].arm, world.jobs.usage[SHADOW].arm)
    assert 700 == world.jobs.usage[SHADOW].actual_nano_usd


def test_delivered_twice() -> None:
    """A request makes one shadow, however often its message comes, and the model is asked once."""
    world = World()
    request = world.answered()
    for _ in range(3):
        world.shadows.follow(request)
        world.idle()

    assert 1 == len(world.model.calls)


@pytest.mark.parametrize(
    "answer",
    [
        make_answer(tier=CacheTier.EXACT),
        make_answer(model="ollama/llama3.2", fallback="ollama/llama3.2"),
    ],
)
def test_answers_that_make_no_shadow(answer: object) -> None:
    """There is nothing to compare where the cache answered, or another model than the one that was meant."""
    world = World()
    world.shadows.follow(replace(world.answered(), answer=answer))

    assert [] == world.waiting()


def test_requests_that_make_no_shadow() -> None:
    """Nor where there is no answer, the shadow model gave it itself, or the question is too long for it."""
    world = World()
    world.shadows.follow(failed(make_job("req_2"), Failure(code="model_error", message="no"), NOW_MS))
    world.shadows.follow(world.answered("req_3", model=PHI))
    world.shadows.follow(world.answered("req_4", prompt="word " * 6_000))

    assert [] == world.waiting()


def test_turns_that_fit() -> None:
    """Of a long conversation the shadow model is sent the newest turns that its own context holds."""
    world = World()
    turns = tuple(Turn(f"{number} " + "why " * 500, "because " * 500) for number in range(5))
    world.shadows.follow(world.answered(history=turns))
    world.idle()
    (call,) = world.model.calls

    assert turns[-1:] == call.history


def test_daily_limit() -> None:
    """A UTC day has so many shadows; the next day has its own."""
    world = World(daily_limit=2)
    for number in range(1, 5):
        world.shadows.follow(world.answered(f"req_{number}"))
    first_day = world.waiting()
    world.clock.advance(24 * 3_600_000 // 12)  # 22:13 UTC, two hours later
    world.shadows.follow(world.answered("req_5"))

    assert ["shadow#req_1", "shadow#req_2"] == first_day
    assert "shadow#req_5" in world.waiting()


@pytest.mark.parametrize("is_running", [False, True])
def test_box_is_wanted(is_running: bool) -> None:  # noqa: FBT001 - a test's parameter
    """No shadow begins while a request waits or runs; it waits for the next worker that is done."""
    world = World()
    world.shadows.follow(world.answered())
    world.jobs.open(make_job("req_9", flight=None))
    if is_running:
        world.jobs.start("req_9", worker="other", lease_until_ms=NOW_MS + 1)
    world.idle()
    waited = world.waiting()
    world.jobs.jobs["req_9"] = replace(world.jobs.get("req_9"), status=JobStatus.FAILED)
    world.idle()

    assert [SHADOW] == waited
    assert JobStatus.SUCCEEDED is world.jobs.get(SHADOW).status


def test_abandoned_request_keeps_nobody_waiting() -> None:
    """A request whose worker died does not count: nothing runs it at the moment."""
    world = World()
    world.jobs.open(make_job("req_9", flight=None))
    world.jobs.start("req_9", worker="dead", lease_until_ms=NOW_MS - 1)

    assert not is_wanted(world.jobs, NOW_MS, *BEFORE_SHADOWS)


def test_line_is_behind() -> None:
    """An index that still shows what has ended, or even expired, does not hold shadows up."""
    world = World()
    world.answered()
    ended, expired = (JobInLine(job_id=name, model=TINY, created_at_ms=NOW_MS) for name in ("req_1", "req_404"))
    world.jobs.late_line = [ended, expired]

    assert not is_wanted(world.jobs, NOW_MS, *BEFORE_SHADOWS)


def test_request_stops_a_shadow() -> None:
    """A shadow stops with its next text after a request has come; what it wrote is billed, and that was it."""
    world = World(step_ms=600)

    def come() -> None:
        world.jobs.open(make_job("req_2", flight=None))

    world.model.script = ("One ", "two ", come, "three ", "four ", "five.", make_generation(model=PHI))
    world.shadows.follow(world.answered())
    world.idle()
    shadow, usage = world.jobs.get(SHADOW), world.jobs.usage[SHADOW]

    assert (JobStatus.CANCELLED, None) == (shadow.status, shadow.answer)
    assert world.model.closed
    assert usage.actual_nano_usd > 0
    assert [] == world.waiting()


def test_requests_do_not_stop_each_other() -> None:
    """Only shadows give way."""
    world = World("One ", "two ", "three.", make_generation(), step_ms=600)
    for name in ("req_1", "req_2"):
        world.jobs.open(make_job(name, flight=None))

    assert world.runner.run("req_1", deadline_ms=DEADLINE_MS).answer is not None


def test_one_at_a_time() -> None:
    """While another worker runs a shadow, this one stays free for the next message."""
    world = World()
    world.shadows.follow(world.answered())
    world.jobs.start(SHADOW, worker="other", lease_until_ms=NOW_MS + 30_000)
    world.shadows.follow(world.answered("req_2"))
    world.idle("req_2")

    assert [] == world.model.calls


def test_too_little_time() -> None:
    """A worker that may not have the time for a load and an answer begins none."""
    world = World()
    world.shadows.follow(world.answered())
    world.shadows.run_waiting("req_1", deadline_ms=NOW_MS + OWN_TIME_MS - 1)

    assert ([], [SHADOW]) == (world.model.calls, world.waiting())


def test_waited_too_long() -> None:
    """A shadow that found no time within an hour is dropped, which its record says; younger ones are run."""
    world = World()
    world.shadows.follow(world.answered())
    world.clock.advance(WAITS_MS + 1)
    world.shadows.follow(world.answered("req_2", prompt="Which languages are there?"))
    world.shadows.run_waiting("req_2", deadline_ms=DEADLINE_MS + WAITS_MS + 1)

    assert (JobStatus.CANCELLED, 0) == (world.jobs.usage[SHADOW].status, world.jobs.usage[SHADOW].actual_nano_usd)
    assert ["Which languages are there?"] == [call.prompt for call in world.model.calls]


def test_worker_died_over_a_shadow() -> None:
    """Its shadow is dropped when its lease has ended: it might be its killer."""
    world = World()
    world.shadows.follow(world.answered())
    world.jobs.start(SHADOW, worker="dead", lease_until_ms=NOW_MS + 10)
    world.clock.advance(11)
    world.idle()

    assert (JobStatus.CANCELLED, []) == (world.jobs.get(SHADOW).status, world.model.calls)


def test_box_fails() -> None:
    """A shadow that fails is not tried again, and the others are left for a better time."""
    world = World("a text that breaks off")
    for name in ("req_1", "req_2"):
        world.shadows.follow(world.answered(name))
    world.idle()

    assert (1, ["shadow#req_2"]) == (len(world.model.calls), world.waiting())
    assert JobStatus.FAILED is world.jobs.usage[SHADOW].status


@pytest.mark.parametrize("method", ["open_shadow", "line", "start", "finish"])
def test_tables_fail(method: str) -> None:
    """A table that fails costs the shadow, and the caller of the request nothing; it may be run later."""
    world = World()
    request = world.answered()
    world.jobs.broken = {method}
    world.shadows.follow(request)
    world.idle()
    world.jobs.broken = set()
    world.shadows.follow(request)
    world.clock.advance(60_000)
    world.shadows.run_waiting("req_1", deadline_ms=DEADLINE_MS + 60_000)

    assert 1 == len(world.errors)
    assert request == world.jobs.get("req_1")
    assert JobStatus.SUCCEEDED is world.jobs.get(SHADOW).status


def test_in_other_hands() -> None:
    """A shadow that another worker begins at the same moment is left to it, and no other is begun beside it."""
    world = World()
    for name in ("req_1", "req_2"):
        world.shadows.follow(world.answered(name))

    def lose_and_run(job_id: str, deadline_ms: int) -> Job:
        world.jobs.start(job_id, worker="other", lease_until_ms=NOW_MS + 30_000)
        return world.runner.run(job_id, deadline_ms=deadline_ms)

    shadows = replace(world.shadows, run_job=lose_and_run)
    shadows.run_waiting("req_2", deadline_ms=DEADLINE_MS)

    assert ([], []) == (world.model.calls, world.errors)
    assert JobStatus.QUEUED is world.jobs.get("shadow#req_2").status


@pytest.mark.parametrize("after", ["req_9", "req_404"])
def test_box_may_be_in_trouble(after: str) -> None:
    """No shadow begins after a request without an answer: its failures would count with those of the callers."""
    world = World()
    world.shadows.follow(world.answered())
    world.jobs.open(make_job("req_9", flight=None))
    ended = failed(world.jobs.get("req_9"), Failure(code="model_unavailable", message="no"), NOW_MS)
    world.jobs.finish(ended, usage_record(ended))
    world.idle(after)

    assert ([], [SHADOW], []) == (world.model.calls, world.waiting(), world.errors)


def test_models_are_what_they_are_called() -> None:
    """The model of a tier and the shadow's are compared as the box names them."""
    world = World()
    world.shadows.follow(world.answered(model=f"{PHI}:latest"))
    world.shadows.follow(world.answered("req_2", model=TINY))

    assert ["shadow#req_2"] == world.waiting()
