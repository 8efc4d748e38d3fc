import pytest

from cache_lookup.inspection import Inspector
from llm_router.classification import Complexity, RuleClassifier
from llm_router.conversations import Conversations
from llm_router.errors import ConflictError, InvalidRequestError
from llm_router.jobs import succeeded
from llm_router.models import CacheBypass, CacheQuestion, CacheTier, Turn
from llm_router.routing import Router
from llm_router.semantic_cache import SemanticCache
from tests.builders import TINY, make_answer, make_entry, make_job
from tests.fakes import FakeCacheStore, FakeConversationStore, FakeEmbedder, FakeJobStore, SettableClock

QUESTION = CacheQuestion(message="What is Python?")
REWORDED = CacheQuestion(message="what's Python")


class World:
    """An inspector and the parts it is made of."""

    def __init__(self) -> None:
        self.store = FakeCacheStore()
        self.embedder = FakeEmbedder()
        self.clock = SettableClock()
        self.jobs = FakeJobStore(self.clock)
        self.conversations = FakeConversationStore(self.clock)
        self.cache = SemanticCache(self.store, self.embedder, threshold=0.85, clock=self.clock)
        self.inspector = Inspector(
            cache=self.cache,
            conversations=Conversations(self.conversations, self.jobs.get, self.clock),
            classifier=RuleClassifier(),
            router=Router(dict.fromkeys(Complexity, TINY)),
            threshold=0.85,
            ttl_hours=24,
        )
        namespace = self.cache.lookup("default", QUESTION, TINY, canonical=QUESTION.message).namespace
        self.store.put(make_entry(namespace=namespace), self.embedder.embed("What is Python?"))


def test_exact_hit() -> None:
    """An exact hit is shown with its answer and without candidates."""
    found = World().inspector.lookup("default", QUESTION)

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
    found = World().inspector.lookup("default", REWORDED)

    assert (True, CacheTier.SEMANTIC) == (found.hit, found.cache_tier)
    assert ["accepted"] == [candidate.reason for candidate in found.candidates]


def test_miss() -> None:
    """A miss is shown with why each candidate was not good enough."""
    found = World().inspector.lookup("default", CacheQuestion(message="Who wrote Faust?"))

    assert (False, None, None, None, None) == (
        found.hit,
        found.cache_tier,
        found.cache_similarity,
        found.response,
        found.model_used,
    )
    assert ["below the similarity threshold"] == [candidate.reason for candidate in found.candidates]


def test_time_dependent() -> None:
    """A question that the cache is never asked is shown with the reason."""
    found = World().inspector.lookup("default", CacheQuestion(message="What time is it?"))

    assert (False, CacheBypass.TIME_DEPENDENT, ()) == (found.hit, found.cache_bypass, found.candidates)


def test_unknown_forced_model() -> None:
    """A model that chat would refuse is refused here too."""
    with pytest.raises(InvalidRequestError):
        World().inspector.lookup("default", CacheQuestion(message="Hello", force_model="gpt-4"))


@pytest.mark.parametrize(
    ("broken", "degraded"), [(None, ()), ("generation", ("cache",)), ("nearest", ("cache_index",))]
)
def test_stats(broken: str | None, degraded: tuple[str, ...]) -> None:
    """The cache's settings are shown, with the parts that do not work right now."""
    world = World()
    world.store.broken = {broken} if broken else set()
    world.store.generations["default"] = 3
    stats = world.inspector.stats("default")

    assert (0.85, 24, "words-1", degraded) == (
        stats.similarity_threshold,
        stats.ttl_hours,
        stats.embedder_version,
        stats.degraded,
    )
    assert (0 if broken == "generation" else 3) == stats.generation


def test_looking_leaves_no_trace() -> None:
    """Looking into the cache writes nothing."""
    world = World()
    world.store.broken = {"put"}
    world.inspector.lookup("default", REWORDED)

    assert () == world.inspector.stats("default").degraded


def test_conversation() -> None:
    """A question is looked up as chat would: after the turns there are, and not while a request is on its way."""
    world = World()
    question = CacheQuestion(message="What is Python?", conversation_id="c")
    before = world.conversations.get("default", "c")
    world.conversations.claim(before, "req_1")
    world.jobs.open(make_job("req_1", "Hello", flight=None))
    with pytest.raises(ConflictError, match="req_1"):
        world.inspector.lookup("default", question)
    world.jobs.jobs["req_1"] = succeeded(world.jobs.jobs["req_1"], make_answer("Hi"), world.clock())
    kept = world.conversations.get("default", "c")
    place = world.cache.lookup("default", question, TINY, canonical="What is Python?", history=(Turn("Hello", "Hi"),))
    world.store.put(make_entry(namespace=place.namespace), place.embedding)

    assert world.inspector.lookup("default", question).hit
    assert not world.inspector.lookup("other", question).hit
    assert kept == world.conversations.get("default", "c")
