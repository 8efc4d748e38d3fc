"""What becomes of prompts that come through a queue, however often they come, and whoever dies over them."""

from itertools import count, permutations
from typing import TYPE_CHECKING

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from llm_router.access.allowances import Allowances
from llm_router.access.keys import Limits
from llm_router.access.worst_case import LONGEST_ANSWER_MS, WorstCase
from llm_router.batching.batches import Batch, PromptMessage, line_job_id
from llm_router.classification import Complexity, RuleClassifier
from llm_router.conversations import Conversations
from llm_router.errors import StoreError
from llm_router.jobs import succeeded, usage_record
from llm_router.models import CacheTier, Job, JobStatus, Lane, Source
from llm_router.pipeline import Pipeline
from llm_router.request_bodies import MAX_MESSAGE_CHARS
from llm_router.requests import OVERDUE_MS
from llm_router.routing import Router
from llm_router.semantic_cache import SemanticCache
from route_batch.routing import Outcome, Prompts, Received
from tests.builders import COSTS, TINY, make_answer, make_entry
from tests.fakes import (
    NOW_MS,
    FakeAllowanceStore,
    FakeBatchStore,
    FakeBreaker,
    FakeCacheStore,
    FakeConversationStore,
    FakeEmbedder,
    FakeJobStore,
    FakeStatusStore,
    SettableClock,
)

if TYPE_CHECKING:
    from llm_router.batching.replies import Reply

OPEN, OWN = "arn:aws:sqs:us-east-1:123456789012:PromptQueue", "arn:aws:sqs:us-east-1:123456789012:BatchQueue"
BATCH = Batch(batch_id=f"batch_{'0' * 32}", tenant="acme", created_at_ms=NOW_MS)
SENDER = "AROATRUSTED:nightly"
REPLIES = "https://sqs.us-east-1.amazonaws.com/123456789012/replies-"


class MortalJobStore(FakeJobStore):
    """A job store that may die between its two writes."""

    dies_before_joining = False

    def open(self, job: Job) -> bool:
        """Store a job, and perhaps no more."""
        if self.dies_before_joining:
            self._store(job)
            raise StoreError("died")
        return super().open(job)


class World:
    """A router of messages, and what it sent on and put aside."""

    def __init__(self) -> None:
        self.clock = SettableClock()
        self.jobs = MortalJobStore(self.clock)
        self.batches = FakeBatchStore(self.jobs, self.clock)
        self.batches.open(BATCH)
        self.cache = FakeCacheStore()
        self.breaker = FakeBreaker()
        self.dispatched: list[str] = []
        self.refusing_queue = False
        self.aside: list[tuple[str, str]] = []
        self.replies: list[tuple[str, Reply]] = []
        numbers = count(1)
        pipeline = Pipeline(
            classifier=RuleClassifier(),
            router=Router(dict.fromkeys(Complexity, TINY), cloud="cloud/gpt-4o-mini"),
            cache=SemanticCache(self.cache, FakeEmbedder(), threshold=0.85, clock=self.clock),
            conversations=Conversations(FakeConversationStore(self.clock), self.jobs.get, self.clock),
            jobs=self.jobs,
            costs=COSTS,
            dispatch=self.dispatch,
            breaker=self.breaker,
            statuses=FakeStatusStore(),
            clock=self.clock,
            new_id=lambda: f"req_{next(numbers)}",
            lane=Lane.BATCH,
        )
        self.prompts = Prompts(
            pipeline=pipeline,
            batches=self.batches,
            batch_queue_arn=OWN,
            trusted_senders=frozenset({"AROATRUSTED"}),
            reply_prefix=REPLIES,
            reply=lambda url, reply: self.replies.append((url, reply)),
            set_aside=lambda message, error: self.aside.append((message.message_id, f"{error.field}: {error}")),
        )

    def dispatch(self, job_id: str) -> None:
        """Take a job for the box."""
        if self.refusing_queue:
            raise StoreError("queueing a job failed")
        self.dispatched.append(job_id)

    def line(self, number: int, message: str = "What is Python?") -> Outcome:
        """Let the message of a line come, a moment after the last one."""
        self.clock.advance(1)
        return self.prompts.route(line_message(number, message))

    def plain(self, body: str, *, sender: str = "AROAANYBODY:x", message_id: str = "m1") -> Outcome:
        """Let a message come through the public queue."""
        return self.prompts.route(Received(message_id=message_id, queue_arn=OPEN, sender_id=sender, body=body))

    def answer(self, job_id: str) -> None:
        """Let the box answer a job, and the cache take it in."""
        job = self.jobs.get(job_id)
        finished = succeeded(job, make_answer(), self.clock())
        self.jobs.finish(finished, usage_record(finished))
        self.jobs.close_flight(job, followers=self.jobs.followers(job))
        self.cache.put(make_entry(job.prompt, job.namespace), job.embedding)


