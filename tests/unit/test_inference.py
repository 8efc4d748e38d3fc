from collections.abc import Callable

import pytest
from msgspec.structs import replace

from llm_router.errors import (
    ConflictError,
    ModelError,
    ModelNotFoundError,
    ModelTimeoutError,
    ModelUnavailableError,
    NotFoundError,
    PromptTooLongError,
    RouterError,
    StoreError,
)
from llm_router.estimates import Pace
from llm_router.jobs import answer_from_cache, succeeded, usage_record
from llm_router.models import CacheTier, Generation, JobStatus, ModelCall, Turn
from llm_router.stored_answers import Hit
from tests.builders import COSTS, TINY, make_answer, make_entry, make_generation, make_job, make_runner
from tests.fakes import JOB_LIFE_MS, NOW_MS, FakeCacheStore, FakeJobStore, FakeModel, FakeStatusStore, SettableClock

DEADLINE_MS = NOW_MS + 100_000
TURNS = (Turn("Which snakes are there?", "Pythons, for example."),)


class World:
    """A runner with one queued job, and the parts it is made of."""

    def __init__(self, *script: str | Generation | RouterError | Callable[[], object], step_ms: int = 0) -> None:
        self.clock = SettableClock(step_ms=step_ms)
        self.store = FakeCacheStore()
        self.jobs = FakeJobStore(self.clock)
        self.statuses = FakeStatusStore()
        self.unlearned: list[StoreError] = []
        self.unstored: list[StoreError] = []
        self.model = FakeModel(*script)
        self.runner = make_runner(
            jobs=self.jobs,
            cache=self.store,
            statuses=self.statuses,
            model=self.model,
            clock=self.clock,
            on_store_error=self.unlearned.append,
            on_cache_error=self.unstored.append,
        )
        self.jobs.open(make_job(embedding=(1.0, 0.0), temperature=0.5, system_prompt="Be brief.", history=TURNS))

    def run(self) -> None:
        """Run the job."""
        self.runner.run("req_1", deadline_ms=DEADLINE_MS)


def test_answer() -> None:
    """The job gets the text, the tokens, the box's time and both prices, and leaves one record of the same figures."""
    world = World("A ", "language.", make_generation())
    world.clock.advance(40)
    world.run()
    job, usage = world.jobs.get("req_1"), world.jobs.usage["req_1"]
    # 7 ms at 100 nano-dollars; 10 tokens in at 30,000 and 20 out at 60,000
    expected = make_answer(busy_ms=7, actual_nano_usd=700, baseline_nano_usd=1_500_000)

    assert (JobStatus.SUCCEEDED, expected, NOW_MS + 40) == (job.status, job.answer, job.finished_at_ms)
    assert usage_record(job) == usage
    assert (7, 700, 1_500_000, 40) == (
        usage.busy_ms,
        usage.actual_nano_usd,
        usage.baseline_nano_usd,
        usage.latency_ms,
    )


def test_generation_is_learned_from() -> None:
    """The figures of the model move with each generation, and are kept under its configured name."""
    world = World(make_generation(model="ollama/tinyllama+stand-in"))
    world.clock.advance(40)
    before = Pace(model=TINY, output_tokens=60)
    world.statuses.put_pace(before)
    world.run()

    assert {TINY: before.learn(make_generation(), NOW_MS + 40)} == world.statuses.paces
    assert [] == world.unlearned


def test_failure_is_not_learned_from() -> None:
    """A generation that came to nothing, and a job that was finished before, leave no figures."""
    world = World("A ", ModelTimeoutError("too late"))
    world.run()
    world.run()

    assert {} == world.statuses.paces


def test_figures_that_are_refused() -> None:
    """A table that does not take the figures costs nobody the answer, and somebody hears of it."""
    world = World(make_generation())
    world.statuses.broken = True
    world.run()

    assert JobStatus.SUCCEEDED == world.jobs.get("req_1").status
    assert ["reading a model's pace failed"] == [str(error) for error in world.unlearned]


