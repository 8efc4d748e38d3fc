from collections.abc import Callable, Sequence

import pytest
from msgspec.structs import replace

from llm_router.accounting.rollups import rollup_key
from llm_router.errors import StoreError
from llm_router.jobs import (
    answer_from_cache,
    cancelled,
    failed,
    feedback_record,
    leader_of,
    settle,
    succeeded,
    usage_record,
    utc_day,
)
from llm_router.models import CacheTier, Failure, FeedbackVerdict, Job, JobStatus
from llm_router.stored_answers import Hit
from tests.builders import COSTS, TINY, make_answer, make_entry, make_job
from tests.fakes import JOB_LIFE_MS, NOW_MS, FakeJobStore, SettableClock

FAILURE = Failure(code="model_timeout", message="too late")


class LatecomerStore(FakeJobStore):
    """Lets another request join just before the flight closes for the first time."""

    def __init__(self, clock: SettableClock, latecomer: Job) -> None:
        super().__init__(clock)
        self.latecomer: Job | None = latecomer

    def close_flight(self, job: Job, *, followers: Sequence[str]) -> bool:
        """Close the flight, after somebody else came in."""
        if self.latecomer is not None:
            latecomer, self.latecomer = self.latecomer, None
            self.open(latecomer)
        return super().close_flight(job, followers=followers)


def lead(store: FakeJobStore, *followers: str, end: Callable[[Job], Job] | None = None) -> Job:
    """Return the finished leader of a flight that the followers have joined."""
    leader = make_job("leader")
    store.open(leader)
    for follower in followers:
        store.open(make_job(follower))
    end = end or (lambda job: succeeded(job, make_answer(), NOW_MS + 500))
    finished = end(leader)
    store.finish(finished, usage_record(finished))
    return finished


def test_feedback_record() -> None:
    """What was said is a record of its own, on the day it was said, in the row of the request; it used nothing."""
    job = succeeded(make_job(), make_answer(), NOW_MS)
    said = feedback_record(job, FeedbackVerdict.WRONG, NOW_MS + 86_400_000)

    assert ("req_1#feedback", "2023-11-15", FeedbackVerdict.WRONG) == (said.request_id, said.day, said.verdict)
    assert rollup_key(usage_record(job)) == replace(rollup_key(said), day="2023-11-14")
    assert (0, 0, 0, 0, 0, 0) == (
        said.input_tokens,
        said.output_tokens,
        said.busy_ms,
        said.latency_ms,
        said.actual_nano_usd,
        said.baseline_nano_usd,
    )


def test_followers_share_the_answer() -> None:
    """Whoever joined gets the same answer, but only the leader's record carries the box's work."""
    store = FakeJobStore(SettableClock(NOW_MS + 700))
    settle(store, lead(store, "one", "two"), SettableClock(NOW_MS + 700))
    one, usage = store.get("one"), store.usage["one"]

    assert (JobStatus.SUCCEEDED, make_answer(busy_ms=0, actual_nano_usd=0), 700) == (
        one.status,
        one.answer,
        one.latency_ms,
    )
    assert (True, 0, 0, 10, 20) == (
        usage.joined,
        usage.busy_ms,
        usage.actual_nano_usd,
        usage.input_tokens,
        usage.output_tokens,
    )
    assert (False, 30, 3000) == (
        store.usage["leader"].joined,
        store.usage["leader"].busy_ms,
        store.usage["leader"].actual_nano_usd,
    )
    assert {"leader", "one", "two"} == set(store.usage)


def test_followers_share_the_failure() -> None:
    """Without an answer, whoever joined fails for the leader's reason; what it cost is the leader's."""
    store = FakeJobStore(SettableClock())
    spent = Failure(code="model_timeout", message="too late", busy_ms=5, actual_nano_usd=7)
    settle(store, lead(store, "one", end=lambda job: failed(job, spent, NOW_MS)), SettableClock())

    assert (JobStatus.FAILED, replace(spent, busy_ms=0, actual_nano_usd=0)) == (
        store.get("one").status,
        store.get("one").failure,
    )


def test_cancelled_leader_is_followed_by_the_next() -> None:
    """When the leader was cancelled, whoever joined is not cancelled with it: the flight has a new leader."""
    store = FakeJobStore(SettableClock())
    leader = lead(store, "one", end=lambda job: cancelled(job, Failure(code="cancelled", message="x"), NOW_MS))
    heir = settle(store, leader, SettableClock())

    assert "one" == heir == store.leader(store.get("one"))
    assert JobStatus.QUEUED is store.get("one").status


def test_latecomer_to_a_cancelled_leader() -> None:
    """A request that joins while the flight of a cancelled one is being closed becomes the leader."""
    store = LatecomerStore(SettableClock(), make_job("late"))
    leader = lead(store, end=lambda job: cancelled(job, Failure(code="cancelled", message="x"), NOW_MS))

    assert "late" == settle(store, leader, SettableClock())
    assert JobStatus.QUEUED is store.get("late").status


