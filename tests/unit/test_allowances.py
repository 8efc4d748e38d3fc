"""What requests take of their keys: slots, and shares of the month's budget."""

from itertools import count

import pytest
from msgspec.structs import replace

from llm_router.access.allowances import BUDGET, LOST_AFTER_MS, OPENED_AFTER_MS, Allowances
from llm_router.access.callers import Caller
from llm_router.access.keys import Limits, LowBudgetPolicy
from llm_router.access.limits import Balance, BudgetAlert, Reservation
from llm_router.access.worst_case import LONGEST_ANSWER_MS, WorstCase
from llm_router.accounting.rollups import usage_event
from llm_router.accounting.usage import BudgetKey
from llm_router.classification import Complexity, RuleClassifier
from llm_router.conversations import Conversations
from llm_router.errors import BudgetExceededError, ConflictError, NotFoundError, RateLimitedError, StoreError
from llm_router.estimates import Pace
from llm_router.jobs import failed, succeeded, usage_record
from llm_router.models import Failure, Job, JobStatus, Source, Target
from llm_router.pipeline import Pipeline
from llm_router.routing import Router
from llm_router.sampling import JsonSchema, ResponseFormat, Sampling
from llm_router.semantic_cache import SemanticCache
from tests.builders import COSTS, TINY, make_answer, make_entry, make_job, make_request
from tests.fakes import (
    NOW_MS,
    FakeAllowanceStore,
    FakeBreaker,
    FakeCacheStore,
    FakeConversationStore,
    FakeEmbedder,
    FakeJobStore,
    FakeRollupStore,
    FakeStatusStore,
    SettableClock,
)

LARGE = "ollama/llama3.2"
COMPLEX = "Design a distributed cache with replication and sharding for a microservices architecture, step by step."
WHOLE = COSTS.box_nano_usd(LONGEST_ANSWER_MS * 1_000_000)
"""What is reserved of a model that nobody knows anything of."""
KEY = BudgetKey("2023-11", "key_1")
MONTH_END_MS = 1_701_388_800_000
"""2023-12-01 00:00 UTC."""


def pace(model: str, tokens_per_second: float) -> Pace:
    """Return the figures of a model that reads in no time and is loaded in none."""
    return Pace(
        model=model,
        prompt_tokens_per_second=1e9,
        output_tokens_per_second=tokens_per_second,
        output_tokens=20.0,
        learned_at_ms=NOW_MS,
    )


class World:
    """A pipeline whose callers have a key, and what counts the records of their requests."""

    def __init__(self, **limits: object) -> None:
        self.clock = SettableClock()
        self.store, self.statuses, self.jobs = FakeAllowanceStore(), FakeStatusStore(), FakeJobStore(self.clock)
        self.cache, self.conversations = FakeCacheStore(), FakeConversationStore(self.clock)
        self.rollups = FakeRollupStore(self.store)
        self.alerts: list[BudgetAlert] = []
        self.troubles: list[Exception] = []
        self.dispatched: list[str] = []
        self.caller = Caller(tenant="acme", key_id="key_1", limits=Limits(**limits))
        models = {Complexity.SIMPLE: TINY, Complexity.MEDIUM: TINY, Complexity.COMPLEX: LARGE}
        numbers = count(1)
        self.pipeline = Pipeline(
            classifier=RuleClassifier(),
            router=Router(models),
            cache=SemanticCache(self.cache, FakeEmbedder(), threshold=0.85, clock=self.clock),
            conversations=Conversations(self.conversations, self.jobs.get, self.clock),
            jobs=self.jobs,
            costs=COSTS,
            dispatch=self.dispatched.append,
            breaker=FakeBreaker(),
            statuses=self.statuses,
            clock=self.clock,
            new_id=lambda: f"req_{next(numbers)}",
            allowances=Allowances(
                store=self.store,
                worst_case=WorstCase(statuses=self.statuses, costs=COSTS),
                clock=self.clock,
                announce=self.announce,
                on_store_error=self.troubles.append,
            ),
        )

    def announce(self, alert: BudgetAlert) -> None:
        """Keep an alert."""
        self.alerts.append(alert)

    def submit(self, message: str, *, source: Source = Source.HTTP, job_id: str | None = None, **fields: object) -> Job:
        """Submit a request of the key's."""
        mine = self.pipeline.limited_to(self.caller)
        return mine.submit(make_request(message, **fields), tenant="acme", source=source, job_id=job_id)

    def end(self, job: Job, cost_nano_usd: int | None = None) -> None:
        """Let a job end with an answer of some cost, or fail, and count its record."""
        if cost_nano_usd is None:
            ended = failed(job, Failure(code="model_error", message="it broke"), self.clock())
        else:
            ended = succeeded(job, make_answer(actual_nano_usd=cost_nano_usd), self.clock())
        self.jobs.finish(ended, usage_record(ended))
        self.rollups.add([usage_event(usage_record(ended))])

    @property
    def balance(self) -> Balance:
        """What has become of the budget."""
        return self.store.balances[KEY]


