import pytest

from cache_lookup.inspection import Inspector
from llm_router.access.callers import Caller
from llm_router.accounting.rollups import usage_event
from llm_router.accounting.usage import UsageRecord
from llm_router.cache_responses import CacheUse
from llm_router.classification import Complexity, RuleClassifier
from llm_router.conversations import Conversations
from llm_router.errors import ConflictError, InvalidRequestError, NotFoundError
from llm_router.jobs import feedback_record, succeeded
from llm_router.models import CacheBypass, CacheTier, FeedbackVerdict, Turn
from llm_router.planning import Planner
from llm_router.request_bodies import CacheQuestion
from llm_router.routing import Router
from llm_router.semantic_cache import SemanticCache
from tests.builders import TINY, make_answer, make_entry, make_job, make_usage
from tests.fakes import (
    NOW_MS,
    FakeCacheStore,
    FakeConversationStore,
    FakeEmbedder,
    FakeJobStore,
    FakeRollupStore,
    SettableClock,
)

QUESTION = CacheQuestion(message="What is Python?")
REWORDED = CacheQuestion(message="what's Python")

OWNER = Caller(tenant="default")


class World:
    """An inspector and the parts it is made of."""

    def __init__(self) -> None:
        self.store = FakeCacheStore()
        self.rollups = FakeRollupStore()
        self.embedder = FakeEmbedder()
        self.clock = SettableClock()
        self.jobs = FakeJobStore(self.clock)
        self.conversations = FakeConversationStore(self.clock)
        self.cache = SemanticCache(self.store, self.embedder, threshold=0.85, clock=self.clock)
        self.inspector = Inspector(
            cache=self.cache,
            store=self.store,
            rollups=self.rollups,
            clock=self.clock,
            planner=Planner(
                RuleClassifier(),
                Router(dict.fromkeys(Complexity, TINY)),
                Conversations(self.conversations, self.jobs.get, self.clock),
            ),
            threshold=0.85,
            ttl_hours=24,
        )
        namespace = self.cache.lookup("default", QUESTION, TINY, canonical=QUESTION.message).namespace
        self.entry = make_entry(namespace=namespace)
        self.store.put(self.entry, self.embedder.embed("What is Python?"))

    def count(self, *records: UsageRecord) -> None:
        """Count some requests."""
        self.rollups.add([usage_event(record) for record in records])


def test_exact_hit() -> None:
    """An exact hit is shown with its answer and without candidates."""
    found = World().inspector.lookup(OWNER, QUESTION)

    assert (True, CacheTier.EXACT, 1.0, "A language.", TINY, ()) == (
        found.hit,
        found.cache_tier,
        found.cache_similarity,
        found.response,
        found.model_used,
        found.candidates,
    )


def test_semantic_hit() -> None:
    """A semantic hit is shown with the candidates that were weighed."""
    found = World().inspector.lookup(OWNER, REWORDED)

    assert (True, CacheTier.SEMANTIC) == (found.hit, found.cache_tier)
    assert ["accepted"] == [candidate.reason for candidate in found.candidates]


def test_miss() -> None:
    """A miss is shown with why each candidate was not good enough."""
    world = World()
    found = world.inspector.lookup(OWNER, CacheQuestion(message="Who wrote Faust?"))

    assert (False, None, None, None, None) == (
        found.hit,
        found.cache_tier,
        found.cache_similarity,
        found.response,
        found.model_used,
    )
    assert [world.entry.public_id] == [candidate.entry_id for candidate in found.candidates]
    assert ["below the similarity threshold"] == [candidate.reason for candidate in found.candidates]


def test_time_dependent() -> None:
    """A question that the cache is never asked is shown with the reason."""
    found = World().inspector.lookup(OWNER, CacheQuestion(message="What time is it?"))

    assert (False, CacheBypass.TIME_DEPENDENT, ()) == (found.hit, found.cache_bypass, found.candidates)


def test_unknown_forced_model() -> None:
    """A model that chat would refuse is refused here too."""
    with pytest.raises(InvalidRequestError):
        World().inspector.lookup(OWNER, CacheQuestion(message="Hello", force_model="gpt-4"))


@pytest.mark.parametrize(
    ("broken", "degraded"), [(None, ()), ("generation", ("cache",)), ("nearest", ("cache_index",))]
)
def test_stats(broken: str | None, degraded: tuple[str, ...]) -> None:
    """The cache's settings are shown, with the parts that do not work right now."""
    world = World()
    world.store.generations["default"] = 3
    world.store.broken = {broken} if broken else set()
    stats = world.inspector.stats("default")

    assert (0.85, 24, "words-1", degraded) == (
        stats.similarity_threshold,
        stats.ttl_hours,
        stats.embedder_version,
        stats.degraded,
    )
    assert (0 if broken == "generation" else 3) == stats.generation