def test_repeatable() -> None:
    """Settling again, as after a crash, changes nothing."""
    clock = SettableClock(step_ms=1)
    store = FakeJobStore(clock)
    leader = lead(store, "one")
    settle(store, leader, clock)
    before = dict(store.jobs), dict(store.usage)
    settle(store, leader, clock)

    assert before == (store.jobs, store.usage)


@pytest.mark.parametrize("crash", ["followers", "get", "finish", "close_flight"])
def test_crash_on_the_way(crash: str) -> None:
    """Wherever settling breaks off, doing it again brings everybody their answer."""
    clock = SettableClock()
    store = FakeJobStore(clock)
    leader = lead(store, "one", "two")
    store.broken = {crash}
    with pytest.raises(StoreError):
        settle(store, leader, clock)
    store.broken = set()
    settle(store, leader, clock)

    assert [JobStatus.SUCCEEDED] * 2 == [store.get(name).status for name in ("one", "two")]
    assert store.open(make_job("next"))


def test_latecomer() -> None:
    """A request that joins while the flight is being closed gets the answer too."""
    store = LatecomerStore(SettableClock(), make_job("late"))
    settle(store, lead(store, "one"), SettableClock())

    assert JobStatus.SUCCEEDED == store.get("late").status
    assert store.open(make_job("next"))


def test_latecomers_do_not_have_the_others_told_again() -> None:
    """Who has been told is not looked at again when somebody else comes late."""

    class CountingStore(LatecomerStore):
        def get(self, job_id: str) -> Job:
            """Note who is looked at."""
            looked_at.append(job_id)
            return super().get(job_id)

    looked_at: list[str] = []
    store = CountingStore(SettableClock(), make_job("late"))
    leader = lead(store, "one", "two")
    settle(store, leader, SettableClock())

    assert ["one", "two", "late"] == looked_at


def test_leader_of_one_that_is_worked_on() -> None:
    """A request that has been begun waits for nobody else, which takes no look at its flight."""
    store = FakeJobStore(SettableClock())
    store.open(make_job("leader"))
    running = store.start("leader", worker="w", lease_until_ms=NOW_MS + 1)
    store.broken = {"leader"}

    assert running is leader_of(store, running)


def test_expired_follower() -> None:
    """A follower that a dead leader left behind and that has expired since does not keep the flight open."""
    clock = SettableClock()
    store = FakeJobStore(clock)
    store.open(make_job("dead"))
    store.open(make_job("forgotten"))
    clock.advance(JOB_LIFE_MS)
    settle(store, lead(store, "one"), clock)

    assert JobStatus.SUCCEEDED == store.get("one").status
    assert "forgotten" not in store.usage
    assert store.open(make_job("next"))


def test_follower_that_ended_by_itself() -> None:
    """A follower that is finished already keeps its own end."""
    store = FakeJobStore(SettableClock())
    leader = lead(store, "one")
    ended = failed(store.get("one"), FAILURE, NOW_MS)
    store.finish(ended, usage_record(ended))
    settle(store, leader, SettableClock())

    assert ended == store.get("one")


def test_without_flight() -> None:
    """A job that nobody could join has nothing to settle."""
    store = FakeJobStore(SettableClock())
    store.broken = {"followers", "close_flight"}

    settle(store, make_job(flight=None), SettableClock())


def test_usage_of_a_failure() -> None:
    """A failed request leaves a record too: the model it was meant for, its latency, no tokens and no money."""
    usage = usage_record(failed(make_job(), FAILURE, NOW_MS + 9))

    assert (JobStatus.FAILED, TINY, 9, 0, 0, 0, 0, 0) == (
        usage.status,
        usage.model,
        usage.latency_ms,
        usage.input_tokens,
        usage.output_tokens,
        usage.busy_ms,
        usage.actual_nano_usd,
        usage.baseline_nano_usd,
    )


def test_usage_of_an_answer() -> None:
    """A record names the day the request finished and the model that answered, and holds no prompt and no answer."""
    job = succeeded(make_job(prompt="secret question"), make_answer("secret answer", model="ollama/other"), NOW_MS)
    usage = usage_record(job)

    assert ("2023-11-14", "ollama/other", 3000) == (usage.day, usage.model, usage.actual_nano_usd)
    assert "secret" not in repr(usage)


def test_answer_from_cache() -> None:
    """A stored answer costs no box time, and saves what its tokens cost elsewhere."""
    answer = answer_from_cache(Hit(make_entry(), CacheTier.SEMANTIC, 0.9), COSTS, NOW_MS)

    assert ("A language.", CacheTier.SEMANTIC, 0.9) == (answer.text, answer.tier, answer.similarity)
    assert (0, 0, 10 * 30_000 + 20 * 60_000) == (answer.busy_ms, answer.actual_nano_usd, answer.baseline_nano_usd)


@pytest.mark.parametrize(
    ("epoch_ms", "day"), [(0, "1970-01-01"), (86_399_999, "1970-01-01"), (86_400_000, "1970-01-02")]
)
def test_utc_day(epoch_ms: int, day: str) -> None:
    """Days begin at midnight UTC."""
    assert day == utc_day(epoch_ms)
