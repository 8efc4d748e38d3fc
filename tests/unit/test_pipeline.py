from collections.abc import Callable
from itertools import count

import pytest
from msgspec.structs import replace

from llm_router.accounting.usage import UsageRecord
from llm_router.arms import Arm, chosen, unit_of
from llm_router.box import BoxSighting, BoxState, ResidentModel, answer_limit_tokens
from llm_router.cache_entries import CacheEntry
from llm_router.classification import Complexity, LearnedClassifier, RuleClassifier
from llm_router.conversations import Conversations
from llm_router.errors import (
    ConflictError,
    EmbeddingError,
    InvalidRequestError,
    ModelUnavailableError,
    PromptTooLongError,
    StoreError,
)
from llm_router.estimates import Pace
from llm_router.jobs import cancelled, succeeded, usage_record
from llm_router.models import CacheBypass, CacheTier, Failure, Job, JobStatus, Source, Turn
from llm_router.pipeline import Pipeline
from llm_router.requests import OVERDUE_MS
from llm_router.routing import Router
from llm_router.sampling import Sampling
from llm_router.semantic_cache import SemanticCache
from tests.builders import COSTS, TINY, make_answer, make_entry, make_generation, make_request, make_runner
from tests.fakes import (
    NOW_MS,
    FakeBreaker,
    FakeCacheStore,
    FakeConversationStore,
    FakeEmbedder,
    FakeJobStore,
    FakeModel,
    FakeStatusStore,
    SettableClock,
)

LARGE = "ollama/llama3.2"
COMPLEX = (
    "Design a distributed, fault-tolerant message queue with sharding and replication. Explain step by step why you "
    "would choose eventual consistency, compare the trade-offs, and analyze how load balancing affects latency."
)


class World:
    """A pipeline and the parts it is made of."""

    def __init__(self, dispatch: Callable[[str], None] | None = None, **pipeline: object) -> None:
        self.clock = SettableClock()
        self.store = FakeCacheStore()
        self.jobs = FakeJobStore(self.clock)
        self.conversations = FakeConversationStore(self.clock)
        self.embedder = FakeEmbedder()
        self.dispatched: list[str] = []
        self.breaker = FakeBreaker()
        self.statuses = FakeStatusStore()
        numbers = count(1)
        parts: dict[str, object] = {
            "classifier": RuleClassifier(),
            "router": Router({Complexity.SIMPLE: TINY, Complexity.MEDIUM: TINY, Complexity.COMPLEX: LARGE}),
            "cache": SemanticCache(self.store, self.embedder, threshold=0.85, clock=self.clock),
            "conversations": Conversations(self.conversations, self.jobs.get, self.clock),
            "jobs": self.jobs,
            "costs": COSTS,
            "dispatch": dispatch or self.dispatched.append,
            "breaker": self.breaker,
            "statuses": self.statuses,
            "clock": self.clock,
            "new_id": lambda: f"req_{next(numbers)}",
        }
        self.pipeline = Pipeline(**parts | pipeline)

    def submit(self, message: str = "What is Python?", **fields: object) -> Job:
        """Submit a request."""
        return self.pipeline.submit(make_request(message, **fields), tenant="default", source=Source.HTTP)

    def answer(self, job: Job) -> None:
        """Let the model answer a job, and the cache take it in."""
        finished = succeeded(job, make_answer(), self.clock())
        self.jobs.finish(finished, usage_record(finished))
        self.jobs.close_flight(job, followers=self.jobs.followers(job))
        self.store.put(entry_of(job), job.embedding)


def entry_of(job: Job) -> CacheEntry:
    """Return the cache entry of a job's answer."""
    return make_entry(job.prompt, job.namespace)


def test_miss() -> None:
    """What the cache cannot answer becomes a queued job for the graded model and is dispatched; no record yet."""
    world = World()
    job = world.submit()

    assert ["req_1"] == world.dispatched
    assert job == world.jobs.get("req_1")
    assert (JobStatus.QUEUED, Source.HTTP, Complexity.SIMPLE, TINY) == (
        job.status,
        job.source,
        job.complexity,
        job.model,
    )
    assert (answer_limit_tokens(TINY), None, None) == (job.max_tokens, job.temperature, job.system_prompt)
    assert tuple(world.embedder.embed("What is Python?")) == job.embedding
    assert {} == world.jobs.usage


