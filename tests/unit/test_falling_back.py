"""Jobs whose own model has no answer: on the box, and in the cloud."""

from collections.abc import Callable, Generator

import pytest
from msgspec.structs import replace

from llm_router.accounting.prices import price_book
from llm_router.errors import (
    ConflictError,
    ModelNotFoundError,
    ModelTimeoutError,
    ModelUnavailableError,
    RouterError,
    StoreError,
)
from llm_router.inference import InferenceRunner
from llm_router.metering import BoxMeter, CloudMeter
from llm_router.models import CacheBypass, CacheTier, Job, JobStatus, ModelCall, Spent, Target, Turn
from llm_router.models import Generation as Said
from tests.builders import COSTS, TINY, make_entry, make_generation, make_job, make_runner
from tests.fakes import NOW_MS, TODAY, FakeCacheStore, FakeJobStore, FakeModel, FakeStatusStore, SettableClock

DEADLINE_MS = NOW_MS + 100_000
OTHER = Target(model="ollama/phi3", namespace="ns-phi3", max_tokens=900)
CLOUD = Target(model="cloud/gpt-4o-mini", namespace="ns-cloud", max_tokens=1024)
PRICE = price_book().price("gpt-4o-mini", TODAY)
BY_CLOUD = make_generation("By the cloud.", model=CLOUD.model, load_ns=0, prompt_ns=0, generation_ns=0)
MISSING = ModelNotFoundError("not there")
DOWN = ModelUnavailableError("gone")

Script = tuple[str | Said | RouterError | Callable[[], object], ...]


class Models:
    """A server with several models, each with a script of its own."""

    def __init__(self, scripts: dict[str, Script]) -> None:
        self.models = {name: FakeModel(*script) for name, script in scripts.items()}

    def generate(self, call: ModelCall, *, deadline_ms: int) -> Generator[str | Said, None, None]:
        """Let the model that is asked play its script."""
        return self.models[call.model].generate(call, deadline_ms=deadline_ms)

    def asked(self) -> list[str]:
        """Return the models that were asked."""
        return [name for name, model in self.models.items() if model.calls]


class World:
    """A box with two models, a cloud, and one job that every one of them may answer."""

    def __init__(self, tiny: Script = (), other: Script = (), cloud: Script = (), **job: object) -> None:
        self.clock = SettableClock()
        self.store = FakeCacheStore()
        self.jobs = FakeJobStore(self.clock)
        self.statuses = FakeStatusStore()
        self.box = Models({TINY: tiny, OTHER.model: other})
        self.cloud = Models({CLOUD.model: cloud})
        self.jobs.open(make_job(**{"fallbacks": (OTHER, CLOUD), "embedding": (1.0, 0.0)} | job))

    def runner(self, *, in_cloud: bool) -> InferenceRunner:
        """Return the box's runner or the cloud's."""
        return make_runner(
            jobs=self.jobs,
            cache=self.store,
            statuses=self.statuses,
            model=self.cloud if in_cloud else self.box,
            meter=CloudMeter(lambda: PRICE) if in_cloud else BoxMeter(COSTS),
            clock=self.clock,
            new_worker=lambda: "cloud-worker" if in_cloud else "box-worker",
            in_cloud=in_cloud,
        )

    def run(self, *, in_cloud: bool = False, job_id: str = "req_1") -> Job:
        """Run the job on one side, and return it as it is then."""
        self.runner(in_cloud=in_cloud).run(job_id, deadline_ms=DEADLINE_MS)
        return self.jobs.get(job_id)

    def places(self) -> list[str]:
        """Return the partitions that answers are stored in."""
        return [namespace for namespace, _ in self.store.entries]


@pytest.mark.parametrize("turns", [0, 1, 2])
def test_turns_for_a_fallback(turns: int) -> None:
    """Every model is sent as many of the newest turns as its place was made for."""
    history = (Turn("One?", "Two."), Turn("Three?", "Four."))
    fallbacks = (replace(OTHER, turns=turns), CLOUD)
    world = World((MISSING,), (make_generation(),), history=history, fallbacks=fallbacks)
    world.run()
    sent = {name: model.calls[0].history for name, model in world.box.models.items()}

    assert {TINY: history, OTHER.model: history[2 - turns :]} == sent


