from itertools import count

from msgspec.structs import replace

from llm_router.accounting.quantities import QUANTITIES, Quantities
from llm_router.accounting.tally import Tally
from llm_router.accounting.usage import UsageRecord
from llm_router.classification import Complexity, RuleClassifier
from llm_router.conversations import Conversations
from llm_router.errors import ModelUnavailableError, RouterError
from llm_router.models import Generation, Job, JobStatus, Source, WaitingFunction
from llm_router.pipeline import Pipeline
from llm_router.routing import Router
from llm_router.semantic_cache import SemanticCache
from tests.builders import COSTS, TINY, make_generation, make_request, make_runner
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

CLOUD = "cloud/gpt-4o-mini"
GENERATION = make_generation()
RECORDING = 2000 * (1 + 1 + 3)
"""Of a record of less than 1 KB, which is counted in three rows."""
FRONT_MB, WORKER_MB = 1000, 256


class World:
    """Two functions, `chat` and `infer`, that take 10 ms for whatever they ask a store, and 3 s for an answer."""

    def __init__(self, *, has_cloud: bool = False) -> None:
        self.clock = SettableClock()
        self.jobs = FakeJobStore(self.clock)
        self.cache = FakeCacheStore()
        self.chat = Tally(FRONT_MB, lambda: self.clock.now_ms * 1_000_000)
        self.infer = Tally(WORKER_MB, lambda: self.clock.now_ms * 1_000_000)
        self.dispatched: list[str] = []
        numbers = count(1)
        tiers = dict.fromkeys(Complexity, TINY)
        self.pipeline = Pipeline(
            classifier=RuleClassifier(),
            router=Router(tiers, cloud=CLOUD if has_cloud else None),
            cache=SemanticCache(self.cache, FakeEmbedder(), threshold=0.85, clock=self.clock),
            conversations=Conversations(FakeConversationStore(self.clock), self.jobs.get, self.clock),
            jobs=self.jobs,
            costs=COSTS,
            dispatch=self.dispatched.append,
            breaker=FakeBreaker(),
            statuses=FakeStatusStore(),
            clock=self.clock,
            new_id=lambda: f"req_{next(numbers)}",
            tally=self.chat,
        )

    def ask(self, *, source: Source = Source.HTTP, wait_seconds: float = 25) -> Job:
        """Ask a question; the cache consumes half a read unit."""
        with self.chat.running():
            self.clock.advance(10)
            self.chat.add(read_request_milliunits=500)
            return self.pipeline.submit(make_request(), tenant="default", source=source, wait_seconds=wait_seconds)

    def answer(self, step: Generation | RouterError = GENERATION, *, in_cloud: bool = False) -> None:
        """Let `infer`, or `infer_cloud`, run the first job; the model thinks for 3 s first."""
        runner = make_runner(
            jobs=self.jobs,
            cache=self.cache,
            statuses=FakeStatusStore(),
            model=FakeModel(lambda: self.clock.advance(3000), step),
            clock=self.clock,
            tally=self.infer,
            in_cloud=in_cloud,
        )
        with self.infer.running(queue_requests=0 if in_cloud else 3):
            runner.run("req_1", deadline_ms=NOW_MS + 60_000)

    def used(self, request_id: str) -> Quantities:
        """Return the quantities of a record, without what every record has."""
        return quantities(self.jobs.usage[request_id])


def quantities(record: UsageRecord) -> Quantities:
    """Return the quantities of a record, without its own write and the counting."""
    found = {name: getattr(record, name) for name in QUANTITIES}
    found["write_request_milliunits"] -= RECORDING
    return Quantities(**found)