def test_complex_prompt() -> None:
    """A complex prompt goes to the complex tier's model, as the user wrote it."""
    job = World().submit(f"  {COMPLEX}")

    assert (Complexity.COMPLEX, LARGE, f"  {COMPLEX}") == (job.complexity, job.model, job.prompt)


def test_equal_questions_get_equal_grades() -> None:
    """Characters and white space that make no difference to the question make none to its grade and its cache entry."""
    world = World()
    plain = world.submit(COMPLEX)
    full_width = {code: code + 0xFEE0 for code in range(ord("!"), ord("~") + 1)}
    wide = world.submit(COMPLEX.translate(full_width).replace(" ", "\u3000 "))

    assert (plain.complexity, plain.namespace, plain.entry_id) == (wide.complexity, wide.namespace, wide.entry_id)
    assert ["req_1"] == world.dispatched


def test_caller_options() -> None:
    """A forced model, an instruction, a length and a temperature reach the job."""
    job = World().submit(force_model=LARGE, system_prompt="Be brief.", max_tokens=9, temperature=0.0)

    assert (LARGE, "Be brief.", 9, 0.0) == (job.model, job.system_prompt, job.max_tokens, job.temperature)


def test_what_is_sampled_reaches_the_job() -> None:
    """How the model is to choose its words, and the caller's notes, reach the job; a tier takes the grade's place."""
    job = World().submit(seed=7, stop=("END",), metadata={"team": "a"}, force_tier=Complexity.COMPLEX)

    assert (Sampling(seed=7, stop=("END",)), {"team": "a"}) == (job.sampling, job.metadata)
    assert (Complexity.COMPLEX, LARGE) == (job.complexity, job.model)


def test_turns_of_the_caller() -> None:
    """Turns that the caller brings are all sent, part of the namespace, and heard of by those who stand in."""
    world = world_with_cloud()
    turns = (Turn("Who?", "Ada."),)
    job = world.submit("Why?", history=turns)
    alone = world.submit("Why?")

    assert (turns, ()) == (job.history, alone.history)
    assert job.namespace != alone.namespace
    assert [1] * len(job.fallbacks) == [each.turns for each in job.fallbacks]


def test_turns_that_are_too_long() -> None:
    """Turns of the caller's that the tier's model cannot hold go to one that can; none is left out."""
    turns = (Turn("Who?", "a" * 10_000),)
    job = World().submit("Why?", history=turns)

    assert (LARGE, turns) == (job.model, job.history)


def test_turns_that_nobody_can_hold() -> None:
    """Turns of the caller's that are too long for all who may answer are refused before anything is stored."""
    turns = (Turn("Who?", "a" * 60_000),)
    world = World()
    for fields in ({}, {"force_model": TINY}):
        with pytest.raises(PromptTooLongError):
            world.submit("Why?", history=turns, **fields)
    job = world_with_cloud().submit("Why?", history=turns)

    assert {} == world.jobs.jobs
    assert turns == job.history


def test_unknown_forced_model() -> None:
    """An unknown model is refused before anything is stored."""
    world = World()
    with pytest.raises(InvalidRequestError):
        world.submit(force_model="ollama/unknown")

    assert ({}, []) == (world.jobs.jobs, world.dispatched)


def test_exact_hit() -> None:
    """A repeat is answered at once: the job is finished, one usage record is there, and nothing is dispatched."""
    world = World()
    world.answer(world.submit())
    world.clock.advance(1000)
    job = world.submit(" What is  Python?")
    usage = world.jobs.usage["req_2"]

    assert (JobStatus.SUCCEEDED, "A language.", CacheTier.EXACT, NOW_MS + 1000) == (
        job.status,
        job.answer and job.answer.text,
        job.answer and job.answer.tier,
        job.finished_at_ms,
    )
    assert job == world.jobs.get("req_2")
    assert (CacheTier.EXACT, 0, 1_500_000) == (usage.tier, usage.actual_nano_usd, usage.baseline_nano_usd)
    assert ["req_1"] == world.dispatched


