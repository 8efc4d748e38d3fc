from collections.abc import Mapping
from itertools import count

import pytest
from msgspec.structs import replace

from llm_router.access.allowances import Allowances
from llm_router.access.callers import Caller
from llm_router.access.keys import Limits
from llm_router.access.worst_case import LONGEST_ANSWER_MS, WorstCase
from llm_router.classification import Classification, Complexity, RuleClassifier
from llm_router.conversations import Conversations
from llm_router.errors import ConflictError, InvalidRequestError, ModelUnavailableError, PromptTooLongError
from llm_router.idempotency import KeyedRequests, body_sha256, key_of
from llm_router.jobs import succeeded, usage_record
from llm_router.models import Job, JobStatus, Source, Turn
from llm_router.pipeline import Pipeline
from llm_router.prompt import sha256_hex
from llm_router.request_bodies import ChatRequest
from llm_router.routing import Router
from llm_router.semantic_cache import SemanticCache
from tests.builders import COSTS, TINY, make_answer, make_request
from tests.fakes import (
    FakeAllowanceStore,
    FakeBreaker,
    FakeCacheStore,
    FakeConversationStore,
    FakeEmbedder,
    FakeIdempotencyStore,
    FakeJobStore,
    FakeStatusStore,
    SettableClock,
)

REQUEST = make_request()


class World:
    """Keyed requests before a pipeline whose cache is empty."""

    def __init__(self) -> None:
        self.clock = SettableClock()
        self.jobs = FakeJobStore(self.clock)
        self.conversations = FakeConversationStore(self.clock)
        self.keys = FakeIdempotencyStore(self.clock)
        self.breaker = FakeBreaker()
        self.dispatched: list[str] = []
        numbers = count(1)
        self.pipeline = Pipeline(
            classifier=RuleClassifier(),
            router=Router(dict.fromkeys(Complexity, TINY)),
            cache=SemanticCache(FakeCacheStore(), FakeEmbedder(), threshold=0.85, clock=self.clock),
            conversations=Conversations(self.conversations, self.jobs.get, self.clock),
            jobs=self.jobs,
            costs=COSTS,
            dispatch=self.dispatched.append,
            breaker=self.breaker,
            statuses=FakeStatusStore(),
            clock=self.clock,
            new_id=lambda: f"req_{next(numbers)}",
        )

    def submit(self, request: ChatRequest = REQUEST, *, tenant: str = "default", key: str = "key") -> Job:
        """Submit a request under a key."""
        keyed = KeyedRequests(self.keys, self.pipeline)
        return keyed.submit(request, tenant=tenant, source=Source.HTTP, key=key)

    def claim(self, job_id: str) -> None:
        """Take the usual key for the usual request, and do nothing about it."""
        self.keys.claim("default", "key", body_sha256(REQUEST), job_id)


def test_repeat_while_on_its_way() -> None:
    """The same key and body are the same request, which is stored and dispatched once."""
    world = World()
    first, again = world.submit(), world.submit()

    assert first == again
    assert [first.job_id] == list(world.jobs.jobs) == world.dispatched


def test_repeat_after_the_end() -> None:
    """Once the request is finished, its key brings the answer, even of a box that is down, and no second record."""
    world = World()
    finished = succeeded(world.submit(), make_answer(), world.clock())
    world.jobs.finish(finished, usage_record(finished))
    world.breaker.open_for_ms = 1_000
    again = world.submit()

    assert (JobStatus.SUCCEEDED, finished.answer) == (again.status, again.answer)
    assert [again.job_id] == list(world.jobs.usage) == world.dispatched


def test_other_body() -> None:
    """The same key with another body is refused by the key's name, and starts nothing."""
    world = World()
    world.submit()
    with pytest.raises(ConflictError, match=r"^was used with another body$") as refused:
        world.submit(make_request("What is Java?"))

    assert "idempotency-key" == refused.value.field
    assert 1 == len(world.jobs.jobs)


def test_other_models() -> None:
    """Who may not have all models is not shown the answer that a key got from whoever may."""
    world = World()
    world.submit()
    world.pipeline = world.pipeline.limited_to(Caller(tenant="default", allowed_models=(TINY,)))
    with pytest.raises(ConflictError):
        world.submit()

    assert "req_2" != world.submit(key="other").job_id
    assert world.submit(key="other").job_id == world.submit(key="other").job_id


def test_other_tenant_other_key() -> None:
    """Another tenant's key and another key are other requests."""
    world = World()
    jobs = [world.submit(), world.submit(tenant="acme"), world.submit(key="other")]

    assert 3 == len({job.job_id for job in jobs}) == len(world.jobs.jobs)


def test_key_is_kept_for_a_day() -> None:
    """After 24 hours a key starts anew, with whatever body."""
    world = World()
    first = world.submit()
    world.clock.advance(24 * 3600 * 1000)

    assert first.job_id != world.submit(make_request("What is Java?")).job_id


def test_claim_of_one_who_crashed() -> None:
    """A key whose request was never stored is taken over, under the id that the claim decided."""
    world = World()
    world.claim("req_lost")
    taken_over = world.submit()

    assert "req_lost" == taken_over.job_id
    assert ["req_lost"] == world.dispatched == list(world.jobs.jobs)


