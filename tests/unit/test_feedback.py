import pytest
from msgspec.structs import replace

from cache_lookup.complaints import Complaints
from llm_router.accounting.usage import UsageRecord
from llm_router.cache_entries import CacheEntry
from llm_router.errors import ConflictError, NotFoundError, StoreError
from llm_router.feedback import EVICTING_COMPLAINTS, FLOOR_STEP, EntryChange, Feedback
from llm_router.jobs import cancelled, failed, succeeded, usage_record
from llm_router.models import CacheTier, Failure, FeedbackVerdict, Job, Target
from llm_router.request_bodies import FeedbackRequest
from tests.builders import make_answer, make_entry, make_job
from tests.fakes import NOW_MS, FakeCacheStore, FakeFeedbackStore, FakeJobStore, SettableClock

WRONG, RIGHT = FeedbackVerdict.WRONG, FeedbackVerdict.RIGHT
STORED = make_entry("What is a python?")


def request_id(number: int = 1) -> str:
    """Return the id of a request."""
    return f"req_{number:032x}"


class World:
    """Requests with answers, the cache they came from, and what takes complaints."""

    def __init__(self, store: type[FakeFeedbackStore] = FakeFeedbackStore) -> None:
        self.clock = SettableClock(NOW_MS + 60_000)
        self.jobs = FakeJobStore(self.clock)
        self.cache = FakeCacheStore()
        self.feedback = store(self.cache, self.jobs.usage)
        self.complaints = Complaints(jobs=self.jobs, cache=self.cache, store=self.feedback, clock=self.clock)

    def finish(self, job: Job) -> None:
        """Store a finished request."""
        self.jobs.record(job, usage_record(job))

    def hit(self, number: int = 1, similarity: float = 0.9) -> None:
        """Answer a request from the stored entry by its meaning."""
        answer = make_answer(tier=CacheTier.SEMANTIC, similarity=similarity, cache_entry_id=STORED.public_id)
        self.finish(succeeded(make_job(request_id(number)), answer, NOW_MS))

    def say(self, verdict: FeedbackVerdict = WRONG, number: int = 1, tenant: str = "default") -> tuple[Feedback, bool]:
        """Say what the answer to a request was like."""
        return self.complaints.take(tenant, FeedbackRequest(request_id=request_id(number), verdict=verdict))

    @property
    def stored(self) -> CacheEntry | None:
        """Return the entry as it stands."""
        return self.cache.get("ns", STORED.entry_id)


def test_wrong_semantic_hit() -> None:
    """The pair is refused, the entry's floor rises above the similarity, one complaint counts, and all is said."""
    world = World()
    world.cache.put(STORED, None)
    world.hit(similarity=0.9)
    said, is_new = world.say()

    assert is_new
    assert (WRONG, CacheTier.SEMANTIC, f"ns.{STORED.entry_id}", True, False, pytest.approx(0.9 + FLOOR_STEP)) == (
        said.verdict,
        said.tier,
        said.entry_id,
        said.pair_refused,
        said.evicted,
        said.similarity_floor,
    )
    assert world.cache.is_refused("default", make_job().entry_id, STORED.entry_id)
    assert replace(STORED, similarity_floor=0.9 + FLOOR_STEP, complaints=1) == world.stored
    assert WRONG == world.jobs.usage[f"{request_id()}#feedback"].verdict


def test_floor_never_falls() -> None:
    """A complaint about a farther pair leaves the floor where it is."""
    world = World()
    world.cache.put(replace(STORED, similarity_floor=0.95), None)
    world.hit(similarity=0.9)
    world.say()

    assert 0.95 == (world.stored and world.stored.similarity_floor)


def test_complaints_evict() -> None:
    """The entry goes with the complaint of the third request, not with one request's third complaint."""
    world = World()
    world.cache.put(STORED, None)
    for number in range(1, EVICTING_COMPLAINTS + 1):
        world.hit(number)
    repeated = [world.say(number=1)[1] for _ in range(EVICTING_COMPLAINTS)]
    evicted = [world.say(number=number)[0].evicted for number in range(1, EVICTING_COMPLAINTS + 1)]

    assert [True, False, False] == repeated
    assert [False, False, True] == evicted
    assert world.stored is None


