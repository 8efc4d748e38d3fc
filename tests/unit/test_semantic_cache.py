from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from llm_router.cache_entries import CacheEntry, Candidate
from llm_router.models import CacheBypass, CacheTier, Turn
from llm_router.prompt import canonicalise
from llm_router.request_bodies import CacheQuestion
from llm_router.sampling import ResponseFormat, Sampling
from llm_router.semantic_cache import Lookup, Scope, SemanticCache
from llm_router.stored_answers import StoredAnswers
from tests.builders import TINY, make_entry, make_job
from tests.fakes import NOW_MS, FakeCacheStore, FakeEmbedder, SettableClock

QUESTION = CacheQuestion(message="What is Python?")
REWORDED = CacheQuestion(message="what's Python")
SCOPE = Scope(
    tenant="default",
    generation=0,
    embedder_version="words-1",
    model=TINY,
    system_prompt=None,
    conversation_id=None,
    history=(),
    temperature=None,
    max_tokens=None,
    sampling=Sampling(),
)


class FixedEmbedder(FakeEmbedder):
    """Knows the cosine similarity of every text to the asked question."""

    def __init__(self, similarities: dict[str, float]) -> None:
        super().__init__()
        self.similarities = similarities

    def embed(self, text: str) -> list[float]:
        """Return a unit vector at the wanted angle from (1, 0)."""
        similarity = self.similarities.get(text, 1.0)
        return [similarity, (1 - similarity**2) ** 0.5]


class World:
    """A cache and the parts it is made of."""

    def __init__(self, embedder: FakeEmbedder | None = None, **options: Any) -> None:
        self.store = FakeCacheStore()
        self.embedder = embedder or FakeEmbedder()
        self.clock = SettableClock()
        self.cache = SemanticCache(self.store, self.embedder, clock=self.clock, **{"threshold": 0.85} | options)

    def ask(self, question: CacheQuestion = QUESTION, **options: Any) -> Lookup:
        """Look a question up."""
        canonical = canonicalise(question.message)
        return self.cache.lookup("default", question, TINY, canonical=canonical, **options)

    def remember(self, message: str, **fields: Any) -> None:
        """Store an answer to a question of the usual scope."""
        namespace = self.ask().namespace
        self.store.put(make_entry(message, namespace, **fields), self.embedder.embed(message))


def test_miss() -> None:
    """An empty cache says where the answer belongs, and gives the vector to store it with."""
    world = World()
    lookup = world.ask()

    assert lookup.hit is None
    assert (SCOPE.namespace(), make_entry().entry_id, 0) == (lookup.namespace, lookup.entry_id, lookup.scope.generation)
    assert world.embedder.embed("What is Python?") == lookup.embedding
    assert ((), ()) == (lookup.verdicts, lookup.degraded)


def test_exact_before_semantic() -> None:
    """The same words, but for white space, are served from the exact tier without embedding anything."""
    world = World()
    world.remember("What is Python?")
    world.remember("what is python?", answer="Near, but not it.")
    world.embedder.embedded.clear()
    lookup = world.ask(CacheQuestion(message="  What  is Python? "))

    assert lookup.hit is not None
    assert ("A language.", CacheTier.EXACT, 1.0) == (lookup.hit.entry.answer, lookup.hit.tier, lookup.hit.similarity)
    assert [] == world.embedder.embedded


def test_rewording() -> None:
    """Other words of the same meaning are served from the semantic tier, with their similarity."""
    world = World()
    world.remember("What is Python?")
    lookup = world.ask(REWORDED)

    assert lookup.hit is not None
    assert CacheTier.SEMANTIC == lookup.hit.tier
    assert 0.85 <= lookup.hit.similarity < 1.0
    assert [("accepted", True)] == [(verdict.reason, verdict.served) for verdict in lookup.verdicts]


def test_other_question() -> None:
    """A question about something else is not served, and the verdict says why."""
    world = World()
    world.remember("What is Python?")
    lookup = world.ask(CacheQuestion(message="Who wrote Faust?"))

    assert lookup.hit is None
    assert [("below the similarity threshold", False)] == [(each.reason, each.served) for each in lookup.verdicts]