def test_question_to_the_model() -> None:
    """The model is asked what the user wrote, after the turns before it, with the caller's options and deadline."""
    world = World(make_generation())
    world.run()

    assert [
        ModelCall(
            model=TINY,
            prompt="What is Python?",
            system_prompt="Be brief.",
            history=TURNS,
            max_tokens=512,
            temperature=0.5,
        )
    ] == world.model.calls
    assert [DEADLINE_MS] == world.model.deadlines_ms
    assert world.model.closed


def test_answer_is_remembered() -> None:
    """The answer is stored where the question's lookup said, with its vector, for as long as the setting says."""
    world = World(make_generation())
    world.run()
    entry = make_entry(expires_at=NOW_MS // 1000 + 2 * 3600)

    assert {("ns", entry.entry_id): (entry, (1.0, 0.0))} == world.store.entries


def test_age_of_an_answer() -> None:
    """An answer is as old as its generation's beginning, so that a slow one never replaces one begun after it."""
    world = World("A ", lambda: world.clock.advance(50_000), make_generation())
    world.run()
    ((entry, _),) = world.store.entries.values()
    newer = replace(entry, answer="Begun later, done first.", created_at_ms=NOW_MS + 1)
    world.store.entries[entry.namespace, entry.entry_id] = newer, None
    world.run()

    assert (NOW_MS, (NOW_MS + 50_000) // 1000 + 2 * 3600) == (entry.created_at_ms, entry.expires_at)
    assert [newer] == [kept for kept, _ in world.store.entries.values()]


def test_message_that_comes_again_after_an_eviction() -> None:
    """An evicted answer does not come back with a message that is delivered again."""
    world = World(make_generation())
    world.run()
    world.clock.advance(1000)
    evicted = world.store.evict("default", "ns", make_entry().entry_id, world.clock())
    world.run()

    assert evicted
    assert {} == world.store.entries


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ModelUnavailableError("gone"), "model_unavailable"),
        (ModelNotFoundError("not there"), "model_not_found"),
        (PromptTooLongError("too long"), "prompt_too_long"),
        (ModelTimeoutError("too late"), "model_timeout"),
        (ModelError("odd"), "model_error"),
    ],
)
def test_model_error(error: ModelError, code: str) -> None:
    """A model that fails makes a failed job with the reason, a record, and no cache entry; the text so far is kept."""
    world = World("A ", error, step_ms=1000)
    world.run()
    job = world.jobs.get("req_1")

    assert (JobStatus.FAILED, code, str(error)) == (
        job.status,
        job.failure and job.failure.code,
        job.failure and job.failure.message,
    )
    assert "A " == job.partial_text
    assert JobStatus.FAILED == world.jobs.usage["req_1"].status
    assert {} == world.store.entries


def test_stream_without_an_end() -> None:
    """A model that falls silent without its closing figures has failed."""
    world = World("A ")
    world.run()
    job = world.jobs.get("req_1")

    assert (JobStatus.FAILED, "model_unavailable") == (job.status, job.failure and job.failure.code)


@pytest.mark.parametrize(
    "generation",
    [
        make_generation(done_reason="length"),
        make_generation(done_reason="load"),
        make_generation(""),
        make_generation(" \n"),
    ],
    ids=["length", "load", "empty", "blank"],
)
def test_not_remembered(generation: Generation) -> None:
    """A cut or empty answer is given, but not stored."""
    world = World(generation)
    world.run()
    job = world.jobs.get("req_1")

    assert (JobStatus.SUCCEEDED, generation.text, generation.done_reason) == (
        job.status,
        job.answer and job.answer.text,
        job.answer and job.answer.done_reason,
    )
    assert {} == world.store.entries


def test_no_store() -> None:
    """An answer whose caller forbids it is given to all who joined, and not stored."""
    world = World(make_generation())
    world.jobs.open(make_job("req_2", no_store=True, flight="unstored"))
    world.jobs.open(make_job("req_3", no_store=True, flight="unstored"))
    world.runner.run("req_2", deadline_ms=DEADLINE_MS)

    assert JobStatus.SUCCEEDED is world.jobs.get("req_3").status
    assert {} == world.store.entries