def test_semantic_hit() -> None:
    """A rewording is answered from the semantic tier."""
    world = World()
    world.answer(world.submit())
    job = world.submit("what's Python")

    assert job.answer is not None
    assert CacheTier.SEMANTIC == job.answer.tier


def test_refused_candidate() -> None:
    """A request that the cache does not answer carries into its record why the nearest stored answer was refused."""
    world = World()
    world.answer(world.submit())
    refused = world.submit("Who wrote Faust?")
    world.answer(refused)

    assert "below_the_similarity_threshold" == refused.refusal == world.jobs.usage["req_2"].refusal
    assert world.jobs.usage["req_1"].refusal is None


def test_equal_questions_at_once() -> None:
    """The same question asked again while the first is under way joins it: both are jobs, one is dispatched."""
    world = World()
    first, second = world.submit(), world.submit()

    assert (JobStatus.QUEUED, JobStatus.QUEUED) == (first.status, second.status)
    assert ["req_1"] == world.dispatched
    assert ["req_2"] == world.jobs.followers(first)


def test_joining_a_flight_whose_worker_died_at_its_end() -> None:
    """Who joins a leader that is finished, and whose worker died before telling anybody, is answered at once."""
    world = World()
    leader, follower = world.submit(), world.submit()
    finished = succeeded(leader, make_answer(), world.clock())
    world.jobs.finish(finished, usage_record(finished))
    late = world.submit()

    world.clock.advance(OVERDUE_MS)
    later = world.submit()

    assert [JobStatus.SUCCEEDED] * 3 == [late.status, later.status, world.jobs.get(follower.job_id).status]
    assert [False, True, True, True] == [world.jobs.usage[job.job_id].joined for job in (leader, follower, late, later)]
    assert [leader.job_id] == world.dispatched
    assert world.jobs.leader(late) is None


def test_joining_a_flight_that_cannot_be_looked_at() -> None:
    """Who joined waits, as ever, when the look at the leader fails."""
    world = World()
    world.submit()
    world.jobs.broken = {"leader"}

    assert JobStatus.QUEUED is world.submit().status


def test_skip_cache() -> None:
    """Who skips the cache gets an answer of their own, which nobody joins and the cache still takes in."""
    world = World()
    world.answer(world.submit())
    one, two = world.submit(skip_cache=True), world.submit(skip_cache=True)

    assert ["req_1", "req_2", "req_3"] == world.dispatched
    assert (None, None, CacheBypass.SKIP_CACHE, False) == (one.flight, two.flight, one.cache_bypass, one.no_store)
    assert (entry_of(one).namespace, entry_of(one).entry_id) == (one.namespace, one.entry_id)
    assert one.embedding is not None


def test_no_store() -> None:
    """Who forbids storing may still be answered from the cache; otherwise the job says so to whoever runs it."""
    world = World()
    world.answer(world.submit())
    hit, missed = world.submit(no_store=True), world.submit("Who wrote Faust?", no_store=True)

    assert CacheTier.EXACT == (hit.answer and hit.answer.tier)
    assert missed.no_store


def test_time_dependent() -> None:
    """A question whose answer depends on the time is joined while it is on its way, and its answer is not stored."""
    world = World()
    first, second = world.submit("What time is it?"), world.submit("What time is it?", no_store=True)
    world.answer(first)
    later = world.submit("What time is it?")

    assert ["req_1", "req_3"] == world.dispatched
    assert [(CacheBypass.TIME_DEPENDENT, True)] * 3 == [
        (job.cache_bypass, job.no_store) for job in (first, second, later)
    ]
    assert None is later.answer


def test_no_store_joins_its_own_kind() -> None:
    """Requests that forbid storing join one another, and neither join nor are joined by those that allow it."""
    world = World()
    first = world.submit(no_store=True)
    world.submit()
    world.submit(no_store=True)
    allowing = world.submit()

    assert ["req_1", "req_2"] == world.dispatched
    assert ["req_3"] == world.jobs.followers(first)
    assert ["req_4"] == world.jobs.followers(world.jobs.get("req_2"))
    assert not allowing.no_store