def test_without_limits() -> None:
    """A key without slots and budget leaves no trace, so that a broken store does not even come to light."""
    world = World(requests_per_minute=5)
    world.store.broken = True

    assert world.submit("What is Python?").reservation is None
    assert {} == world.store.balances


def test_reserved_and_charged() -> None:
    """A request holds the most that it can cost until it ends, and then counts for what it did cost."""
    world = World(monthly_budget_nano_usd=3 * WHOLE)
    job = world.submit("What is Python?")
    held = world.balance
    world.end(job, 1234)

    assert (
        Reservation(key_id="key_1", month="2023-11", nano_usd=WHOLE)
        == job.reservation
        == world.jobs.get("req_1").reservation
    )
    assert Balance(committed_nano_usd=WHOLE) == held
    assert Balance(committed_nano_usd=1234, spent_nano_usd=1234) == world.balance


def test_charged_to_its_month() -> None:
    """A request that ends in the next month is charged to the one in which it was begun."""
    world = World(monthly_budget_nano_usd=3 * WHOLE)
    job = world.submit("What is Python?")
    world.clock.now_ms = MONTH_END_MS + 1
    world.end(job, 1234)

    assert {KEY} == world.store.balances.keys()
    assert 1234 == world.balance.committed_nano_usd


def test_failure_is_charged_too() -> None:
    """A request that fails gives back what it held, but for what the failure cost."""
    world = World(monthly_budget_nano_usd=3 * WHOLE)
    world.end(world.submit("What is Python?"))

    assert Balance() == world.balance


def test_hits_are_free() -> None:
    """An answer out of the cache takes nothing, even where there is nothing left."""
    world = World(monthly_budget_nano_usd=0, concurrent_requests=1)
    with pytest.raises(BudgetExceededError):
        world.submit("What is Python?")
    namespace = World().submit("What is Python?").namespace
    world.cache.put(make_entry("What is Python?", namespace, tenant="acme"), None)

    assert JobStatus.SUCCEEDED is world.submit("What is Python?").status


def test_used_up() -> None:
    """What does not fit is refused, nothing is stored of it, and money that others only hold may come back soon."""
    world = World(monthly_budget_nano_usd=2 * WHOLE)
    first, _ = world.submit("What is Python?"), world.submit("What is a heap?")
    with pytest.raises(BudgetExceededError) as held:
        world.submit("What is a stack?")
    world.end(first, WHOLE + 1)
    with pytest.raises(BudgetExceededError) as spent:
        world.submit("What is a stack?")

    assert ["req_1", "req_2"] == world.dispatched
    with pytest.raises(NotFoundError):
        world.jobs.get("req_3")
    assert (2000, "monthly_budget_nano_usd") == (held.value.retry_after_ms, held.value.field)
    assert MONTH_END_MS - NOW_MS == spent.value.retry_after_ms


def test_joining_is_free_in_the_end() -> None:
    """A request that joins an equal one holds its share while it waits, in case it has to lead."""
    world = World(monthly_budget_nano_usd=3 * WHOLE)
    world.submit("What is Python?")
    follower = world.submit("What is Python?")
    held = world.balance.committed_nano_usd
    world.end(follower, 0)

    assert (["req_1"], 2 * WHOLE, WHOLE) == (world.dispatched, held, world.balance.committed_nano_usd)