def test_size() -> None:
    """The statistics tell how many entries can be served and how old the oldest is; other tenants' do not count."""
    world = World()
    world.store.put(make_entry("Who wrote Faust?", created_at_ms=NOW_MS + 5000), None)
    world.store.put(make_entry("expired", expires_at=NOW_MS // 1000), None)
    world.store.put(make_entry("theirs", tenant="other"), None)
    world.clock.advance(60_000)
    stats, empty = world.inspector.stats("default"), world.inspector.stats("nobody")

    assert (2, True, 60) == (stats.entries, stats.entries_complete, stats.oldest_entry_age_seconds)
    assert (0, True, None) == (empty.entries, empty.entries_complete, empty.oldest_entry_age_seconds)


def test_size_that_cannot_be_counted() -> None:
    """A table that does not let its entries be counted leaves their number open."""
    world = World()
    world.store.broken = {"census"}
    stats = world.inspector.stats("default")

    assert (None, False, None) == (stats.entries, stats.entries_complete, stats.oldest_entry_age_seconds)


def test_use() -> None:
    """The last seven days' hits, misses, refusals, reports and savings are summed up."""
    world = World()
    job = succeeded(make_job(), make_answer(tier=CacheTier.SEMANTIC), NOW_MS)
    world.count(
        make_usage("1", refusal="expired"),
        make_usage("2", tier=CacheTier.EXACT),
        make_usage("3", tier=CacheTier.SEMANTIC, day="2023-11-08"),
        make_usage("4", joined=True, refusal="expired"),
        make_usage("5", day="2023-11-07"),
        make_usage("6", tenant="other"),
        feedback_record(job, FeedbackVerdict.WRONG, NOW_MS),
    )

    assert (
        CacheUse(
            first_day="2023-11-08",
            last_day="2023-11-14",
            exact_hits=1,
            semantic_hits=1,
            joined_requests=1,
            misses=1,
            refusals={"expired": 2},
            wrong_reports={"exact": 0, "semantic": 1, "generated": 0},
            right_reports={"exact": 0, "semantic": 0, "generated": 0},
            estimated_savings=0.003,
        )
        == world.inspector.stats("default").use
    )


def test_clear() -> None:
    """A cleared cache answers nothing and counts nothing; it can be cleared again."""
    world = World()
    world.clock.advance(1)
    cleared = world.inspector.clear("default")

    assert 1 == cleared.generation
    assert not world.inspector.lookup(OWNER, QUESTION).hit
    assert 0 == world.inspector.stats("default").entries
    assert 2 == world.inspector.clear("default").generation


def test_evict() -> None:
    """A tenant can remove an entry of its own, once."""
    world = World()
    evicted = world.inspector.evict("default", world.entry.public_id)

    assert world.entry.public_id == evicted.entry_id
    assert not world.inspector.lookup(OWNER, QUESTION).hit
    with pytest.raises(NotFoundError):
        world.inspector.evict("default", world.entry.public_id)


@pytest.mark.parametrize("entry_id", ["", "x", f"{'A' * 64}.{'b' * 64}", f"{'a' * 64}.{'b' * 64}\n"])
def test_evict_nothing(entry_id: str) -> None:
    """What is no entry's id is not found."""
    with pytest.raises(NotFoundError):
        World().inspector.evict("default", entry_id)


def test_evict_of_another_tenant() -> None:
    """Another tenant's entry is not found, and stays."""
    world = World()
    with pytest.raises(NotFoundError):
        world.inspector.evict("other", world.entry.public_id)

    assert world.inspector.lookup(OWNER, QUESTION).hit


def test_looking_leaves_no_trace() -> None:
    """Looking into the cache writes nothing."""
    world = World()
    world.store.broken = {"put"}
    world.inspector.lookup(OWNER, REWORDED)

    assert () == world.inspector.stats("default").degraded


def test_conversation() -> None:
    """A question is looked up as chat would: after the turns there are, and not while a request is on its way."""
    world = World()
    question = CacheQuestion(message="What is Python?", conversation_id="c")
    before = world.conversations.get("default", "c")
    world.conversations.claim(before, "req_1")
    world.jobs.open(make_job("req_1", "Hello", flight=None))
    with pytest.raises(ConflictError, match="req_1"):
        world.inspector.lookup(OWNER, question)
    world.jobs.jobs["req_1"] = succeeded(world.jobs.jobs["req_1"], make_answer("Hi"), world.clock())
    kept = world.conversations.get("default", "c")
    place = world.cache.lookup("default", question, TINY, canonical="What is Python?", history=(Turn("Hello", "Hi"),))
    world.store.put(make_entry(namespace=place.namespace), place.embedding)

    assert world.inspector.lookup(OWNER, question).hit
    assert not world.inspector.lookup(Caller(tenant="other"), question).hit
    assert kept == world.conversations.get("default", "c")