def test_controls_leave_the_place_alone() -> None:
    """How long an answer is kept and how near a hit must be do not divide the cache; the first reaches the job."""
    world = World()
    plain, kept, near = world.submit(), world.submit(cache_ttl_hours=0.5), world.submit(min_similarity=0.99)

    assert (None, 0.5, None) == (plain.cache_ttl_hours, kept.cache_ttl_hours, near.cache_ttl_hours)
    assert 1 == len({(job.namespace, job.entry_id, job.flight) for job in (plain, kept, near)})


def test_failing_dispatch() -> None:
    """When the queue refuses, the caller gets the error, and no queued job and no flight stay behind."""

    def refuse(_: str) -> None:
        raise StoreError("the queue is gone")

    world = World(refuse)
    with pytest.raises(StoreError, match="the queue is gone"):
        world.submit()
    job = world.jobs.get("req_1")

    assert (JobStatus.FAILED, "store_error") == (job.status, job.failure and job.failure.code)
    assert JobStatus.FAILED == world.jobs.usage["req_1"].status
    assert world.jobs.open(replace(job, job_id="next"))


def test_failing_job_table() -> None:
    """When the job cannot be stored, nothing is dispatched."""
    world = World()
    world.jobs.broken = {"open"}
    with pytest.raises(StoreError):
        world.submit()

    assert [] == world.dispatched


def test_answer_stored_between_look_and_claim() -> None:
    """A request that finds the flight just closed takes the answer that the flight left in the cache."""

    class SlowStore(FakeJobStore):
        def open(self, job: Job) -> bool:
            """Open a job, just after another worker stored the answer."""
            world.store.put(entry_of(job), job.embedding)
            return super().open(job)

    world = World()
    jobs = SlowStore(world.clock)
    world = World(jobs=jobs)
    job = world.submit()

    assert (JobStatus.SUCCEEDED, CacheTier.EXACT) == (job.status, job.answer and job.answer.tier)
    assert job == jobs.get("req_1")
    assert ["req_1"] == list(jobs.usage)
    assert [] == world.dispatched
    assert jobs.open(replace(job, job_id="next"))


def begun_by_a_worker(jobs: FakeJobStore, name: str = "req_1") -> None:
    """Let somebody join a request that a worker has taken up meanwhile."""
    jobs.open(replace(jobs.get(name), job_id="joined"))
    jobs.start(name, worker="w", lease_until_ms=NOW_MS + 1_000)


def test_answer_stored_while_a_worker_began() -> None:
    """Who finds the answer when a worker has begun already leaves the request, and who joined it, to the worker."""

    class SlowStore(FakeJobStore):
        def open(self, job: Job) -> bool:
            """Open a job, just after another worker stored the answer."""
            world.store.put(entry_of(job), job.embedding)
            return super().open(job)

        def finish(self, job: Job, usage: UsageRecord) -> bool:
            """Finish a job, just after a worker took it up."""
            begun_by_a_worker(self)
            return super().finish(job, usage)

    jobs = SlowStore(SettableClock())
    world = World(jobs=jobs)
    job = world.submit()

    assert [JobStatus.RUNNING, JobStatus.QUEUED] == [job.status, jobs.get("joined").status]
    assert job.job_id == jobs.leader(job)


def test_message_that_arrived_all_the_same() -> None:
    """When the queue took the message and its answer was lost, the request is on its way, and so is who joined it."""

    def send(job_id: str) -> None:
        begun_by_a_worker(world.jobs, job_id)
        raise StoreError("no answer")

    world = World(send)
    job = world.submit()

    assert [JobStatus.RUNNING, JobStatus.QUEUED] == [job.status, world.jobs.get("joined").status]
    assert job.job_id == world.jobs.leader(job)