def test_other_local_model() -> None:
    """A missing model is stood in for in the same run: the answer says so, is cached and learned under its own name."""
    world = World((MISSING,), ("Short.", make_generation("Short.", model=OTHER.model)))
    answer = world.run().answer

    assert answer is not None
    assert ("Short.", OTHER.model, OTHER.model) == (answer.text, answer.model, answer.fallback)
    assert (["ns-phi3"], [OTHER.model]) == (world.places(), list(world.statuses.paces))
    assert 900 == world.box.models[OTHER.model].calls[0].max_tokens
    assert (True, OTHER.model) == (world.jobs.usage["req_1"].fallback, world.jobs.usage["req_1"].model)


def test_own_answer_is_no_fallback() -> None:
    """Where the own model answers nobody else is asked."""
    world = World(("A.", make_generation("A.")))
    answer = world.run().answer

    assert answer is not None
    assert (None, ["ns"], [TINY]) == (answer.fallback, world.places(), world.box.asked())
    assert not world.jobs.usage["req_1"].fallback


def test_partial_text_starts_anew() -> None:
    """What a model wrote before it broke off is not continued by the next, and what it cost is paid."""
    world = World()
    tick = world.clock.advance
    world.box.models = {
        TINY: FakeModel("Half an ", lambda: tick(4000), DOWN),
        OTHER.model: FakeModel(lambda: tick(1000), "Whole.", make_generation("Whole.", model=OTHER.model)),
    }
    answer = world.run().answer

    assert answer is not None
    assert ("Whole.", ["Whole."]) == (answer.text, world.jobs.progress)
    # 4,000 ms in vain and 7 ms of use at 100 nano-dollars each
    assert (4007, 400_700) == (answer.busy_ms, answer.actual_nano_usd)


@pytest.mark.parametrize(
    ("tiny", "other", "asked"),
    [
        ((DOWN,), (), [TINY]),
        ((ModelTimeoutError("too late"),), (), [TINY]),
        ((MISSING,), (MISSING,), [TINY, OTHER.model]),
        (("Half ", DOWN), (DOWN,), [TINY, OTHER.model]),
    ],
)
def test_cloud_is_the_last(tiny: Script, other: Script, asked: list[str]) -> None:
    """What the box cannot answer is left to the cloud, unfinished and without a record; who joined goes on waiting."""
    world = World(tiny, other)
    world.jobs.open(make_job("req_2"))
    job = world.run()

    assert (JobStatus.ESCALATED, None, asked) == (job.status, job.worker, world.box.asked())
    assert ({}, JobStatus.QUEUED) == (world.jobs.usage, world.jobs.get("req_2").status)
    assert ["req_2"] == world.jobs.followers(job)


def test_cloud_answers_and_is_billed_by_the_token() -> None:
    """The bill is the box's time in vain and the list price; the answer is the cloud's, kept under its name only."""
    world = World()
    world.box.models[TINY] = FakeModel("Half an ", lambda: world.clock.advance(3000), ModelTimeoutError("too late"))
    world.cloud.models[CLOUD.model] = FakeModel("By the cloud.", BY_CLOUD)
    world.jobs.open(make_job("req_2"))
    world.run()
    job = world.run(in_cloud=True)

    assert job.answer is not None
    assert (CLOUD.model, CLOUD.model, "By the cloud.") == (job.answer.model, job.answer.fallback, job.answer.text)
    # 3,000 ms at 100 nano-dollars; 10 tokens in at 150 and 20 out at 600
    assert (3000, 300_000 + 1_500 + 12_000) == (job.answer.busy_ms, job.answer.actual_nano_usd)
    assert (313_500, 0) == tuple(world.jobs.usage[name].actual_nano_usd for name in ("req_1", "req_2"))
    assert (["ns-cloud"], {}) == (world.places(), world.statuses.paces)
    assert 1024 == world.cloud.models[CLOUD.model].calls[0].max_tokens
    assert [True, True] == [world.jobs.usage[name].fallback for name in ("req_1", "req_2")]
    assert world.jobs.open(make_job("req_3"))