def test_two_at_once() -> None:
    """Of two who found no request under the key's id only one stores it; the other gets the one there is."""
    world = World()
    world.claim("req_lost")
    # The first user of the key is not dead, only slow: its request comes up when ours is about to be stored.
    behind = replace(world.pipeline, classifier=Slow(world))
    job = KeyedRequests(world.keys, behind).submit(REQUEST, tenant="default", source=Source.HTTP, key="key")

    assert world.jobs.get("req_lost") == job
    assert ["req_lost"] == world.dispatched == list(world.jobs.jobs)


def test_two_at_once_and_money_for_one() -> None:
    """Who finds that the first user of his key has taken what was left gets the request there is."""
    world = World()
    world.claim("req_lost")
    whole = COSTS.box_nano_usd(LONGEST_ANSWER_MS * 1_000_000)
    world.pipeline = replace(
        world.pipeline,
        holder=Caller(tenant="default", key_id="key_1", limits=Limits(monthly_budget_nano_usd=whole)),
        allowances=Allowances(
            store=FakeAllowanceStore(),
            worst_case=WorstCase(statuses=FakeStatusStore(), costs=COSTS),
            clock=world.clock,
            announce=lambda _: None,
            on_store_error=lambda _: None,
        ),
    )
    behind = replace(world.pipeline, classifier=Slow(world))
    job = KeyedRequests(world.keys, behind).submit(REQUEST, tenant="default", source=Source.HTTP, key="key")

    assert world.jobs.get("req_lost") == job


class Slow(RuleClassifier):
    """A classifier that takes so long that the key's first user stores its request meanwhile."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self._world = world

    def classify(self, prompt: str) -> Classification:
        """Grade the prompt, late."""
        self._world.clock.advance(1)
        self._world.pipeline.submit(REQUEST, tenant="default", source=Source.HTTP, job_id="req_lost")
        return super().classify(prompt)


def test_refused_request_leaves_the_key_usable() -> None:
    """A box that is down stores nothing, so the same key tries again; what is refused does not take the key at all."""
    world = World()
    with pytest.raises(InvalidRequestError):
        world.submit(make_request(force_model="gpt-4"))
    with pytest.raises(PromptTooLongError):
        world.submit(make_request(history=(Turn("Who?", "a" * 60_000),)))
    world.breaker.open_for_ms = 1_000
    with pytest.raises(ModelUnavailableError):
        world.submit()
    world.breaker.open_for_ms = None

    assert JobStatus.QUEUED is world.submit().status


def test_what_makes_bodies_equal() -> None:
    """How long a caller waits, and how JSON writes the same values, makes no other body; everything else does."""
    equal = [REQUEST, make_request(wait_seconds=0), make_request(temperature=None), make_request(skip_cache=False)]
    others = [
        make_request("What is  Python?"),
        make_request(skip_cache=True),
        make_request(conversation_id="c"),
        make_request(temperature=0),
        make_request(max_tokens=1),
        make_request(no_store=True),
        make_request(cache_ttl_hours=1.0),
        make_request(min_similarity=0.0),
        make_request(seed=1),
        make_request(stop=("END",)),
        make_request(history=(Turn("Who?", "Ada."),)),
        make_request(metadata={"team": "a"}),
    ]

    assert 1 == len({body_sha256(request) for request in equal})
    assert 1 + len(others) == len({body_sha256(request) for request in [REQUEST, *others]})


def test_new_fields_leave_old_bodies_alone() -> None:
    """A body is known by what it says, so that a field which comes later changes no key of the day before."""
    assert sha256_hex(b'{"message":"What is Python?"}') == body_sha256(REQUEST)


@pytest.mark.parametrize(
    ("headers", "key"),
    [({}, None), ({"idempotency-key": "!"}, "!"), ({"idempotency-key": "~" * 255}, "~" * 255)],
)
def test_good_keys(headers: Mapping[str, str], key: str | None) -> None:
    """A request has no key, or one of 1 to 255 visible characters."""
    assert key == key_of(headers)


@pytest.mark.parametrize("key", ["", " ", "a b", "a\n", "\x7f", "ü", "x" * 256])
def test_bad_keys(key: str) -> None:
    """Anything else is refused by name, and without repeating it."""
    with pytest.raises(InvalidRequestError, match=r"^must have 1 to 255 visible ASCII characters$") as refused:
        key_of({"idempotency-key": key})

    assert "idempotency-key" == refused.value.field


def test_conversation() -> None:
    """The same key is the same request and no second turn; a refusal leaves its key to the same body, for later."""
    world = World()
    request = make_request(conversation_id="c")
    first = world.submit(request)
    with pytest.raises(ConflictError, match=first.job_id) as refused:
        world.submit(request, key="other")
    finished = succeeded(first, make_answer(), world.clock())
    world.jobs.finish(finished, usage_record(finished))
    world.jobs.close_flight(first, followers=[])
    again, other = world.submit(request), world.submit(request, key="other")

    assert "conversation_id" == refused.value.field
    assert (first.job_id, JobStatus.SUCCEEDED) == (again.job_id, again.status)
    assert (Turn("What is Python?", "A language."),) == other.history


def test_conversation_of_one_who_crashed() -> None:
    """Who crashed between the claim of a conversation and its store may come again under the same key at once."""
    world = World()
    request = make_request(conversation_id="c")
    world.keys.claim("default", "talk", body_sha256(request), "req_lost")
    world.conversations.claim(world.conversations.get("default", "c"), "req_lost")

    assert "req_lost" == world.submit(request, key="talk").job_id