def test_cancelled_while_it_could_not_be_queued() -> None:
    """When a request that the queue refuses has been cancelled meanwhile, who joined it takes the lead, and is sent."""

    def send(job_id: str) -> None:
        world.dispatched.append(job_id)
        if len(world.dispatched) == 1:
            world.jobs.open(replace(world.jobs.get(job_id), job_id="joined"))
            ended = cancelled(world.jobs.get(job_id), Failure(code="cancelled", message="x"), NOW_MS)
            world.jobs.finish(ended, usage_record(ended))
            raise StoreError("the queue is gone")

    world = World(send)

    assert JobStatus.CANCELLED is world.submit().status
    assert ["req_1", "joined"] == world.dispatched


@pytest.mark.parametrize("part", ["generation", "get", "nearest"])
def test_broken_cache(part: str) -> None:
    """A broken cache costs a generation, not an error, and the job says what was missing."""
    world = World()
    world.store.broken = {part}
    job = world.submit()

    assert ["req_1"] == world.dispatched
    assert ("cache_index" if part == "nearest" else "cache",) == job.degraded


def test_broken_embedder() -> None:
    """Without the embedder the job goes on without a vector."""
    world = World()
    world.embedder.broken = True
    job = world.submit()

    assert (None, ("embedder",)) == (job.embedding, job.degraded)
    assert ["req_1"] == world.dispatched


def test_missing_embedder_of_the_grader() -> None:
    """A grade by the rules in the learned grader's place is said in the job, whose model follows the rules."""

    def broken(prompt: str) -> tuple[float, ...]:
        raise EmbeddingError("no model")

    job = World(classifier=LearnedClassifier(broken)).submit()

    assert (RuleClassifier().classify(job.prompt).complexity, ("classifier",)) == (job.complexity, job.degraded)


def inline_world() -> World:
    """Return a world whose dispatch runs the inference itself."""

    def run(job_id: str) -> None:
        runner.run(job_id, deadline_ms=world.clock() + 1000)

    world = World(run)
    runner = make_runner(
        jobs=world.jobs,
        cache=world.store,
        statuses=world.statuses,
        model=FakeModel("A ", make_generation()),
        clock=world.clock,
        cache_ttl_hours=24,
        on_store_error=pytest.fail,
    )
    return world


def test_inline() -> None:
    """Inference in the same process leaves a finished job, and the next one is a hit."""
    world = inline_world()
    world.submit()
    again = world.submit()

    assert JobStatus.SUCCEEDED == world.jobs.get("req_1").status
    assert (CacheTier.EXACT, 0) == (again.answer and again.answer.tier, again.latency_ms)


def test_inline_with_a_cache_that_takes_nothing() -> None:
    """An answer that the cache refuses is still the caller's."""
    world = inline_world()
    world.store.broken = {"put"}
    job = world.jobs.get(world.submit().job_id)

    assert (JobStatus.SUCCEEDED, "A language.") == (job.status, job.answer and job.answer.text)
    assert JobStatus.SUCCEEDED == world.jobs.usage["req_1"].status


def test_inline_that_fails_after_the_answer() -> None:
    """A table that fails once the answer is written costs nobody the answer."""
    world = inline_world()

    def run_and_fail(job_id: str) -> None:
        world.pipeline.dispatch(job_id)
        raise StoreError("the flight was not closed")

    pipeline = replace(world.pipeline, dispatch=run_and_fail)
    job = pipeline.submit(make_request(), tenant="default", source=Source.HTTP)

    assert (JobStatus.SUCCEEDED, "A language.") == (job.status, job.answer and job.answer.text)


def test_box_that_is_down() -> None:
    """While the circuit is open a question the cache cannot answer is refused, and hits are served."""
    world = World()
    world.answer(world.submit())
    world.breaker.open_for_ms = 12_000
    with pytest.raises(ModelUnavailableError) as refused:
        world.submit("How tall is Mount Everest?")

    assert refused.value.retry_after_ms == 12_000
    assert world.submit().status is JobStatus.SUCCEEDED
    assert {"req_1", "req_3"} == set(world.jobs.jobs)


def test_breaker_that_cannot_be_read() -> None:
    """A breaker whose table fails refuses nothing."""
    world = World()
    world.breaker.broken = True

    assert world.submit().status is JobStatus.QUEUED