def test_answer_that_was_replaced() -> None:
    """A complaint about an answer that is stored no more counts against the pair and the floor, not the new answer."""
    world = World()
    world.cache.put(replace(STORED, answer="A snake.", complaints=EVICTING_COMPLAINTS - 1), None)
    world.hit()
    said, _ = world.say()

    assert (True, False) == (said.pair_refused, said.evicted)
    assert (EVICTING_COMPLAINTS - 1, 0.9 + FLOOR_STEP) == (
        world.stored and world.stored.complaints,
        world.stored and world.stored.similarity_floor,
    )


def test_entry_that_is_gone() -> None:
    """When the entry has expired the pair is still refused, should the question be answered anew."""
    world = World()
    world.hit()
    said, _ = world.say()

    assert (True, None, False) == (said.pair_refused, said.similarity_floor, said.evicted)
    assert world.cache.is_refused("default", make_job().entry_id, STORED.entry_id)


@pytest.mark.parametrize("tier", [CacheTier.EXACT, CacheTier.SEMANTIC, None])
def test_wrong_for_its_own_question(tier: CacheTier | None) -> None:
    """An answer that is wrong for its own question is evicted at once, whichever tier found it."""
    world = World()
    world.cache.put(make_entry(), None)
    entry_id = make_entry().public_id if tier else None
    world.finish(succeeded(make_job(request_id()), make_answer(tier=tier, cache_entry_id=entry_id), NOW_MS))
    said, _ = world.say()

    assert (tier, True, False) == (said.tier, said.evicted, said.pair_refused)
    assert world.cache.get("ns", make_entry().entry_id) is None


def test_wrong_before_it_is_stored() -> None:
    """A fresh answer that is called wrong before the cache has it does not get there."""
    world = World()
    world.finish(succeeded(make_job(request_id()), make_answer(), NOW_MS))

    assert world.say()[0].evicted
    assert not world.cache.put(make_entry(), None)


@pytest.mark.parametrize(("tier", "evicted"), [(None, False), (CacheTier.EXACT, True)])
def test_answer_that_is_never_stored(tier: CacheTier | None, evicted: bool) -> None:  # noqa: FBT001
    """A fresh answer that must not be stored has no entry to evict; one that came from the cache all the same has."""
    world = World()
    world.cache.put(make_entry(), None)
    answer = make_answer(tier=tier, cache_entry_id=make_entry().public_id if tier else None)
    world.finish(succeeded(make_job(request_id(), no_store=True), answer, NOW_MS))
    said, _ = world.say()

    assert evicted is said.evicted
    assert evicted is (world.cache.get("ns", make_entry().entry_id) is None)


@pytest.mark.parametrize("unfit", [{"done_reason": "length"}, {"text": " \n"}], ids=["cut", "empty"])
def test_answer_that_must_not_be_given_twice(unfit: dict[str, str]) -> None:
    """A cut or empty answer was never to be stored; calling it wrong keeps out no better one that is on its way."""
    world = World()
    world.finish(succeeded(make_job(request_id()), make_answer(**unfit), NOW_MS))
    said, _ = world.say()

    assert (None, False) == (said.entry_id, said.evicted)
    assert world.cache.put(make_entry(), None)


def test_wrong_answer_of_a_fallback() -> None:
    """An answer of a fallback is evicted from where it was stored, not from the place of the model it stood in for."""
    world = World()
    world.cache.put(make_entry(), None)
    world.cache.put(make_entry(namespace="other"), None)
    fallbacks = (Target(model="ollama/other", namespace="other", max_tokens=1),)
    job = make_job(request_id(), fallbacks=fallbacks)
    world.finish(succeeded(job, make_answer(fallback="ollama/other"), NOW_MS))
    said, _ = world.say()

    assert (True, f"other.{job.entry_id}") == (said.evicted, said.entry_id)
    assert [("ns", job.entry_id)] == list(world.cache.entries)