def line_message(number: int, message: str = "What is Python?", **fields: object) -> Received:
    """Return the message of a line, as the router itself sends it."""
    prompt = {"tenant": "acme", "batch_id": BATCH.batch_id, "line": number, "custom_id": f"c{number}"} | fields
    body = PromptMessage(message=message, **prompt)
    text = msgspec.json.encode(body).decode()
    return Received(message_id=f"m{number}", queue_arn=OWN, sender_id="AROAROUTER:x", body=text)


def test_line_of_a_batch() -> None:
    """A line becomes a job under the id that follows from its place, and is dispatched for the box's spare time."""
    world = World()
    outcome = world.line(3)
    job = world.jobs.get(line_job_id(BATCH.batch_id, 3))

    assert ("queued", job.job_id) == (outcome.what, outcome.job_id)
    assert [job.job_id] == world.dispatched
    assert ("acme", Source.BATCH, Lane.BATCH) == (job.tenant, job.source, job.lane)
    assert (BATCH.batch_id, 3, "c3") == (job.delivery.batch_id, job.delivery.line, job.delivery.custom_id)


def test_hit_is_finished_at_once() -> None:
    """What the cache can answer is done, with a record of the batch; nothing is dispatched for it."""
    world = World()
    world.line(1)
    world.answer(line_job_id(BATCH.batch_id, 1))
    outcome = world.line(2)

    assert "succeeded" == outcome.what
    assert 1 == len(world.dispatched)
    assert [(BATCH.batch_id, None), (BATCH.batch_id, CacheTier.EXACT)] == [
        (usage.batch_id, usage.tier) for usage in world.jobs.usage.values()
    ]


def test_equal_lines_are_asked_once() -> None:
    """Lines of one question wait for one answer."""
    world = World()
    for number in (1, 2, 3):
        world.line(number)

    assert [line_job_id(BATCH.batch_id, 1)] == world.dispatched


def test_plain_prompt() -> None:
    """Anybody who may send to the public queue may ask, for the default tenant."""
    world = World()
    outcome = world.plain('{"message": "What is Python?", "custom_id": "mine"}')
    job = world.jobs.get(outcome.job_id or "")

    assert ("default", Source.SQS, Lane.BATCH, "mine") == (job.tenant, job.source, job.lane, job.delivery.custom_id)
    assert world.dispatched == [job.job_id]


def test_plain_prompts_differ_by_message() -> None:
    """Two messages of one body are two requests; one that comes twice is one."""
    world = World()
    ids = [world.plain('{"message": "Hi"}', message_id=name).job_id for name in ("a", "b", "a")]

    assert ids[0] == ids[2] != ids[1]
    assert 2 == len(world.jobs.jobs)


@pytest.mark.parametrize(
    ("fields", "field"),
    [('"tenant": "acme"', "tenant"), (f'"batch_id": "{BATCH.batch_id}", "line": 1', "batch_id")],
)
def test_sender_who_says_too_much(fields: str, field: str) -> None:
    """Whose prompt it is, and of which batch, is not for everybody to say."""
    world = World()
    outcome = world.plain(f'{{"message": "Hi", {fields}}}')

    assert "refused" == outcome.what
    assert [("m1", f"{field}: is not for this sender to say")] == world.aside


def test_trusted_sender_and_the_batch_of_another() -> None:
    """A listed sender may add to a batch of the tenant that it names, and to no other's."""
    world = World()
    place = f'"batch_id": "{BATCH.batch_id}", "line": 1'
    other = world.plain(f'{{"message": "Hi", "tenant": "evil", {place}}}', sender=SENDER)
    owner = world.plain(f'{{"message": "Hi", "tenant": "acme", {place}}}', sender=SENDER)

    assert ("refused", "queued") == (other.what, owner.what)
    assert [("m1", "batch_id: is no batch of the tenant's")] == world.aside


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("What is Python?", "body: must be JSON in UTF-8"),
        ("[]", "body: must be an object, not an array"),
        ('{"message": "Hi", "colour": "red"}', "colour: is not a known field"),
        ('{"message": "Hi", "force_model": "gpt-9"}', "force_model: "),
        (f'{{"message": "{"x" * (MAX_MESSAGE_CHARS + 1)}"}}', "message: must have at most 32,000 characters"),
        ('{"message": "Hi", "conversation_id": "c"}', "conversation_id: must not come through a queue; `history` may"),
    ],
    ids=["no JSON", "no object", "unknown field", "unknown model", "too long", "conversation"],
)
def test_poison(body: str, reason: str) -> None:
    """What can never be a request is put aside with its reason at once, and is done with."""
    world = World()
    outcome = world.plain(body)

    assert Outcome(what="refused") == outcome
    assert world.aside[0][1].startswith(reason)
    assert {} == world.jobs.jobs