def test_miss() -> None:
    """A miss costs `chat` until it is handed over and until the caller sees the answer, and `infer`, and a message."""
    world = World()
    world.ask()
    world.answer()
    # 10 ms, and looks until 3,312 ms after; infer 3,000 ms. The vector makes the job one of 3 KB, which is read 10
    # times at a unit, written at 6, and leaves the line at 1.
    expected = Quantities(
        lambda_mb_ms=(10 + 3312) * FRONT_MB + 3000 * WORKER_MB,
        lambda_requests=2,
        read_request_milliunits=500 + 10_000,
        write_request_milliunits=7000,
        gateway_requests=1,
        queue_requests=3,
    )

    assert expected == world.used("req_1")


def test_hit() -> None:
    """A hit costs `chat`, the gateway, a read, and the writes of its job and its record."""
    world = World()
    world.ask()
    world.answer()
    world.ask()
    expected = Quantities(
        lambda_mb_ms=10 * FRONT_MB,
        lambda_requests=1,
        read_request_milliunits=500,
        write_request_milliunits=4000,
        gateway_requests=1,
    )

    assert expected == world.used("req_2")


def test_joined() -> None:
    """Who joined costs his own `chat`, and nothing of the box's function or the queue."""
    world = World()
    world.ask()
    world.ask()
    world.answer()
    # He came 10 ms later, so that the answer is there 3,000 ms after his request was stored, too.
    expected = Quantities(
        lambda_mb_ms=(10 + 3312) * FRONT_MB,
        lambda_requests=1,
        read_request_milliunits=500 + 10_000,
        write_request_milliunits=7000,
        gateway_requests=1,
    )

    assert ["req_1"] == world.dispatched
    assert expected == world.used("req_2")


def test_cloud() -> None:
    """What the box's function did in vain is in the request's record, beside what the cloud's did."""
    world = World(has_cloud=True)
    world.ask()
    world.answer(ModelUnavailableError("down"))
    world.answer(in_cloud=True)
    used = world.used("req_1")

    assert JobStatus.SUCCEEDED is world.jobs.usage["req_1"].status
    # chat until the look after 6,000 ms: 812.5 + 11 x 500
    assert (10 + 6312) * FRONT_MB + 2 * 3000 * WORKER_MB == used.lambda_mb_ms
    assert (3, 3, 1) == (used.lambda_requests, used.queue_requests, used.gateway_requests)


def test_batch_line() -> None:
    """A line of a batch has no request to the gateway, and nobody who waits."""
    world = World()
    job = world.ask(source=Source.SQS, wait_seconds=0)
    world.answer()

    assert job.waiter is None
    assert (0, 10 * FRONT_MB + 3000 * WORKER_MB) == (
        world.used("req_1").gateway_requests,
        world.used("req_1").lambda_mb_ms,
    )


def test_stored_answer_of_the_cloud() -> None:
    """Who gets at once what the cloud answered before, the box being down, has not waited."""
    world = World(has_cloud=True)
    world.ask()
    world.answer(ModelUnavailableError("down"))
    world.answer(make_generation(model=CLOUD), in_cloud=True)
    breaker = FakeBreaker()
    breaker.open_for_ms = 60_000
    world.pipeline = replace(world.pipeline, breaker=breaker)
    job = world.ask()
    used = world.used(job.job_id)

    assert job.answer
    assert CLOUD == job.answer.fallback
    assert (10 * FRONT_MB, 1, 500) == (used.lambda_mb_ms, used.lambda_requests, used.read_request_milliunits)


def test_patience() -> None:
    """A caller's patience counts from his arrival, and what is left of it from when his request was stored."""
    assert WaitingFunction(since_ms=NOW_MS + 10, waits_ms=25_000, memory_mb=FRONT_MB) == World().ask().waiter


def test_inline() -> None:
    """Where the function that is called does the work itself, nobody waits beside it."""
    world = World()
    inline = Pipeline(
        **{name: getattr(world.pipeline, name) for name in Pipeline.__struct_fields__} | {"is_inline": True}
    )

    assert inline.submit(make_request(), tenant="default", source=Source.HTTP, wait_seconds=25).waiter is None