def test_replays_ask_nobody_again() -> None:
    """A stream record or a message that comes twice, early or late, asks neither the cloud nor the box once more."""
    world = World((DOWN,), (), (BY_CLOUD,))
    world.run()
    with pytest.raises(ConflictError):
        world.run()
    world.run(in_cloud=True)
    world.run(in_cloud=True)
    world.run()

    assert 1 == len(world.cloud.models[CLOUD.model].calls)
    assert 1 == len(world.box.models[TINY].calls)
    assert ["req_1"] == list(world.jobs.usage)


def test_cached_input_is_on_the_record() -> None:
    """A record tells how many of its tokens were billed as cached: 2 in at 150, 8 at 75 and 20 out at 600."""
    world = World((DOWN,), cloud=(replace(BY_CLOUD, cached_input_tokens=8),))
    world.run()
    world.run(in_cloud=True)
    record = world.jobs.usage["req_1"]

    assert (10, 8, 20) == (record.input_tokens, record.cached_input_tokens, record.output_tokens)
    assert 2 * 150 + 8 * 75 + 20 * 600 == record.actual_nano_usd


def test_cloud_that_fails_too() -> None:
    """The job fails with the cloud's reason, and pays for the box's time and for about what the cloud had written."""
    world = World((DOWN,), (), ("By the ", ModelUnavailableError("The cloud API failed.")))
    world.run()
    job = world.run(in_cloud=True)

    assert (JobStatus.FAILED, "The cloud API failed.") == (job.status, job.failure and job.failure.message)
    # 15 characters of prompt and 7 of text: 4 and 2 tokens
    assert 4 * 150 + 2 * 600 == world.jobs.usage["req_1"].actual_nano_usd
    assert {} == world.store.entries


@pytest.mark.parametrize("model", [TINY, CLOUD.model])
def test_without_fallbacks_a_failure_is_one(model: str) -> None:
    """A forced model that has no answer fails its job, on the box and in the cloud."""
    world = World((MISSING,), (), (MISSING,), model=model, fallbacks=())
    job = world.run(in_cloud=model == CLOUD.model)

    assert (JobStatus.FAILED, "not there") == (job.status, job.failure and job.failure.message)


def test_forced_cloud_is_no_fallback() -> None:
    """An answer of the cloud that was asked for is the question's own."""
    world = World((), (), (BY_CLOUD,), model=CLOUD.model, namespace="ns-cloud", fallbacks=())
    answer = world.run(in_cloud=True).answer

    assert answer is not None
    assert (None, ["ns-cloud"]) == (answer.fallback, world.places())


@pytest.mark.parametrize("target", [OTHER, CLOUD])
def test_fallback_that_answered_before_is_not_asked_again(target: Target) -> None:
    """The very words that a fallback has answered before are not paid for twice; what came before them is."""
    world = World(("Half ", MISSING if target is OTHER else DOWN), (MISSING,), spent=Spent())
    world.store.put(make_entry(namespace=target.namespace, model=target.model), None)
    job = world.run() if target is OTHER else [world.run(), world.run(in_cloud=True)][1]

    assert job.answer is not None
    assert (CacheTier.EXACT, target.model, 0) == (job.answer.tier, job.answer.fallback, job.answer.actual_nano_usd)
    assert [] == world.cloud.asked()
    assert 1 == len(world.store.entries)


@pytest.mark.parametrize("trouble", ["expired", "broken", "skipped", "unknown generation"])
def test_stored_answer_that_may_not_be_served(trouble: str) -> None:
    """An expired answer, a cache that fails, and a caller who wants a new answer have the fallback asked."""
    job: dict[str, object] = {
        "skipped": {"cache_bypass": CacheBypass.SKIP_CACHE},
        "unknown generation": {"degraded": ("cache",)},
    }.get(trouble, {})
    world = World((DOWN,), (), (BY_CLOUD,), **job)
    expires_at = NOW_MS // 1000 + (0 if trouble == "expired" else 60)
    world.store.put(make_entry(namespace="ns-cloud", expires_at=expires_at), None)
    world.store.broken = {"get"} if trouble == "broken" else set()
    world.run()
    answer = world.run(in_cloud=True).answer

    assert answer is not None
    assert (None, "By the cloud.") == (answer.tier, answer.text)