def test_what_never_came_to_be() -> None:
    """A request that cannot be stored, because there is one of its id, gives back what it took."""
    world = World(monthly_budget_nano_usd=3 * WHOLE, concurrent_requests=2)
    world.submit("What is Python?", job_id="req_a")
    with pytest.raises(ConflictError):
        world.submit("What is a heap?", job_id="req_a")

    assert WHOLE == world.balance.committed_nano_usd
    assert world.submit("What is a stack?")


def test_what_never_came_to_be_without_a_budget() -> None:
    """Where there is only a bound of slots, the slot is all that is given back."""
    world = World(concurrent_requests=2)
    world.submit("What is Python?", job_id="req_a")
    with pytest.raises(ConflictError):
        world.submit("What is a heap?", job_id="req_a")

    assert world.submit("What is a stack?")
    assert {} == world.store.balances


def test_cannot_be_given_back() -> None:
    """What cannot be given back stays taken; the caller hears of the conflict all the same."""
    world = World(monthly_budget_nano_usd=3 * WHOLE, concurrent_requests=2)
    job = world.submit("What is Python?")
    world.store.broken = True
    assert world.pipeline.allowances is not None
    world.pipeline.allowances.give_back(world.caller, job)

    assert 2 == len(world.troubles)
    assert WHOLE == world.balance.committed_nano_usd


def test_function_that_died() -> None:
    """What a function reserved that never stored its request is free again when no function can be about to."""
    world = World(monthly_budget_nano_usd=WHOLE)
    world.jobs.broken = {"open"}
    with pytest.raises(StoreError):
        world.submit("What is Python?")
    world.jobs.broken = set()
    world.clock.advance(LOST_AFTER_MS)
    with pytest.raises(BudgetExceededError):
        world.submit("What is Python?")
    world.clock.advance(1)

    assert world.submit("What is Python?").reservation
    assert Balance(committed_nano_usd=WHOLE, is_announced=True) == world.balance


def test_request_that_was_stored_after_all() -> None:
    """What a request holds that is on its way is not given back, though nobody could note that it was stored."""
    world = World(monthly_budget_nano_usd=WHOLE)
    held = Reservation(key_id="key_1", month="2023-11", nano_usd=WHOLE)
    job = world.submit("What is Python?")
    world.store.balances[KEY] = replace(world.balance, opening=frozenset({f"{NOW_MS}#{job.job_id}#{WHOLE}"}))
    world.clock.advance(LOST_AFTER_MS + 1)
    with pytest.raises(BudgetExceededError):
        world.submit("What is a heap?")

    assert held == job.reservation
    assert Balance(committed_nano_usd=WHOLE, is_announced=True) == world.balance


def test_too_late_to_tell() -> None:
    """A request that may have expired is not taken for one that never was."""
    world = World(monthly_budget_nano_usd=WHOLE)
    held = Reservation(key_id="key_1", month="2023-11", nano_usd=WHOLE)
    world.store.reserve(held, WHOLE, f"{NOW_MS}#req_x#{WHOLE}")
    world.clock.advance(24 * 3_600_000)

    with pytest.raises(BudgetExceededError):
        world.submit("What is a heap?")


def test_cannot_be_noted() -> None:
    """Where nobody can note that a request is stored it goes on, and somebody hears of it."""
    world = World(monthly_budget_nano_usd=3 * WHOLE)
    job = world.submit("What is Python?")
    world.store.broken = True
    assert world.pipeline.allowances is not None
    world.pipeline.allowances.note_opened(job)

    assert 1 == len(world.troubles)


def test_unknown_budget() -> None:
    """Where nobody knows what is left, nothing is begun."""
    world = World(monthly_budget_nano_usd=3 * WHOLE)
    world.store.broken = True

    with pytest.raises(StoreError):
        world.submit("What is Python?")
    assert [] == world.dispatched