def test_fallback_without_a_place() -> None:
    """An answer that belongs nowhere in the cache can be called wrong, and nothing follows."""
    world = World()
    world.finish(succeeded(make_job(request_id()), make_answer(fallback="ollama/other"), NOW_MS))
    said, is_new = world.say()

    assert (True, False, None) == (is_new, said.evicted, said.entry_id)


def test_newer_answer_stays() -> None:
    """A generated answer that was called wrong takes no other answer to the same question with it."""
    world = World()
    world.cache.put(make_entry(answer="A better one."), None)
    world.finish(succeeded(make_job(request_id()), make_answer(), NOW_MS))

    assert not world.say()[0].evicted
    assert world.cache.get("ns", make_entry().entry_id) is not None


def test_right() -> None:
    """Praise is kept and counted, and changes nothing else."""
    world = World()
    world.cache.put(STORED, None)
    world.hit()
    said, is_new = world.say(RIGHT)

    assert (True, RIGHT, False, False) == (is_new, said.verdict, said.pair_refused, said.evicted)
    assert STORED == world.stored
    assert RIGHT == world.jobs.usage[f"{request_id()}#feedback"].verdict


@pytest.mark.parametrize(("first", "second"), [(WRONG, RIGHT), (RIGHT, WRONG)])
def test_first_verdict_stands(first: FeedbackVerdict, second: FeedbackVerdict) -> None:
    """Who has called an answer wrong cannot call it right later, nor the other way round."""
    world = World()
    world.hit()
    world.say(first)
    with pytest.raises(ConflictError, match=f"was called {first} before"):
        world.say(second)


@pytest.mark.parametrize(("number", "tenant"), [(1, "other"), (2, "default")])
def test_somebody_elses(number: int, tenant: str) -> None:
    """A request that is unknown or another tenant's cannot be spoken of."""
    world = World()
    world.hit()
    with pytest.raises(NotFoundError):
        world.say(number=number, tenant=tenant)

    assert {} == world.feedback.said


def test_odd_request_id() -> None:
    """An id that no request can have is unknown."""
    with pytest.raises(NotFoundError):
        World().complaints.take("default", FeedbackRequest(request_id="flight#x", verdict=WRONG))


def test_without_an_answer() -> None:
    """A request without an answer cannot be spoken of, and the reason is its state."""
    world = World()
    world.jobs.open(make_job(request_id(1)))
    failure = Failure(code="model_error", message="odd")
    world.finish(failed(make_job(request_id(2)), failure, NOW_MS))
    world.finish(cancelled(make_job(request_id(3)), failure, NOW_MS))
    for number, state in ((1, "it is still queued"), (2, "it failed"), (3, "it was cancelled")):
        with pytest.raises(ConflictError, match=state):
            world.say(number=number)


def test_entry_changes_meanwhile() -> None:
    """When the entry changes between look and write, what follows is decided anew."""

    class Hasty(FakeFeedbackStore):
        def record(self, feedback: Feedback, usage: UsageRecord, change: EntryChange | None) -> bool:
            if change is not None and change.complaints == 1:
                world.cache.entries["ns", STORED.entry_id] = replace(STORED, complaints=1), None
            return super().record(feedback, usage, change)

    world = World(Hasty)
    world.cache.put(STORED, None)
    world.hit()
    world.say()

    assert 2 == (world.stored and world.stored.complaints)


def test_entry_that_never_holds_still() -> None:
    """When others are always first the caller is told to try again, and nothing is written."""

    class Late(FakeFeedbackStore):
        def record(self, feedback: Feedback, usage: UsageRecord, change: EntryChange | None) -> bool:
            return False

    world = World(Late)
    world.hit()
    with pytest.raises(StoreError):
        world.say()

    assert {} == world.feedback.said