@pytest.mark.parametrize("error", [MISSING, DOWN])
def test_cancelled_job_never_falls_back(error: RouterError) -> None:
    """A caller who cancelled before the model failed has nobody else asked."""
    world = World()
    world.box.models[TINY] = FakeModel(lambda: world.jobs.request_cancel("req_1"), error)

    assert JobStatus.CANCELLED is world.run().status
    assert ([TINY], []) == (world.box.asked(), world.jobs.escalations)


def test_cancelled_on_its_way_to_the_cloud() -> None:
    """A caller who cancelled while the job was left to the cloud is found out before the cloud is asked."""
    world = World((DOWN,), (), (BY_CLOUD,))
    world.jobs.start("req_1", worker="box-worker", lease_until_ms=NOW_MS + 1000)
    world.jobs.escalate(world.jobs.request_cancel("req_1"))

    assert JobStatus.CANCELLED is world.run(in_cloud=True).status
    assert [] == world.cloud.asked()


def test_cancelled_in_the_cloud_with_company() -> None:
    """When the leader is cancelled in the cloud, the generation goes on there for the next who joined, who pays all."""
    world = World((DOWN,))
    world.jobs.open(make_job("req_2", fallbacks=(OTHER, CLOUD)))
    world.cloud.models[CLOUD.model] = FakeModel(
        "By ", lambda: world.jobs.request_cancel("req_1"), lambda: world.clock.advance(1500), "the cloud.", BY_CLOUD
    )
    world.run()
    world.run(in_cloud=True)

    assert [JobStatus.CANCELLED, JobStatus.SUCCEEDED] == [world.jobs.get(name).status for name in ("req_1", "req_2")]
    assert [0, 13_500] == [world.jobs.usage[name].actual_nano_usd for name in ("req_1", "req_2")]
    assert 1 == len(world.cloud.models[CLOUD.model].calls)


def test_fallback_of_a_cancelled_request_with_other_settings() -> None:
    """An answer for a request that was submitted without this fallback is given, and stored nowhere."""
    world = World((MISSING,))
    world.jobs.open(make_job("req_2"))
    world.box.models[OTHER.model] = FakeModel(
        "A", lambda: world.jobs.request_cancel("req_1"), lambda: world.clock.advance(1500), ".", make_generation("A.")
    )
    world.run()

    assert JobStatus.SUCCEEDED is world.jobs.get("req_2").status
    assert {} == world.store.entries


def test_escalation_that_the_table_refuses() -> None:
    """A job that could not be left to the cloud stays with its worker until the lease is over, and then comes again."""
    world = World((DOWN,))
    world.jobs.broken = {"escalate"}
    with pytest.raises(StoreError):
        world.run()
    world.jobs.broken = set()
    world.clock.advance(30_001)

    assert JobStatus.ESCALATED is world.run().status


def test_dead_worker_of_the_cloud() -> None:
    """A dead worker of the cloud is replaced by one of the cloud, once, and the job has one record."""
    world = World((DOWN,), (), (BY_CLOUD,))
    world.run()
    world.jobs.start("req_1", worker="dead", lease_until_ms=NOW_MS + 1000, in_cloud=True)
    with pytest.raises(ConflictError):
        world.run(in_cloud=True)
    world.clock.advance(1001)

    assert JobStatus.SUCCEEDED is world.run(in_cloud=True).status
    assert ["req_1"] == list(world.jobs.usage)


def test_heir_without_the_fallback_fails_with_the_model() -> None:
    """Who takes over from a caller who cancelled has the fallbacks of his own request, which may be none."""
    world = World()
    world.jobs.open(make_job("req_2"))
    world.box.models[TINY] = FakeModel(lambda: world.jobs.request_cancel("req_1"), MISSING)
    world.run()

    assert [JobStatus.CANCELLED, JobStatus.FAILED] == [world.jobs.get(name).status for name in ("req_1", "req_2")]
    assert ([TINY], []) == (world.box.asked(), world.jobs.escalations)


def test_answer_of_the_cloud_is_never_kept_as_the_box_s() -> None:
    """A job that reached the cloud without a place for its answer is answered, and the answer is stored nowhere."""
    world = World((), (), (BY_CLOUD,), fallbacks=())
    world.cloud.models[TINY] = world.cloud.models[CLOUD.model]
    job = world.run(in_cloud=True)

    assert (JobStatus.SUCCEEDED, {}) == (job.status, world.store.entries)