@pytest.mark.parametrize(("similarity", "served"), [(0.5, True), (0.4999999, False)])
def test_threshold_is_inclusive(similarity: float, served: bool) -> None:  # noqa: FBT001 - a test's parameter
    """A similarity equal to the threshold is enough, and a little less is not."""
    world = World(FixedEmbedder({"stored": similarity, "What is Python?": 1.0}), threshold=0.5)
    world.remember("stored")

    assert served is (world.ask().hit is not None)


@pytest.mark.parametrize(("floor", "served"), [(0.0, True), (0.6, True), (0.61, False)])
def test_entry_floor(floor: float, served: bool) -> None:  # noqa: FBT001 - a test's parameter
    """An entry may ask for more similarity than the threshold, never for less."""
    world = World(FixedEmbedder({"stored": 0.6}), threshold=0.55)
    world.remember("stored", similarity_floor=floor)
    far = World(FixedEmbedder({"stored": 0.5}), threshold=0.55)
    far.remember("stored", similarity_floor=floor)

    assert served is (world.ask().hit is not None)
    assert far.ask().hit is None


@pytest.mark.parametrize(("wanted", "served"), [(0.0, True), (0.6, True), (0.61, False), (1.0, False)])
def test_min_similarity(wanted: float, served: bool) -> None:  # noqa: FBT001 - a test's parameter
    """A caller may ask for more similarity than the threshold; asking for less changes nothing."""
    world = World(FixedEmbedder({"stored": 0.6, "far": 0.5}), threshold=0.55)
    world.remember("far")
    far = world.ask(CacheQuestion(message="What is Python?", min_similarity=wanted))
    world.remember("stored")
    near = world.ask(CacheQuestion(message="What is Python?", min_similarity=wanted))

    assert far.hit is None
    assert served is (near.hit is not None)
    assert far.namespace == near.namespace == SCOPE.namespace()


def test_min_similarity_of_the_same_words() -> None:
    """The same words are similar enough for everybody."""
    world = World()
    world.remember("What is Python?")

    assert world.ask(CacheQuestion(message="What is Python?", min_similarity=1.0)).hit is not None


def test_expired_candidate_is_skipped() -> None:
    """An expired candidate, which the store may still hold, makes room for the next one."""
    world = World(FixedEmbedder({"nearest": 0.99, "next": 0.9}))
    world.remember("nearest", expires_at=NOW_MS // 1000)
    world.remember("next", answer="Still good.")
    lookup = world.ask()

    assert lookup.hit is not None
    assert "Still good." == lookup.hit.entry.answer
    assert ["expired", "accepted"] == [verdict.reason for verdict in lookup.verdicts]


def test_stored_between_the_tiers() -> None:
    """An entry of the same words that is stored after the exact tier was asked is an exact hit, whatever its floor."""

    class LateStore(FakeCacheStore):
        def get(self, namespace: str, entry_id: str) -> CacheEntry | None:
            found = super().get(namespace, entry_id)
            self.put(make_entry(namespace=namespace, similarity_floor=1.001), FakeEmbedder().embed("What is Python?"))
            return found

    world = World()
    world.store = LateStore()
    world.cache = SemanticCache(world.store, world.embedder, threshold=0.85, clock=world.clock)
    hit = world.ask().hit

    assert (CacheTier.EXACT, 1.0) == (hit and hit.tier, hit and hit.similarity)


class LaggingStore(FakeCacheStore):
    """A store whose index shows what it held when it was last told to look."""

    def __init__(self) -> None:
        super().__init__()
        self.shown: Sequence[Candidate] = ()

    def nearest(self, namespace: str, embedding: Sequence[float], limit: int) -> Sequence[Candidate]:
        """Return the candidates as they were."""
        return self.shown


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda store, entry: store.evict("default", entry.namespace, entry.entry_id, NOW_MS), "removed or replaced"),
        (lambda store, entry: store.put(replace(entry, created_at_ms=NOW_MS + 1), None), "removed or replaced"),
        (lambda store, entry: store.bury(entry.namespace, entry.entry_id, 0.0, NOW_MS), "removed or replaced"),
        (lambda store, entry: store.raise_floor(entry, 0.999), "below the floor of the entry"),
    ],
    ids=["deleted", "answered anew", "called wrong", "floor raised"],
)
def test_index_that_lags(change: Callable[[LaggingStore, CacheEntry], object], reason: str) -> None:
    """What the index still shows of an entry that was changed or removed since is not served."""
    world = World()
    world.store = store = LaggingStore()
    world.cache = SemanticCache(store, world.embedder, threshold=0.85, clock=world.clock)
    entry = make_entry(namespace=world.ask().namespace)
    store.put(entry, None)
    store.shown = [Candidate(entry, 0.96)]
    before = world.ask(REWORDED)
    change(store, entry)
    after = world.ask(REWORDED)

    assert before.hit is not None
    assert (None, [reason]) == (after.hit, [verdict.reason for verdict in after.verdicts])