SLOW = Pace(
    model=TINY,
    load_ms=5_000,
    prompt_tokens_per_second=10,
    output_tokens_per_second=20,
    output_tokens=100,
    learned_at_ms=NOW_MS - 30_000,
)
RESIDENT = ResidentModel(name="tinyllama:latest", size_bytes=1, context_length=2048, expires_at="later")


def sighting(*resident: ResidentModel, at_ms: int = NOW_MS) -> BoxSighting:
    """Return a look at the box."""
    return BoxSighting(checked_at_ms=at_ms, state=BoxState(version="0.31.0", installed=(), resident=resident))


@pytest.mark.parametrize(
    ("seen", "expected_ms"),
    [
        (sighting(RESIDENT), 6_000),
        (sighting(), 11_000),
        (BoxSighting(checked_at_ms=NOW_MS, state=None), 11_000),
        (sighting(at_ms=NOW_MS - 60_000), 6_000),
        (None, 6_000),
    ],
    ids=["resident", "not resident", "box was down", "used since the look", "nobody looked"],
)
def test_expected_time(seen: BoxSighting | None, expected_ms: int) -> None:
    """40 characters take 1 s to read and an answer 5 s to write; a model that has left the memory 5 s to load."""
    world = World()
    world.statuses.put_pace(SLOW)
    world.statuses.sighting = seen
    job = world.submit("What is Python?", system_prompt="x" * 25)

    assert expected_ms == job.expected_ms == world.jobs.get(job.job_id).expected_ms
    assert 6_000 == job.expected_ms - job.expected_load_ms


def test_joined_request_is_expected_too() -> None:
    """A request that joins an equal one gets an estimate of its own."""
    world = World()
    world.statuses.put_pace(SLOW)
    first, joined = world.submit(), world.submit()

    assert ["req_1"] == world.dispatched
    assert first.expected_ms == joined.expected_ms is not None


def test_no_estimate() -> None:
    """A table of figures that is empty or fails leaves the time unknown and refuses nothing."""
    unknown, unreadable = World(), World()
    unreadable.statuses.broken = True

    assert (None, None) == (unknown.submit().expected_ms, unreadable.submit().expected_ms)
    assert ["req_1"] == unreadable.dispatched


def test_conversation() -> None:
    """The second question goes to the model with the first and its answer, which also sets its cache entry apart."""
    world = World()
    first = world.submit(conversation_id="c")
    world.answer(first)
    second = world.submit("Since when?", conversation_id="c")
    elsewhere = world.submit("Since when?", conversation_id="d")

    assert () == first.history
    assert (Turn("What is Python?", "A language."),) == second.history
    assert () == elsewhere.history
    assert 3 == len({first.namespace, second.namespace, elsewhere.namespace})


def test_conversation_grades_the_question_alone() -> None:
    """A simple question after a complex one is simple, and goes to the small model with what fits its context."""
    world = World()
    first = world.submit(f"{COMPLEX} {'Mind the gap. ' * 400}", conversation_id="c")
    world.answer(first)
    second = world.submit("Why?", conversation_id="c")
    world.answer(second)
    third = world.submit("And then?", conversation_id="c", force_model=LARGE)

    assert (LARGE, Complexity.SIMPLE, TINY) == (first.model, second.complexity, second.model)
    assert () == second.history  # whole turns only
    assert [first.prompt, "Why?"] == [turn.question for turn in third.history]


def test_conversation_is_claimed_by_one() -> None:
    """While a request is on its way another of its conversation is refused, and leaves nothing behind."""
    world = World()
    world.submit(conversation_id="c")
    with pytest.raises(ConflictError, match="req_1") as refused:
        world.submit("Since when?", conversation_id="c")

    assert "conversation_id" == refused.value.field
    assert ["req_1"] == list(world.jobs.jobs) == world.dispatched


def test_hit_in_a_conversation() -> None:
    """An answer out of the cache is a turn like any other."""
    world = World()
    world.answer(world.submit(conversation_id="c"))
    world.conversations.kept.clear()  # it has expired; the answer is still there
    hit = world.submit("what's Python", conversation_id="c")
    then = world.submit("Since when?", conversation_id="c")

    assert hit.answer is not None
    assert CacheTier.SEMANTIC is hit.answer.tier
    assert (Turn("what's Python", "A language."),) == then.history