def test_poisonous_line() -> None:
    """A line that only the router can refuse is refused under its place, and counted once."""
    world = World()
    for _ in range(2):
        world.prompts.route(line_message(1, force_model="gpt-9"))
    (result,) = world.batches.results(BATCH.batch_id, first_line=1, count=1)

    assert result.error is not None
    assert ("force_model", "c1", 1) == (
        result.error.field,
        result.custom_id,
        world.batches.get(BATCH.batch_id).refused,
    )
    assert [] == world.aside


def on_a_budget(world: World, nano_usd: int) -> tuple[Batch, Prompts]:
    """Return a batch whose key has a budget, and what routes its lines."""
    limits = Limits(monthly_budget_nano_usd=nano_usd)
    batch = replace(BATCH, batch_id=f"batch_{'1' * 32}", key_id="key_1", limits=limits)
    world.batches.open(batch)
    allowances = Allowances(
        store=FakeAllowanceStore(),
        worst_case=WorstCase(statuses=FakeStatusStore(), costs=COSTS),
        clock=world.clock,
        announce=lambda _: None,
        on_store_error=lambda _: None,
    )
    return batch, replace(world.prompts, pipeline=replace(world.prompts.pipeline, allowances=allowances))


def test_line_that_holds_what_is_left_comes_again() -> None:
    """A line that was stored and not sent on is sent on when it comes again, though it holds all of its budget."""
    world = World()
    batch, prompts = on_a_budget(world, COSTS.box_nano_usd(LONGEST_ANSWER_MS * 1_500_000))
    message = line_message(1, batch_id=batch.batch_id, reply_to=f"{REPLIES}a")
    world.refusing_queue = True
    with pytest.raises(StoreError):
        prompts.route(message)
    world.refusing_queue = False
    world.clock.advance(OVERDUE_MS)
    outcome = prompts.route(message)

    assert ("queued", [outcome.job_id], []) == (outcome.what, world.dispatched, world.replies)


def test_line_that_the_budget_does_not_cover() -> None:
    """A line that costs more than is left of the budget of its batch's key is refused under its place."""
    world = World()
    batch, prompts = on_a_budget(world, 1)
    outcome = prompts.route(line_message(1, batch_id=batch.batch_id))
    (refused,) = world.batches.results(batch.batch_id, first_line=1, count=1)

    assert "refused" == outcome.what
    assert refused.error is not None
    assert ("budget_exceeded", "monthly_budget_nano_usd") == (refused.error.code, refused.error.field)
    assert [] == world.dispatched


def test_line_that_wants_a_model_of_others() -> None:
    """A line of a batch whose key may not have the model is refused under its place, however often it comes."""
    world = World()
    world.batches.open(replace(BATCH, batch_id=f"batch_{'1' * 32}", allowed_models=(TINY,)))
    for _ in range(2):
        world.prompts.route(line_message(1, batch_id=f"batch_{'1' * 32}", force_model="gpt-4o-mini"))
    world.prompts.route(line_message(2, batch_id=f"batch_{'1' * 32}"))
    refused, taken = world.batches.results(f"batch_{'1' * 32}", first_line=1, count=2)

    assert refused.error is not None
    assert ("forbidden", "force_model") == (refused.error.code, refused.error.field)
    assert taken.job is not None
    assert (TINY, ()) == (taken.job.model, taken.job.fallbacks)
    assert [] == world.aside


def test_refused_line_stays_refused() -> None:
    """A line that was refused is not asked after all when its message comes again to a router of other models."""
    world = World()
    world.prompts.route(line_message(1, force_model="gpt-9"))

    assert "refused" == world.line(1).what
    assert {} == world.jobs.jobs


def test_cancelled_batch() -> None:
    """A line of a cancelled batch ends as cancelled, with a record, and its message may come again."""
    world = World()
    world.batches.cancel(BATCH.batch_id, NOW_MS)
    outcomes = [world.line(1).what for _ in range(2)]

    assert ["cancelled", "cancelled"] == outcomes
    assert [JobStatus.CANCELLED] == [usage.status for usage in world.jobs.usage.values()]


def test_box_that_is_down() -> None:
    """Nobody waits for a line: it is queued, and neither refused nor asked of the cloud, while the box is down."""
    world = World()
    world.breaker.open_for_ms = 30_000

    assert "queued" == world.line(1).what
    assert [] == world.jobs.escalations