def test_own_entry_that_was_removed() -> None:
    """What the index still shows of the answer to the very question, after that was removed, is no hit either."""
    world = World()
    world.store = store = LaggingStore()
    world.cache = SemanticCache(store, world.embedder, threshold=0.85, clock=world.clock)
    store.shown = [Candidate(make_entry(namespace=world.ask().namespace), 1.0)]

    assert world.ask().hit is None


def test_reported_pair_is_skipped() -> None:
    """A candidate that was called wrong for this very question makes room for the next one."""
    world = World(FixedEmbedder({"nearest": 0.99, "next": 0.9}))
    world.remember("nearest")
    world.remember("next")
    place = world.ask()
    world.store.refused.add(("default", frozenset((place.entry_id, make_entry("nearest").entry_id))))
    lookup = world.ask()

    assert ["reported as wrong", "accepted"] == [verdict.reason for verdict in lookup.verdicts]
    assert lookup.hit is not None
    assert "next" == lookup.hit.entry.prompt


def test_clearing_forgets_no_complaint() -> None:
    """Two questions that were called wrong for each other stay apart when the cache is cleared and filled anew."""
    world = World()
    world.store.refused.add(("default", frozenset((make_entry(REWORDED.message).entry_id, make_entry().entry_id))))
    world.store.clear("default", NOW_MS)
    world.remember("What is Python?")

    assert ["reported as wrong"] == [verdict.reason for verdict in world.ask(REWORDED).verdicts]


def test_complaints_that_cannot_be_read() -> None:
    """When it cannot be told whether a pair was called wrong it is not served."""
    world = World()
    world.remember("What is Python?")
    world.store.broken = {"is_refused"}
    lookup = world.ask(REWORDED)

    assert (None, ("cache",), None) == (lookup.hit, lookup.degraded, lookup.refusal)


def test_complaints_are_read_last() -> None:
    """A candidate that is refused anyway costs no read of the complaints."""
    world = World()
    world.remember("What is Python?")
    world.store.broken = {"is_refused"}

    assert () == world.ask(CacheQuestion(message="Who wrote Faust?")).degraded


def test_refusal() -> None:
    """A miss carries, as a short code, why the nearest candidate was refused; a hit carries none."""
    world = World(FixedEmbedder({"nearest": 0.99, "next": 0.95}))
    empty = world.ask().refusal
    world.remember("nearest", similarity_floor=1.0)
    missed = world.ask().refusal
    world.remember("next")

    assert (None, "below_the_floor_of_the_entry", None) == (empty, missed, world.ask().refusal)