@pytest.mark.parametrize(("broken", "status"), [("open", JobStatus.QUEUED), ("record", JobStatus.SUCCEEDED)])
def test_conversation_of_a_request_that_was_not_stored(broken: str, status: JobStatus) -> None:
    """A table that does not take the request leaves the conversation to the next one."""
    world = World()
    if broken == "record":
        world.answer(world.submit("Hello", conversation_id="c"))
        world.conversations.kept.clear()  # it has expired; the answer is still there
    world.jobs.broken = {broken}
    with pytest.raises(StoreError):
        world.submit("Hello", conversation_id="c")
    world.jobs.broken = set()

    assert status is world.submit("Hello", conversation_id="c").status


def test_conversation_while_the_box_is_down() -> None:
    """A question that is refused because the box is down does not hold its conversation."""
    world = World()
    world.breaker.open_for_ms = 1000
    with pytest.raises(ModelUnavailableError):
        world.submit(conversation_id="c")
    world.breaker.open_for_ms = None

    assert JobStatus.QUEUED is world.submit(conversation_id="c").status


def test_expected_time_of_a_conversation() -> None:
    """What the model reads before the question takes its time, too."""
    world = World()
    world.statuses.paces[TINY] = Pace(
        model=TINY, prompt_tokens_per_second=1, output_tokens_per_second=1e6, output_tokens=0.0
    )
    first = world.submit("Why", conversation_id="c", system_prompt="Think")
    world.answer(first)
    second = world.submit("Why", conversation_id="c", system_prompt="Think")

    assert len("ThinkWhy") / 4 * 1000 == first.expected_ms
    assert len("ThinkWhyWhyA language.") / 4 * 1000 == second.expected_ms


OTHER, CLOUD = "ollama/phi3", "cloud/gpt-4o-mini"
TIERS = {Complexity.SIMPLE: TINY, Complexity.MEDIUM: TINY, Complexity.COMPLEX: LARGE}


def world_with_cloud(**pipeline: object) -> World:
    """Return a world whose box has another model, and which has a cloud."""
    return World(**{"router": Router(TIERS, fallback=OTHER, cloud=CLOUD)} | pipeline)


def test_fallbacks_have_places_of_their_own() -> None:
    """Each model that may answer has its own partition of the cache, the one it has when it is forced, and limit."""
    job = world_with_cloud().submit()
    forced = [world_with_cloud().submit(force_model=model) for model in (OTHER, CLOUD)]

    assert [(OTHER, forced[0].namespace, 1024), (CLOUD, forced[1].namespace, 1024)] == [
        (target.model, target.namespace, target.max_tokens) for target in job.fallbacks
    ]
    assert 3 == len({job.namespace, *(target.namespace for target in job.fallbacks)})
    assert [(), ()] == [each.fallbacks for each in forced]
    assert 512 == job.max_tokens


def test_forced_model_joins_nobody_who_has_fallbacks() -> None:
    """A caller who insists on a model does not get a fallback's answer by joining, nor costs others their fallbacks."""
    world = world_with_cloud()
    jobs = [world.submit(), world.submit(force_model=TINY), world.submit(), world.submit(force_model=TINY)]

    assert 1 == len({job.namespace for job in jobs})
    assert ["req_1", "req_2"] == world.dispatched
    assert [["req_3"], ["req_4"]] == [world.jobs.followers(job) for job in jobs[:2]]


def test_caller_s_limit_is_every_model_s() -> None:
    """A limit that the caller names is kept, whoever answers."""
    job = world_with_cloud().submit(max_tokens=7)

    assert [7, 7, 7] == [job.max_tokens, *(target.max_tokens for target in job.fallbacks)]


def test_box_that_is_down_is_passed_over() -> None:
    """While the circuit is open a question goes to the cloud at once; who asks the same joins and is run by nobody."""
    world = world_with_cloud()
    world.breaker.open_for_ms = 12_000
    first, second = world.submit(), world.submit()

    assert ([], ["req_1"]) == (world.dispatched, world.jobs.escalations)
    assert (JobStatus.ESCALATED, JobStatus.QUEUED) == (
        world.jobs.get(first.job_id).status,
        world.jobs.get(second.job_id).status,
    )
    assert ["req_2"] == world.jobs.followers(first)
    assert world.jobs.get(first.job_id).expected_ms is None