def test_crash_before_the_job_was_sent_on() -> None:
    """A job that was stored and not dispatched is dispatched when its message comes again."""
    world = World()
    world.refusing_queue = True
    with pytest.raises(StoreError):
        world.line(1)
    stored = world.jobs.get(line_job_id(BATCH.batch_id, 1))
    world.refusing_queue = False
    world.clock.advance(OVERDUE_MS)
    world.line(1)

    assert JobStatus.QUEUED is stored.status
    assert [stored.job_id] == world.dispatched


def test_crash_before_the_job_joined_another() -> None:
    """A job that was stored, and that an equal one knows nothing of, is dispatched when its message comes again."""
    world = World()
    world.line(1)
    world.jobs.dies_before_joining = True
    with pytest.raises(StoreError):
        world.line(2)
    world.jobs.dies_before_joining = False
    world.clock.advance(OVERDUE_MS)
    world.line(2)

    assert {line_job_id(BATCH.batch_id, 1), line_job_id(BATCH.batch_id, 2)} == set(world.dispatched)


def test_job_that_joined_another() -> None:
    """A job that joined an equal one is not dispatched when its message comes again, however late."""
    world = World()
    world.line(1)
    world.line(2)
    world.clock.advance(OVERDUE_MS)
    world.line(2)

    assert {line_job_id(BATCH.batch_id, 1)} == set(world.dispatched)


@pytest.mark.parametrize("broken", ["open", "get"])
def test_failing_table(broken: str) -> None:
    """A table that fails has the message come again, and nothing is lost or done twice."""
    world = World()
    (world.jobs if broken == "open" else world.batches).broken = {broken}
    with pytest.raises(StoreError):
        world.line(1)
    world.jobs.broken = world.batches.broken = set()

    assert "queued" == world.line(1).what
    assert 1 == len(world.jobs.jobs)


def test_any_order() -> None:
    """Whatever the order of messages, and however often each comes, the same lines have the same jobs."""
    for order in permutations((1, 2, 3)):
        world = World()
        for number in order + order[:2]:
            world.line(number, f"Question number {number} of three?")

        assert sorted(line_job_id(BATCH.batch_id, number) for number in (1, 2, 3)) == sorted(world.dispatched)


@given(st.text(max_size=50))
def test_any_body(body: str) -> None:
    """Whatever anybody sends is either a request or put aside: nothing comes back for ever."""
    world = World()
    outcome = world.plain(body)

    assert (outcome.what == "refused") == bool(world.aside)


def test_reply_queue_is_kept() -> None:
    """A prompt whose answer is to be sent on is a job that knows where to."""
    world = World()
    outcome = world.plain(f'{{"message": "Hi", "reply_to": "{REPLIES}nightly"}}')

    assert f"{REPLIES}nightly" == world.jobs.get(outcome.job_id or "").delivery.reply_to
    assert [] == world.replies


def test_refusal_is_sent_to_the_reply_queue() -> None:
    """Whoever waits for an answer hears why there will be none."""
    world = World()
    world.plain(f'{{"message": "Hi", "custom_id": "c", "reply_to": "{REPLIES}nightly", "force_model": "gpt-9"}}')
    ((url, reply),) = world.replies

    assert (f"{REPLIES}nightly", "m1", "c", "refused") == (url, reply.message_id, reply.custom_id, reply.status)
    assert reply.error is not None
    assert "force_model" == reply.error.field


@pytest.mark.parametrize(
    "reply_to",
    [
        "https://sqs.us-east-1.amazonaws.com/123456789012/InferenceQueue",
        "https://sqs.us-east-1.amazonaws.com/999999999999/replies-nightly",
        f"{REPLIES}x/../InferenceQueue",
        f"{REPLIES}nightly.fifo",
        "http://localhost/replies-",
    ],
)
def test_reply_queue_that_is_not_allowed(reply_to: str) -> None:
    """Nothing is sent to a queue that is not on the list, and the prompt is not asked."""
    world = World()
    world.plain(f'{{"message": "Hi", "reply_to": "{reply_to}"}}')

    assert [("m1", f"reply_to: must be the URL of a queue that begins with {REPLIES}")] == world.aside
    assert ([], {}) == (world.replies, world.jobs.jobs)


def test_replies_that_are_switched_off() -> None:
    """Without a list a prompt that wants its answer sent is refused with that reason."""
    world = World()
    world.prompts = replace(world.prompts, reply_prefix="")
    world.plain(f'{{"message": "Hi", "reply_to": "{REPLIES}nightly"}}')

    assert [("m1", "reply_to: is switched off: REPLY_QUEUE_PREFIX is empty")] == world.aside