def test_alert() -> None:
    """When four fifths are spent or held somebody is told, once; until he could be, it is tried again."""
    world = World(monthly_budget_nano_usd=5 * WHOLE)
    for question in ("heap", "stack", "tree"):
        world.submit(f"What is a {question}?")
    early = list(world.alerts)

    def fail(_: BudgetAlert) -> None:
        raise StoreError("announcing failed")

    assert world.pipeline.allowances is not None
    deaf = replace(world.pipeline, allowances=replace(world.pipeline.allowances, announce=fail))
    deaf.limited_to(world.caller).submit(make_request("What is a list?"), tenant="acme", source=Source.HTTP)
    unheard = list(world.alerts)
    world.submit("What is a queue?")
    with pytest.raises(BudgetExceededError):
        world.submit("What is a ring?")

    assert ([], [], 1) == (early, unheard, len(world.troubles))
    assert [
        BudgetAlert(
            key_id="key_1",
            tenant="acme",
            month="2023-11",
            budget_nano_usd=5 * WHOLE,
            committed_nano_usd=5 * WHOLE,
            spent_nano_usd=0,
        )
    ] == world.alerts
    assert world.balance.is_announced


def downgrading() -> World:
    """Return a world whose key has a budget that is nearly used up, and a cheap model besides a dear one."""
    world = World(low_budget_policy=LowBudgetPolicy.DOWNGRADE, monthly_budget_nano_usd=1000 * WHOLE)
    world.statuses.put_pace(pace(TINY, 1000))
    world.statuses.put_pace(pace(LARGE, 10))
    world.store.reserve(Reservation(key_id="key_1", month="2023-11", nano_usd=800 * WHOLE), 1000 * WHOLE, "0#req_0#0")
    return world


def test_downgraded() -> None:
    """From four fifths on the cheapest model answers, and the answer says what it had to do without."""
    world = downgrading()
    job = world.submit(COMPLEX)

    assert (TINY, Complexity.COMPLEX, ("budget",)) == (job.model, job.complexity, job.degraded)
    assert (BUDGET,) == job.degraded
    assert [job.job_id] == world.dispatched
    assert job.reservation is not None
    assert 800 * WHOLE + job.reservation.nano_usd == world.balance.committed_nano_usd


def test_downgraded_until_nothing_is_left() -> None:
    """When not even the cheapest fits, it is refused."""
    world = downgrading()
    world.store.reserve(Reservation(key_id="key_1", month="2023-11", nano_usd=200 * WHOLE), 1000 * WHOLE, "0#req_0#0")

    with pytest.raises(BudgetExceededError):
        world.submit(COMPLEX)


def test_downgraded_within_what_the_key_may() -> None:
    """A model that the key may not have does not answer in a dear one's place."""
    world = downgrading()
    world.caller = replace(world.caller, allowed_models=(LARGE,))

    assert LARGE == world.submit(COMPLEX).model


def test_not_downgraded() -> None:
    """Before that, or by the other policy, or where the caller insists on a model, nothing cheaper answers."""
    early = World(low_budget_policy=LowBudgetPolicy.DOWNGRADE, monthly_budget_nano_usd=2 * WHOLE)
    refusing = downgrading()
    limits = replace(refusing.caller.limits, low_budget_policy=LowBudgetPolicy.REFUSE)
    refusing.caller = replace(refusing.caller, limits=limits)

    jobs = early.submit(COMPLEX), refusing.submit(COMPLEX), downgrading().submit(COMPLEX, force_model=LARGE)
    assert [(LARGE, ())] * 3 == [(job.model, job.degraded) for job in jobs]


def test_slots() -> None:
    """As many requests are on their way as may be; one that has ended makes room by itself."""
    world = World(concurrent_requests=2)
    first, _ = world.submit("What is Python?"), world.submit("What is a heap?")
    with pytest.raises(RateLimitedError) as caught:
        world.submit("What is a stack?")
    world.end(first)

    assert ("concurrent_requests", 2000) == (caught.value.field, caught.value.retry_after_ms)
    assert "req_4" == world.submit("What is a stack?").job_id
    with pytest.raises(RateLimitedError):
        world.submit("What is a ring?")


def test_slots_that_others_take_first() -> None:
    """Who frees slots and finds them taken by others, time and again, is refused in the end."""
    world = World(concurrent_requests=1)
    world.end(world.submit("What is Python?"))

    class Contended(FakeAllowanceStore):
        def take_slot(self, *_: object) -> tuple[str, ...]:
            return (f"{NOW_MS}#req_1",)

    assert world.pipeline.allowances is not None
    contended = replace(world.pipeline, allowances=replace(world.pipeline.allowances, store=Contended()))

    with pytest.raises(RateLimitedError):
        contended.limited_to(world.caller).submit(make_request("What is a heap?"), tenant="acme", source=Source.HTTP)