def test_cloud_is_not_paid_twice() -> None:
    """What the cloud answered before is served while the box is down, says so, and is free; unless it is skipped."""
    world = world_with_cloud()
    job = world.submit()
    world.store.put(make_entry(job.prompt, job.fallbacks[1].namespace, model=CLOUD), job.embedding)
    world.jobs.close_flight(job, followers=[])
    world.breaker.open_for_ms = 12_000
    hit = world.submit("what is python")
    anew = world.submit(skip_cache=True)

    assert hit.answer is not None
    assert (JobStatus.SUCCEEDED, CLOUD, 0) == (hit.status, hit.answer.fallback, hit.answer.actual_nano_usd)
    assert world.jobs.usage[hit.job_id].fallback
    assert [anew.job_id] == world.jobs.escalations


def test_forced_cloud() -> None:
    """A caller who insists on the cloud gets it, whatever the box does; its answers are hits, and no fallback's."""
    world = world_with_cloud()
    job = world.submit(force_model=CLOUD)
    world.answer(job)
    again = world.submit(force_model=CLOUD)

    assert ([], [job.job_id]) == (world.dispatched, world.jobs.escalations)
    assert again.answer is not None
    assert (CacheTier.EXACT, None) == (again.answer.tier, again.answer.fallback)


def test_forced_local_model_waits_for_the_box() -> None:
    """A caller who insists on a model of the box is told that it is down, even where there is a cloud."""
    world = world_with_cloud()
    world.breaker.open_for_ms = 12_000
    with pytest.raises(ModelUnavailableError) as caught:
        world.submit(force_model=TINY)

    assert 12_000 == caught.value.retry_after_ms


def test_escalation_that_fails() -> None:
    """A table that does not take the escalation fails the request, with a record, and its question is free again."""
    world = world_with_cloud()
    world.jobs.broken = {"escalate"}
    with pytest.raises(StoreError):
        world.submit(force_model=CLOUD)

    assert JobStatus.FAILED is world.jobs.usage["req_1"].status
    assert [] == world.jobs.followers(world.jobs.get("req_1"))


def test_fallbacks_get_the_turns_that_fit_them() -> None:
    """A fallback with a smaller context is sent fewer turns, in a place that says so; the cloud is sent them all."""
    world = world_with_cloud()
    for number in range(4):
        world.answer(world.submit(f"{number} {COMPLEX * 12}", conversation_id="c", force_model=LARGE))
    request = make_request(COMPLEX, conversation_id="c")
    job = world.pipeline.submit(request, tenant="default", source=Source.HTTP)
    other, cloud = job.fallbacks
    place = world.pipeline.cache.lookup(
        "default", request, OTHER, canonical=COMPLEX, history=job.history[-other.turns :]
    )

    assert (LARGE, 4, 4) == (job.model, len(job.history), cloud.turns)
    assert 0 < other.turns < 4
    assert place.namespace == other.namespace


PHI_FOR_HALF = (
    Arm(tier=Complexity.SIMPLE, arm="default", weight=1),
    Arm(tier=Complexity.SIMPLE, arm="phi", weight=1, model=OTHER),
)


def test_arms() -> None:
    """A tenant's equal questions have one arm and share an answer, its conversations are shared out, records agree."""
    world = World(router=Router(TIERS, arms=PHI_FOR_HALF))
    first = world.submit()
    world.answer(first)
    again = world.submit()
    arms = {world.submit(conversation_id=f"c-{number}").arm for number in range(20)}
    forced = world.submit(force_model=OTHER)

    assert first.arm == chosen(PHI_FOR_HALF, unit_of("default")).arm == again.arm
    assert (JobStatus.SUCCEEDED, first.model) == (again.status, again.model)
    assert {"default", "phi"} == arms
    assert (OTHER, "forced") == (forced.model, forced.arm)
    assert [first.arm, again.arm] == [world.jobs.usage[job.job_id].arm for job in (first, again)]