def test_hit_does_not_extend_a_life() -> None:
    """An entry ends when its time is over, however often it was served; serving it writes nothing."""
    world = World()
    world.remember("What is Python?", expires_at=NOW_MS // 1000 + 10)
    world.store.broken = {"put", "evict", "clear"}
    served = []
    for _ in range(11):
        served.append((world.ask().hit is not None, world.ask(REWORDED).hit is not None))
        world.clock.advance(1000)

    assert [(True, True)] * 10 + [(False, False)] == served


def test_expired_exact_entry() -> None:
    """An exact entry is served until its second of expiry, and not from then on."""
    world = World()
    world.remember("What is Python?", expires_at=NOW_MS // 1000 + 1)
    world.clock.advance(999)
    before = world.ask().hit
    world.clock.advance(1)

    assert before is not None
    assert world.ask().hit is None


def test_verifier() -> None:
    """A candidate that the verifier refuses is passed over, with the verifier's reason."""

    class NoAnswerAbout:
        def refusal(self, asked: str, answered: str, similarity: float) -> str | None:
            return f"{asked} is not {answered}" if answered == "nearest" else None

    world = World(FixedEmbedder({"nearest": 0.99, "next": 0.9}), verifier=NoAnswerAbout())
    world.remember("nearest")
    world.remember("next")
    lookup = world.ask()

    assert ["What is Python? is not nearest", "accepted"] == [verdict.reason for verdict in lookup.verdicts]
    assert lookup.hit is not None
    assert "next" == lookup.hit.entry.prompt


def test_at_most_five_candidates() -> None:
    """Five candidates are weighed, and no more."""
    world = World(FixedEmbedder({str(number): 0.9 for number in range(9)}))
    for number in range(9):
        world.remember(str(number), expires_at=0)

    assert 5 == len(world.ask().verdicts)


@pytest.mark.parametrize(
    ("broken", "degraded"),
    [("generation", ("cache",)), ("get", ("cache",)), ("nearest", ("cache_index",))],
)
def test_broken_store(broken: str, degraded: tuple[str, ...]) -> None:
    """A failing store makes a miss that names the part; the question can still be answered and stored."""
    world = World()
    world.remember("What is Python?")
    world.store.broken = {broken}
    lookup = world.ask(REWORDED)

    assert lookup.hit is None
    assert degraded == lookup.degraded
    assert lookup.embedding is not None


def test_exact_hit_with_broken_index() -> None:
    """The exact tier does not need the index."""
    world = World()
    world.remember("What is Python?")
    world.store.broken = {"nearest"}

    assert world.ask().hit is not None


def test_broken_embedder() -> None:
    """Without the embedder exact hits are still served, and a miss has no vector."""
    world = World()
    world.remember("What is Python?")
    world.embedder.broken = True
    missed = world.ask(REWORDED)

    assert world.ask().hit is not None
    assert (None, None, ("embedder",)) == (missed.hit, missed.embedding, missed.degraded)


def test_text_that_the_embedder_does_not_see() -> None:
    """A text that its vector would not be about is found by its exact words only, and nothing is degraded."""
    world = World()
    emoji = CacheQuestion(message="What is \U0001f40d?")
    lookup = world.ask(emoji)
    world.store.put(make_entry(emoji.message, lookup.namespace), None)

    assert (None, None, (), ()) == (lookup.hit, lookup.embedding, lookup.degraded, lookup.verdicts)
    assert world.ask(emoji).hit is not None


def test_negative_zero() -> None:
    """A temperature of minus zero is zero."""
    zero = msgspec.structs.replace(QUESTION, temperature=0.0)
    minus_zero = msgspec.structs.replace(QUESTION, temperature=-0.0)

    assert World().ask(zero).namespace == World().ask(minus_zero).namespace


def test_without_reading() -> None:
    """A caller who skips the cache gets no stored answer, but the answer's place and vector."""
    world = World()
    world.remember("What is Python?")
    world.store.broken = {"get", "nearest"}
    lookup = world.ask(read=False)

    assert (None, CacheBypass.SKIP_CACHE, ()) == (lookup.hit, lookup.bypass, lookup.degraded)
    assert (SCOPE.namespace(), make_entry().entry_id) == (lookup.namespace, lookup.entry_id)
    assert lookup.embedding is not None


def test_time_dependent() -> None:
    """A question whose answer depends on the time is not looked up, in whatever words it was stored; nor embedded."""
    world = World()
    now = CacheQuestion(message="What time is it?")
    world.store.put(make_entry(now.message, SCOPE.namespace()), world.embedder.embed(now.message))
    world.embedder.embedded.clear()
    lookups = [world.ask(now), world.ask(now, read=False)]

    assert [(None, None, CacheBypass.TIME_DEPENDENT)] * 2 == [
        (each.hit, each.embedding, each.bypass) for each in lookups
    ]
    assert [] == world.embedder.embedded


def test_time_dependent_with_broken_store() -> None:
    """A store that fails while it is asked for the place of such an answer is still reported."""
    world = World()
    world.store.broken = {"generation"}

    assert ("cache",) == world.ask(CacheQuestion(message="What time is it?")).degraded


def test_again() -> None:
    """A second look finds what was stored after the first; a failing store finds nothing."""
    world = World()
    lookup = world.ask()
    before = world.cache.again(lookup)
    world.remember("What is Python?")
    after = world.cache.again(lookup)
    world.store.broken = {"get"}

    assert before is None
    assert after is not None
    assert world.cache.again(lookup) is None


@pytest.mark.parametrize("field", Scope.__struct_fields__)
def test_every_field_of_the_scope_separates(field: str) -> None:
    """Changing any one part of what must be equal changes the namespace."""
    other: dict[str, Any] = {
        "tenant": "other",
        "generation": 1,
        "embedder_version": "words-2",
        "model": "ollama/llama3.2",
        "system_prompt": "Be brief.",
        "conversation_id": "c1",
        "history": (Turn("Hello", "Hi"),),
        "temperature": 0.0,
        "max_tokens": 1,
        "sampling": Sampling(seed=1),
    }

    assert SCOPE.namespace() != msgspec.structs.replace(SCOPE, **{field: other[field]}).namespace()


@pytest.mark.parametrize("field", Sampling.__struct_fields__)
def test_every_field_of_the_sampling_separates(field: str) -> None:
    """How the model is to choose its words, and their form, is part of what must be equal."""
    other: dict[str, Any] = {
        "top_p": 0.5,
        "frequency_penalty": 1.0,
        "presence_penalty": 1.0,
        "seed": 0,
        "stop": ("END",),
        "response_format": ResponseFormat(type="json_object"),
    }
    sampled = msgspec.structs.replace(SCOPE, sampling=Sampling(**{field: other[field]}))

    assert SCOPE.namespace() != sampled.namespace()


def test_nothing_else_separates() -> None:
    """Neither the words, the time nor the way a model was chosen changes the namespace."""
    world = World()
    first = world.ask().namespace
    world.clock.advance(86_400_000)
    forced = CacheQuestion(message="Something else entirely", force_model=TINY)

    assert first == world.ask(forced).namespace


def test_namespace_tells_nothing() -> None:
    """A namespace is 64 hexadecimal digits, whatever the scope holds."""
    namespace = msgspec.structs.replace(SCOPE, system_prompt="secret").namespace()

    assert 64 == len(namespace)
    assert set(namespace) <= set("0123456789abcdef")


def test_embedder_version() -> None:
    """The cache says which vectors it compares."""
    assert "words-1" == World().cache.embedder_version


@pytest.mark.parametrize(
    ("stored", "by_meaning", "tier"),
    [
        ("What is Python?", False, CacheTier.EXACT),
        ("Please tell me, what is Python?", True, CacheTier.SEMANTIC),
        ("Please tell me, what is Python?", False, None),
        ("What is Rust?", True, None),
    ],
)
def test_second_look(*, stored: str, by_meaning: bool, tier: CacheTier | None) -> None:
    """A request that has waited is answered by what was stored since, by its words or by its meaning."""
    store, embedder = FakeCacheStore(), FakeEmbedder()
    store.put(make_entry(stored), embedder.embed(canonicalise(stored)))
    answers = StoredAnswers(store, threshold=0.85, clock=SettableClock())
    job = make_job(embedding=tuple(embedder.embed("What is Python?")))
    hit = answers.look_again(job, by_meaning=by_meaning).hit

    assert tier == (hit and hit.tier)


def test_second_look_with_conditions() -> None:
    """The least similarity that a request asks for holds for the second look too; who wants a new answer gets one."""
    store, embedder = FakeCacheStore(), FakeEmbedder()
    stored = "Please tell me, what is Python?"
    store.put(make_entry(stored), embedder.embed(canonicalise(stored)))
    answers = StoredAnswers(store, threshold=0.85, clock=SettableClock())
    job = make_job(embedding=tuple(embedder.embed("What is Python?")))
    strict, new = replace(job, min_similarity=0.9999), replace(job, cache_bypass=CacheBypass.SKIP_CACHE)

    assert None is answers.look_again(strict, by_meaning=True).hit is answers.look_again(new, by_meaning=True).hit