@pytest.mark.parametrize(("wanted_hours", "kept_seconds"), [(None, 7200), (1.5, 5400), (2.0, 7200), (1e300, 7200)])
def test_time_to_live(wanted_hours: float | None, kept_seconds: int) -> None:
    """A caller may have the answer kept for less long than the setting says, not for longer."""
    world = World(make_generation())
    world.jobs.open(make_job("req_2", flight=None, cache_ttl_hours=wanted_hours))
    world.runner.run("req_2", deadline_ms=DEADLINE_MS)

    assert [NOW_MS // 1000 + kept_seconds] == [entry.expires_at for entry, _ in world.store.entries.values()]


def test_stored_answer_is_not_stored_again() -> None:
    """A job that the cache answered leaves the cache as it is."""
    world = World()
    hit = answer_from_cache(Hit(make_entry(), CacheTier.EXACT, 1.0), COSTS, NOW_MS)
    finished = succeeded(world.jobs.get("req_1"), hit, NOW_MS)
    world.jobs.finish(finished, usage_record(finished))
    world.run()

    assert {} == world.store.entries


def test_followers() -> None:
    """Requests that joined get the same answer, and the next equal one starts anew."""
    world = World(make_generation())
    world.jobs.open(make_job("req_2"))
    world.run()
    follower = world.jobs.get("req_2")

    assert "A language." == (follower.answer and follower.answer.text)
    assert world.jobs.usage["req_2"].joined
    assert world.jobs.open(make_job("req_3"))


@pytest.mark.parametrize("crash", ["followers", "close_flight"])
def test_crash_after_the_end(crash: str) -> None:
    """After a crash between the job's end and the rest, the rest is done by running again, without the model."""
    world = World(make_generation())
    world.jobs.open(make_job("req_2"))
    world.jobs.broken, world.store.broken = {crash}, {"put"}
    with pytest.raises(StoreError):
        world.run()
    before = world.jobs.get("req_1"), world.jobs.usage["req_1"]
    world.jobs.broken = world.store.broken = set()
    world.clock.advance(60_000)
    world.run()

    assert before == (world.jobs.get("req_1"), world.jobs.usage["req_1"])
    assert 1 == len(world.model.calls)
    assert [make_entry(expires_at=NOW_MS // 1000 + 2 * 3600)] == [entry for entry, _ in world.store.entries.values()]
    assert JobStatus.SUCCEEDED == world.jobs.get("req_2").status
    assert world.jobs.open(make_job("req_3"))


def test_cache_that_takes_nothing() -> None:
    """An answer that the cache refuses reaches everybody who joined, and somebody hears of it."""
    world = World(make_generation())
    world.jobs.open(make_job("req_2"))
    world.store.broken = {"put"}
    world.run()

    assert [JobStatus.SUCCEEDED] * 2 == [world.jobs.get(name).status for name in ("req_1", "req_2")]
    assert ["put failed"] == [str(error) for error in world.unstored]
    assert world.jobs.open(make_job("req_3"))


@pytest.mark.parametrize(
    ("step_ms", "written"), [(300, ["abcd"]), (500, ["ab", "abcd"]), (1000, ["a", "ab", "abc", "abcd"])]
)
def test_progress(step_ms: int, written: list[str]) -> None:
    """The text so far is shown once a second at most."""
    world = World(
        *[step for letter in "abcd" for step in (lambda: world.clock.advance(step_ms), letter)],
        make_generation("abcd"),
    )
    world.run()

    assert written == world.jobs.progress


def test_progress_that_cannot_be_shown() -> None:
    """A table that refuses the text so far does not cost the generation."""
    world = World("A ", make_generation(), step_ms=1000)
    world.jobs.broken = {"renew"}
    world.run()

    assert JobStatus.SUCCEEDED == world.jobs.get("req_1").status


def test_cancelled_while_running() -> None:
    """A cancelled job stays cancelled, the stream is closed, and nothing is billed or stored."""
    world = World(lambda: cancel(world), "A ", "language.", make_generation(), step_ms=1000)
    world.run()

    assert JobStatus.CANCELLED == world.jobs.get("req_1").status
    assert ({}, {}) == (world.jobs.usage, world.store.entries)
    assert world.model.closed


def test_cancelled_at_the_last_moment() -> None:
    """A job that is cancelled after the last piece of text is not finished over it."""
    world = World("A language.", lambda: cancel(world), make_generation())
    world.run()

    assert JobStatus.CANCELLED == world.jobs.get("req_1").status
    assert ({}, {}) == (world.jobs.usage, world.store.entries)


def test_cancel_is_noticed_with_the_next_text() -> None:
    """A cancelled job stops with the next text that is written, keeps it, and is billed for what the box wrote."""
    world = World("A ", lambda: ask_to_cancel(world), lambda: world.clock.advance(1500), "language ", "is code.")
    world.run()
    job, usage = world.jobs.get("req_1"), world.jobs.usage["req_1"]

    assert JobStatus.CANCELLED is job.status is usage.status
    assert "cancelled" == (job.failure and job.failure.code)
    assert usage.busy_ms > 0
    assert COSTS.box_nano_usd(usage.busy_ms * 1_000_000) == usage.actual_nano_usd
    assert world.model.closed
    assert world.jobs.open(make_job("req_9"))


def test_cancel_does_not_take_the_answer_from_others() -> None:
    """When the leader is cancelled the generation goes on for the next who joined, who pays for it."""
    world = World("A ", lambda: ask_to_cancel(world), lambda: world.clock.advance(1500), "language.", make_generation())
    world.jobs.open(make_job("req_2"))
    world.jobs.open(make_job("req_3"))
    world.run()

    assert [JobStatus.CANCELLED, JobStatus.SUCCEEDED, JobStatus.SUCCEEDED] == [
        world.jobs.get(name).status for name in ("req_1", "req_2", "req_3")
    ]
    assert [0, 700, 0] == [world.jobs.usage[name].actual_nano_usd for name in ("req_1", "req_2", "req_3")]
    assert 1 == len(world.model.calls)
    assert world.jobs.open(make_job("req_9"))


def test_request_that_joined_a_cancelled_one_is_run() -> None:
    """A request that was cancelled before anybody took over is followed by the next who joined, without a message."""
    world = World(make_generation())
    world.jobs.open(make_job("req_2"))
    cancel(world)
    world.run()

    assert JobStatus.SUCCEEDED is world.jobs.get("req_2").status
    assert world.jobs.open(make_job("req_9"))


def test_failure_is_billed_from_the_first_piece() -> None:
    """A generation that broke off cost the box the time since its first piece."""
    world = World("A ", lambda: world.clock.advance(4000), ModelUnavailableError("gone"))
    world.run()

    assert (4000, COSTS.box_nano_usd(4_000_000_000)) == (
        world.jobs.usage["req_1"].busy_ms,
        world.jobs.usage["req_1"].actual_nano_usd,
    )


def test_escalated_while_running() -> None:
    """A job that went elsewhere is left alone, and whoever joined goes on waiting."""
    world = World(lambda: cancel(world, JobStatus.ESCALATED), "A ", make_generation(), step_ms=1000)
    world.jobs.open(make_job("req_2"))
    with pytest.raises(ConflictError):
        world.run()

    assert [JobStatus.ESCALATED, JobStatus.QUEUED] == [world.jobs.get(name).status for name in ("req_1", "req_2")]


def test_job_in_other_hands() -> None:
    """A job that another worker holds is not run a second time."""
    world = World(make_generation())
    world.jobs.start("req_1", worker="dead", lease_until_ms=NOW_MS)
    with pytest.raises(ConflictError):
        world.run()

    assert [] == world.model.calls


def test_job_of_a_dead_worker() -> None:
    """A job whose worker's lease is over is run by the next."""
    world = World(make_generation())
    world.jobs.start("req_1", worker="dead", lease_until_ms=NOW_MS)
    world.clock.advance(1)
    world.run()

    assert JobStatus.SUCCEEDED == world.jobs.get("req_1").status


def test_expired_job() -> None:
    """A job that has expired is not run."""
    world = World(make_generation())
    world.clock.advance(JOB_LIFE_MS)
    with pytest.raises(NotFoundError):
        world.run()

    assert [] == world.model.calls


def cancel(world: World, status: JobStatus = JobStatus.CANCELLED) -> None:
    """Cancel the job behind the runner's back."""
    world.jobs.jobs["req_1"] = replace(world.jobs.jobs["req_1"], status=status)


def ask_to_cancel(world: World) -> None:
    """Let the caller of the job ask for its end."""
    world.jobs.request_cancel("req_1")