def test_slot_of_a_request_that_never_was() -> None:
    """A slot whose request was not stored is free a minute later, and not while it may be about to be."""
    world = World(concurrent_requests=1)
    world.store.take_slot("key_1", f"{NOW_MS}#req_x", 1, NOW_MS)
    with pytest.raises(RateLimitedError):
        world.submit("What is Python?")
    world.clock.now_ms += OPENED_AFTER_MS + 1

    assert world.submit("What is Python?")


def test_slot_of_a_dead_worker() -> None:
    """A request whose worker died keeps its slot, and whoever runs into it gets it going again."""
    world = World(concurrent_requests=1)
    job = world.submit("What is Python?")
    world.jobs.start(job.job_id, worker="dead", lease_until_ms=NOW_MS + 1)
    world.clock.now_ms += 3_600_000
    with pytest.raises(RateLimitedError):
        world.submit("What is a heap?")

    assert [job.job_id] * 2 == world.dispatched


def test_slot_is_free_when_the_budget_is_not() -> None:
    """A request that is refused for its cost keeps no slot."""
    world = World(concurrent_requests=1, monthly_budget_nano_usd=WHOLE - 1)
    for _ in range(2):
        with pytest.raises(BudgetExceededError):
            world.submit("What is Python?")


def test_batches_take_no_slot() -> None:
    """What nobody waits for is not counted among the requests on their way."""
    world = World(concurrent_requests=1)
    jobs = [world.submit(f"What is a {each}?", source=Source.BATCH, job_id=f"req_{each}") for each in ("heap", "ring")]

    assert [JobStatus.QUEUED] * 2 == [job.status for job in jobs]


def test_slots_that_nobody_can_count() -> None:
    """While slots cannot be counted everybody may ask, and somebody hears of it."""
    world = World(concurrent_requests=1)
    world.store.broken = True

    assert [world.submit(f"What is a {each}?").job_id for each in ("heap", "ring")]
    assert 2 == len(world.troubles)


def test_worst_case_of_the_box() -> None:
    """A model takes four times as long as it should for the longest answer at most, and never longer than a worker."""
    statuses = FakeStatusStore()
    worst = WorstCase(statuses=statuses, costs=COSTS)
    unknown = worst.nano_usd(make_job(max_tokens=100))
    statuses.put_pace(pace(TINY, 50))
    known = worst.nano_usd(make_job(max_tokens=100))
    slow = worst.nano_usd(make_job(max_tokens=1_000_000))

    assert (WHOLE, COSTS.box_nano_usd(4 * 2_000_000_000), WHOLE) == (unknown, known, slow)


def test_worst_case_of_a_schema() -> None:
    """The cloud reads the form of an answer besides the question, and is paid for it."""
    schema = JsonSchema(name="x", schema={"enum": ["y" * 1000]})
    form = ResponseFormat(type="json_schema", json_schema=schema)
    plain = make_job(model="cloud/gpt-4o-mini", max_tokens=100)
    worst = WorstCase(statuses=FakeStatusStore(), costs=COSTS)
    formed = worst.nano_usd(replace(plain, sampling=Sampling(response_format=form)))

    thousand = COSTS.prices.price("gpt-4o-mini", "2023-11-14").cost_nano_usd(1000, 0)
    assert worst.nano_usd(plain) + thousand <= formed


def test_worst_case_of_the_cloud() -> None:
    """The cloud is paid for each byte of the question and the longest answer, besides the box that was asked before."""
    cloud = Target(model="cloud/gpt-4o-mini", namespace="ns", max_tokens=100)
    job = make_job(prompt="é" * 10, system_prompt="x" * 5, fallbacks=(cloud,))
    worst = WorstCase(statuses=FakeStatusStore(), costs=COSTS)
    list_price = COSTS.prices.price("gpt-4o-mini", "2023-11-14").cost_nano_usd(20 + 5 + 2 * 16, 100)

    assert WHOLE + list_price == worst.nano_usd(job)
    assert list_price == worst.alone_nano_usd(replace(job, max_tokens=100), "cloud/gpt-4o-mini")
