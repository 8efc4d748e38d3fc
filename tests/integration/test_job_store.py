"""One suite for the job table and for its stand-in, so that the stand-in cannot drift."""

from concurrent.futures import ThreadPoolExecutor

import msgspec
import pytest
from msgspec.structs import replace

from llm_router.accounting.usage import UsageRecord
from llm_router.adapters.dynamodb import from_item
from llm_router.adapters.dynamodb_flights import FLIGHT_LEASE_MS
from llm_router.adapters.dynamodb_jobs import DynamoJobStore
from llm_router.adapters.job_items import JOB_TTL_SECONDS, USAGE_TTL_SECONDS
from llm_router.errors import ConflictError, NotFoundError
from llm_router.jobs import SET_ASIDE, failed, succeeded, usage_record
from llm_router.models import CacheTier, Failure, Job, JobInLine, JobStatus, Lane, Spent
from llm_router.ports import JobStore
from tests.builders import make_answer, make_job
from tests.fakes import NOW_MS, FakeJobStore, SettableClock
from tests.integration.conftest import Cloud

JOB_LIFE_MS = JOB_TTL_SECONDS * 1000
FAILURE = Failure(code="model_timeout", message="too late")
ASIDE = Failure(code=SET_ASIDE, message="kept")


class Home:
    """A store, and a way to see its usage records."""

    def __init__(self, store: JobStore, cloud: Cloud | None) -> None:
        self.store = store
        self._cloud = cloud

    def usage(self) -> dict[str, UsageRecord]:
        """Return all usage records by request."""
        if isinstance(self.store, FakeJobStore):
            return self.store.usage
        assert self._cloud is not None
        items = self._cloud.dynamodb.scan(TableName="UsageTable")["Items"]
        records = [msgspec.convert(from_item(item), UsageRecord) for item in items]
        return {record.request_id: record for record in records}


@pytest.fixture(params=["fake", "dynamodb"])
def home(request: pytest.FixtureRequest, clock: SettableClock) -> Home:
    """Run every case on both stores."""
    if request.param == "fake":
        return Home(FakeJobStore(clock), None)
    cloud: Cloud = request.getfixturevalue("cloud")
    return Home(DynamoJobStore(cloud.dynamodb, job_table="JobTable", usage_table="UsageTable", clock=clock), cloud)


@pytest.fixture
def store(home: Home) -> JobStore:
    """Return the store under test."""
    return home.store


def finish(store: JobStore, job: Job) -> bool:
    """Finish a job with its record."""
    return store.finish(job, usage_record(job))


def test_round_trip(store: JobStore) -> None:
    """A job comes back as it was stored, with everything it carries."""
    job = make_job(
        embedding=(0.5, -0.25),
        system_prompt="Be brief.",
        temperature=0.1,
        degraded=("cache_index",),
        prompt="ünïcödé 10²\n\ttabs",
    )
    opened = store.open(job)

    assert opened
    assert job == store.get("req_1")


def test_unknown_job(store: JobStore) -> None:
    """An unknown id is not found, and neither is a flight under its key."""
    store.open(make_job())

    for name in ("req_2", "flight#fingerprint", ""):
        with pytest.raises(NotFoundError):
            store.get(name or "?")


def test_job_expires(store: JobStore, clock: SettableClock) -> None:
    """A job is gone after a day, deleted or not, and cannot be started any more."""
    store.open(make_job())
    clock.advance(JOB_LIFE_MS - 1)
    before = store.get("req_1").job_id
    clock.advance(1)

    assert "req_1" == before
    with pytest.raises(NotFoundError):
        store.get("req_1")
    with pytest.raises(NotFoundError):
        store.start("req_1", worker="w", lease_until_ms=clock() + 1)


def test_same_id_twice(store: JobStore) -> None:
    """An id is taken once."""
    store.open(make_job(flight=None))
    with pytest.raises(ConflictError):
        store.open(make_job(flight=None, prompt="other"))

    assert "What is Python?" == store.get("req_1").prompt


def test_without_flight(store: JobStore) -> None:
    """A job without a flight is always to be run, and has nobody to tell."""
    one, two = make_job("one", flight=None), make_job("two", flight=None)

    assert [True, True] == [store.open(one), store.open(two)]
    assert [] == store.followers(one)
    assert store.close_flight(one, followers=[])


def test_joining(store: JobStore) -> None:
    """The first of equal requests leads; the others join it, and are stored as jobs of their own."""
    jobs = [make_job(name) for name in ("one", "two", "three")]

    assert [True, False, False] == [store.open(job) for job in jobs]
    assert ["three", "two"] == store.followers(jobs[0])
    assert [] == store.followers(jobs[1])
    assert jobs == [store.get(job.job_id) for job in jobs]


def test_other_flight(store: JobStore) -> None:
    """Requests that differ do not join."""
    assert [True, True] == [store.open(make_job("one")), store.open(make_job("two", flight="another"))]


def test_closing(store: JobStore) -> None:
    """A flight closes only when everybody in it is known; then the next equal request leads again."""
    leader = make_job("one")
    store.open(leader)
    store.open(make_job("two"))
    unknown_follower = store.close_flight(leader, followers=[])
    store.open(make_job("late"))
    latecomer = store.close_flight(leader, followers=["two"])
    closed = store.close_flight(leader, followers=["late", "two"])
    again = store.close_flight(leader, followers=["late", "two"])

    assert (False, False, True, True) == (unknown_follower, latecomer, closed, again)
    assert [] == store.followers(leader)
    assert store.open(make_job("three"))


def test_closing_alone(store: JobStore) -> None:
    """A flight that nobody joined closes at once."""
    leader = make_job()
    store.open(leader)

    assert store.close_flight(leader, followers=[])
    assert store.open(make_job("two"))


def test_dead_leader(store: JobStore, clock: SettableClock) -> None:
    """When a leader's lease is over an equal request takes the flight over, with those who wait in it."""
    dead, waiting, heir = make_job("dead"), make_job("waiting"), make_job("heir")
    store.open(dead)
    store.open(waiting)
    clock.advance(FLIGHT_LEASE_MS)
    in_time = store.open(make_job("patient"))
    clock.advance(1)
    opened = store.open(heir)

    assert (False, True) == (in_time, opened)
    assert ["patient", "waiting"] == store.followers(heir)
    assert [] == store.followers(dead)
    assert store.close_flight(dead, followers=[])
    assert ["patient", "waiting"] == store.followers(heir)


def test_start(store: JobStore) -> None:
    """A started job is running, and its job comes back whole."""
    job = make_job(embedding=(0.5,))
    store.open(job)
    started = store.start("req_1", worker="w", lease_until_ms=NOW_MS + 10)

    running = {"status": JobStatus.RUNNING, "worker": "w", "lease_until_ms": NOW_MS + 10, "started_at_ms": NOW_MS}
    assert replace(job, **running, attempts=1) == started == store.get("req_1")


def test_start_twice(store: JobStore, clock: SettableClock) -> None:
    """A running job is nobody else's until the lease is over."""
    store.open(make_job())
    store.start("req_1", worker="w", lease_until_ms=NOW_MS + 10)
    clock.advance(10)
    with pytest.raises(ConflictError):
        store.start("req_1", worker="other", lease_until_ms=NOW_MS + 99)
    clock.advance(1)

    assert JobStatus.RUNNING == store.start("req_1", worker="other", lease_until_ms=NOW_MS + 99).status


def test_start_finished(store: JobStore) -> None:
    """A finished job cannot be started."""
    store.open(make_job())
    finish(store, failed(make_job(), FAILURE, NOW_MS))
    with pytest.raises(ConflictError):
        store.start("req_1", worker="w", lease_until_ms=NOW_MS + 10)


def test_start_unknown(store: JobStore) -> None:
    """An unknown job cannot be started, and is not made by trying."""
    with pytest.raises(NotFoundError):
        store.start("req_1", worker="w", lease_until_ms=NOW_MS + 10)
    with pytest.raises(NotFoundError):
        store.get("req_1")


def test_progress(store: JobStore) -> None:
    """Text on the way shows while the job runs."""
    store.open(make_job())
    job = store.start("req_1", worker="w", lease_until_ms=NOW_MS + 10)
    store.renew(job, lease_until_ms=NOW_MS + 20, partial_text="A ")
    store.renew(job, lease_until_ms=NOW_MS + 20, partial_text="A lang")

    assert (JobStatus.RUNNING, "A lang") == (store.get("req_1").status, store.get("req_1").partial_text)


def test_progress_of_an_idle_job(store: JobStore) -> None:
    """Text of a job that is not running is refused, whether it waits, is finished or unknown."""
    store.open(make_job("queued"))
    store.open(make_job("finished"))
    finish(store, failed(make_job("finished"), FAILURE, NOW_MS))

    for name in ("queued", "finished", "unknown"):
        with pytest.raises(ConflictError):
            store.renew(make_job(name, worker="w"), lease_until_ms=NOW_MS, partial_text="A ")


def test_finish(home: Home) -> None:
    """A job's end and its record are there together, and the answer takes the place of the text so far."""
    store = home.store
    store.open(make_job(embedding=(0.5,)))
    job = store.start("req_1", worker="w", lease_until_ms=NOW_MS + 10)
    store.renew(job, lease_until_ms=NOW_MS + 20, partial_text="A lang")
    answer = make_answer("€" * 5, tier=CacheTier.SEMANTIC, similarity=0.9, baseline_nano_usd=10**18)
    finished = succeeded(job, answer, NOW_MS + 40)

    assert finish(store, finished)
    assert replace(finished, worker=None, lease_until_ms=0) == store.get("req_1")
    assert {"req_1": usage_record(finished)} == home.usage()


def test_finish_with_failure(home: Home) -> None:
    """A failed job keeps the text so far."""
    store = home.store
    store.open(make_job())
    job = store.start("req_1", worker="w", lease_until_ms=NOW_MS + 10)
    store.renew(job, lease_until_ms=NOW_MS + 20, partial_text="A lang")
    finished = failed(job, FAILURE, NOW_MS + 40)
    finish(store, finished)

    assert replace(finished, partial_text="A lang", worker=None, lease_until_ms=0) == store.get("req_1")
    assert JobStatus.FAILED == home.usage()["req_1"].status


def test_finish_twice(home: Home) -> None:
    """A job ends once: the second end changes neither the job nor the record."""
    store = home.store
    store.open(make_job())
    first = succeeded(make_job(), make_answer(), NOW_MS)
    finish(store, first)

    assert not finish(store, failed(make_job(), FAILURE, NOW_MS + 9))
    assert first == store.get("req_1")
    assert {"req_1": usage_record(first)} == home.usage()


def test_finish_without_start(store: JobStore) -> None:
    """A waiting job can be finished by another's answer."""
    store.open(make_job())
    finished = succeeded(make_job(), make_answer(), NOW_MS)

    assert finish(store, finished)
    assert finished == store.get("req_1")


def test_finish_unknown(home: Home) -> None:
    """A job that is not there cannot be finished, and leaves no record."""
    assert not finish(home.store, succeeded(make_job(), make_answer(), NOW_MS))
    assert {} == home.usage()


def test_record(home: Home) -> None:
    """A request that the cache answered is stored finished, with its record, once."""
    job = succeeded(make_job(), make_answer(tier=CacheTier.EXACT, similarity=1.0), NOW_MS + 3)
    home.store.record(job, usage_record(job))
    with pytest.raises(ConflictError):
        home.store.record(job, usage_record(job))

    assert job == home.store.get("req_1")
    assert {"req_1": usage_record(job)} == home.usage()


def test_items_expire(cloud: Cloud, clock: SettableClock) -> None:
    """Jobs and flights carry their day, and records their thirteen months, in the attribute the tables delete by."""
    store = DynamoJobStore(cloud.dynamodb, job_table="JobTable", usage_table="UsageTable", clock=clock)
    job = make_job()
    store.open(job)
    finish(store, succeeded(job, make_answer(), NOW_MS))
    jobs = cloud.dynamodb.scan(TableName="JobTable")["Items"]
    records = cloud.dynamodb.scan(TableName="UsageTable")["Items"]

    assert {NOW_MS // 1000 + JOB_TTL_SECONDS} == {int(item["expires_at"]["N"]) for item in jobs}
    assert {"req_1", "flight#fingerprint"} == {item["job_id"]["S"] for item in jobs}
    assert [str(NOW_MS // 1000 + USAGE_TTL_SECONDS)] == [item["expires_at"]["N"] for item in records]


def start(store: JobStore, name: str = "req_1", worker: str = "w") -> Job:
    """Start a job with a lease of ten milliseconds."""
    return store.start(name, worker=worker, lease_until_ms=NOW_MS + 10)


def test_renewed_lease_holds(store: JobStore, clock: SettableClock) -> None:
    """A worker that renews its lease keeps its job beyond the first lease."""
    store.open(make_job())
    job = start(store)
    store.renew(job, lease_until_ms=NOW_MS + 1_000)
    clock.advance(500)

    with pytest.raises(ConflictError):
        store.start("req_1", worker="other", lease_until_ms=NOW_MS + 2_000)


def test_dead_worker_cannot_finish_what_another_took_up(home: Home, clock: SettableClock) -> None:
    """A worker that comes back after its lease neither renews nor ends the job that another has taken up."""
    store = home.store
    store.open(make_job())
    dead = start(store, worker="dead")
    clock.advance(11)
    living = store.start("req_1", worker="living", lease_until_ms=NOW_MS + 99)

    with pytest.raises(ConflictError):
        store.renew(dead, lease_until_ms=NOW_MS + 99)
    assert not finish(store, succeeded(dead, make_answer("dead"), NOW_MS))
    assert finish(store, succeeded(living, make_answer("living"), NOW_MS))
    assert ["req_1"] == list(home.usage())


def test_running_job_is_ended_by_its_worker_only(store: JobStore, clock: SettableClock) -> None:
    """While the lease holds nobody else ends a running job; after it anybody may."""
    store.open(make_job())
    start(store)
    ended = failed(make_job(), FAILURE, NOW_MS)
    too_early = finish(store, ended)
    clock.advance(11)

    assert (False, True) == (too_early, finish(store, ended))


def test_cancel_is_asked_of_running_jobs(store: JobStore) -> None:
    """A running job's worker learns of the wish when it renews; other jobs are returned as they are."""
    store.open(make_job("one"))
    store.open(make_job("two"))
    job = start(store, "one")
    waiting = store.request_cancel("two")
    asked = store.request_cancel("one")

    assert (True, False) == (asked.cancel_requested, waiting.cancel_requested)
    assert store.renew(job, lease_until_ms=NOW_MS + 20).cancel_requested
    with pytest.raises(NotFoundError):
        store.request_cancel("three")


def test_redispatch_is_claimed_once_in_a_while(store: JobStore, clock: SettableClock) -> None:
    """Of many who want a job dispatched again one may, and the next only after a while."""
    store.open(make_job())
    claims = [store.claim_redispatch("req_1", not_since_ms=NOW_MS - 60) for _ in range(3)]
    clock.advance(60)
    claims.append(store.claim_redispatch("req_1", not_since_ms=clock() - 60))

    assert [True, False, False, True] == claims
    assert not store.claim_redispatch("unknown", not_since_ms=clock())


def test_leader(store: JobStore) -> None:
    """Everybody in a flight knows its leader, itself included; after its end, and without a flight, there is none."""
    leader, follower, alone = make_job("one"), make_job("two"), make_job("three", flight=None)
    for job in (leader, follower, alone):
        store.open(job)
    known = [store.leader(job) for job in (leader, follower, alone)]
    store.close_flight(leader, followers=["two"])

    assert ["one", "one", None] == known
    assert store.leader(follower) is None


def test_hand_over(store: JobStore) -> None:
    """The first unfinished request that joined becomes the leader; the old one has no say in the flight any more."""
    leader = make_job("one")
    for name in ("one", "two", "three", "four"):
        store.open(make_job(name))
    gone = replace(failed(make_job("four"), FAILURE, NOW_MS), status=JobStatus.CANCELLED)
    finish(store, gone)
    heir = store.hand_over(leader)

    assert "three" == heir
    assert "three" == store.leader(make_job("two"))
    assert ["four", "two"] == store.followers(make_job("three"))
    assert [] == store.followers(leader)
    assert store.hand_over(leader) is None
    assert store.close_flight(leader, followers=[])
    assert "three" == store.leader(make_job("two"))


def test_hand_over_alone(store: JobStore) -> None:
    """Without anybody who joined there is no heir."""
    store.open(make_job())

    assert store.hand_over(make_job()) is None


def test_handing_over_that_the_sdk_repeats(cloud: Cloud, clock: SettableClock) -> None:
    """An heir whose promotion was written, and not heard of, is the heir all the same, and nobody else is."""

    class Deaf(DynamoJobStore):
        def _promote(self, job: Job, heir: str) -> bool:
            """Write twice, as an SDK that lost the first answer."""
            super()._promote(job, heir)
            return super()._promote(job, heir)

    store = Deaf(cloud.dynamodb, job_table="JobTable", usage_table="UsageTable", clock=clock)
    for name in ("one", "two", "three"):
        store.open(make_job(name))

    assert "three" == store.hand_over(make_job("one")) == store.leader(make_job("two"))
    assert ["two"] == store.followers(make_job("three"))


def test_writes_that_the_sdk_repeats(store: JobStore) -> None:
    """Storing and starting a job may be repeated, as by an SDK that lost the first answer, and mean the same."""
    job = make_job()

    assert [True, True] == [store.open(job), store.open(job)]
    assert start(store) == start(store)
    with pytest.raises(ConflictError):
        store.open(job)


def names(store: JobStore, *, limit: int = 10) -> list[str]:
    """Return who is in line, in order."""
    return [job.job_id for job in store.line(limit=limit)]


def test_line(store: JobStore) -> None:
    """Who waits or runs comes oldest first, with what is expected of its model once that is in memory."""
    young = make_job("young", flight=None, created_at_ms=NOW_MS - 1)
    old = make_job("old", flight=None, created_at_ms=NOW_MS - 2, expected_ms=9_000, expected_load_ms=5_000)
    for job in (young, old):
        store.open(job)
    waiting = JobInLine(job_id="old", model=old.model, created_at_ms=NOW_MS - 2, expected_ms=4_000)
    running = JobInLine(job_id="young", model=young.model, created_at_ms=NOW_MS - 1, started_at_ms=NOW_MS)
    start(store, "young")

    assert [waiting, running] == store.line(limit=2)
    assert [waiting] == store.line(limit=1)


def test_nobody_is_in_line_who_has_ended(store: JobStore, clock: SettableClock) -> None:
    """A job leaves the line when it ends, begun or not, and when its day is over."""
    for name in ("begun", "ended", "expired"):
        store.open(make_job(name, flight=None))
    cached = succeeded(make_job("cached"), make_answer(), NOW_MS)
    store.record(cached, usage_record(cached))
    everybody = sorted(names(store))
    finish(store, succeeded(start(store, "begun"), make_answer(), NOW_MS))
    finish(store, failed(make_job("ended"), FAILURE, NOW_MS))
    remaining = names(store)
    clock.advance(JOB_LIFE_MS)

    assert (["begun", "ended", "expired"], ["expired"], []) == (everybody, remaining, names(store))


def shadow(number: int, **fields: object) -> Job:
    """Return the shadow of a request."""
    return make_job(f"shadow#req_{number}", arm="shadow", flight=None, **fields)


def test_shadows_have_a_line_of_their_own(store: JobStore) -> None:
    """A shadow stands in its lane until it ends, and callers' requests do not see it."""
    store.open(make_job(flight=None))
    made = store.open_shadow(shadow(1), daily_limit=1)
    waiting = [job.job_id for job in store.line(limit=5, lane=Lane.SHADOW)]
    finish(store, succeeded(start(store, "shadow#req_1"), make_answer(), NOW_MS))

    assert made
    assert (["shadow#req_1"], ["req_1"]) == (waiting, names(store))
    assert [] == store.line(limit=5, lane=Lane.SHADOW)
    assert "shadow" == store.get("shadow#req_1").arm


def test_shadows_of_a_day(store: JobStore) -> None:
    """A day has as many as it may, one that comes twice counts once, and the next UTC day begins anew."""
    one, twice, two, three = (store.open_shadow(shadow(number), daily_limit=2) for number in (1, 1, 2, 3))
    tomorrow = store.open_shadow(shadow(4, created_at_ms=NOW_MS + 2 * 3_600_000), daily_limit=2)  # from 22:13 UTC

    assert (True, False, True, False, True) == (one, twice, two, three, tomorrow)
    with pytest.raises(NotFoundError):
        store.get("shadow#req_3")


def test_shadows_at_once(store: JobStore) -> None:
    """However many workers make shadows at the same moment, there are never more than the day may have."""
    with ThreadPoolExecutor(4) as workers:
        made = list(workers.map(lambda number: store.open_shadow(shadow(number), daily_limit=5), range(12)))

    assert 5 == sum(made) == len(store.line(limit=50, lane=Lane.SHADOW))


def test_only_the_leader_is_in_line(store: JobStore) -> None:
    """A request that joined another is not to be run, and not in the line."""
    for name in ("leader", "follower"):
        store.open(make_job(name))

    assert ["leader"] == names(store)


SPENT = Spent(busy_ms=30, actual_nano_usd=3000)


def test_escalating_a_waiting_job(store: JobStore) -> None:
    """A queued job can be left to the cloud; the box cannot begin it any more, and a worker of the cloud can."""
    job = make_job()
    store.open(job)
    store.escalate(job)
    left = store.get("req_1")
    with pytest.raises(ConflictError):
        store.start("req_1", worker="box", lease_until_ms=NOW_MS + 1000)
    running = store.start("req_1", worker="cloud", lease_until_ms=NOW_MS + 1000, in_cloud=True)

    assert (JobStatus.ESCALATED, True, None) == (left.status, left.escalated, left.worker)
    assert (JobStatus.RUNNING, True, "cloud") == (running.status, running.escalated, running.worker)


def test_escalating_a_running_job(store: JobStore) -> None:
    """The worker that holds a job leaves it with what it has cost; the text so far is not the next model's."""
    store.open(make_job())
    job = store.start("req_1", worker="box", lease_until_ms=NOW_MS + 1000)
    store.renew(job, lease_until_ms=NOW_MS + 1000, partial_text="A lang")
    store.escalate(replace(job, spent=SPENT))
    left = store.get("req_1")
    with pytest.raises(ConflictError):
        store.renew(job, lease_until_ms=NOW_MS + 1000)

    assert (JobStatus.ESCALATED, SPENT, "", 0) == (left.status, left.spent, left.partial_text, left.lease_until_ms)


def test_job_in_other_hands_is_not_escalated(store: JobStore, clock: SettableClock) -> None:
    """While a worker's lease holds only it can leave the job to the cloud; after that everybody can."""
    store.open(make_job())
    job = store.start("req_1", worker="box", lease_until_ms=NOW_MS + 1000)
    for stranger in (replace(job, worker="other"), replace(job, worker=None)):
        with pytest.raises(ConflictError):
            store.escalate(stranger)
    clock.advance(1001)
    store.escalate(replace(job, worker=None))

    assert JobStatus.ESCALATED is store.get("req_1").status


def test_finished_job_is_not_escalated(store: JobStore) -> None:
    """A finished job stays so."""
    job = make_job()
    store.open(job)
    finish(store, failed(job, FAILURE, NOW_MS))
    with pytest.raises(ConflictError):
        store.escalate(job)

    assert JobStatus.FAILED is store.get("req_1").status


def test_job_of_the_cloud_never_goes_back_to_the_box(store: JobStore, clock: SettableClock) -> None:
    """A dead worker's job is taken up on its own side only: the box's by the box, the cloud's by the cloud, once."""
    for name in ("box", "cloud"):
        store.open(make_job(name, flight=None))
    store.start("box", worker="w", lease_until_ms=NOW_MS + 1000)
    store.escalate(make_job("cloud", flight=None))
    store.start("cloud", worker="w", lease_until_ms=NOW_MS + 1000, in_cloud=True)
    clock.advance(1001)
    lease_until_ms = clock() + 1000
    for name, in_cloud in (("box", True), ("cloud", False)):
        with pytest.raises(ConflictError):
            store.start(name, worker="x", lease_until_ms=lease_until_ms, in_cloud=in_cloud)
    for name, in_cloud in (("box", False), ("cloud", True)):
        store.start(name, worker="x", lease_until_ms=lease_until_ms, in_cloud=in_cloud)
        with pytest.raises(ConflictError):
            store.start(name, worker="y", lease_until_ms=lease_until_ms, in_cloud=in_cloud)

    assert ["x", "x"] == [store.get(name).worker for name in ("box", "cloud")]


def test_escalating_again_passes_an_abandoned_job_on(store: JobStore, clock: SettableClock) -> None:
    """What a dead worker of the cloud left keeps what it has cost before, and can be left to the cloud once more."""
    job = make_job()
    store.open(job)
    store.escalate(replace(job, spent=SPENT))
    store.escalate(store.get("req_1"))
    running = store.start("req_1", worker="w", lease_until_ms=NOW_MS + 1000, in_cloud=True)
    clock.advance(1001)
    store.escalate(replace(running, worker=None))

    assert (JobStatus.ESCALATED, SPENT) == (store.get("req_1").status, store.get("req_1").spent)


def test_escalated_job_can_be_ended(home: Home) -> None:
    """A job that waits for the cloud can be cancelled; its worker then finds nothing to begin."""
    job = make_job()
    home.store.open(job)
    home.store.escalate(job)
    ended = finish(home.store, failed(home.store.get("req_1"), FAILURE, NOW_MS))
    with pytest.raises(ConflictError):
        home.store.start("req_1", worker="w", lease_until_ms=NOW_MS + 1000, in_cloud=True)

    assert (True, ["req_1"]) == (ended, list(home.usage()))


def test_attempts_of_workers_that_die(store: JobStore, clock: SettableClock) -> None:
    """Every worker that takes a job up is counted, until one that lives gives it back."""
    store.open(make_job())
    for worker in "abc":
        start(store, worker=worker)
        clock.advance(11)
    last = store.start("req_1", worker="d", lease_until_ms=clock() + 10)
    store.give_back(last)

    assert (4, ["req_1"]) == (last.attempts, names(store))
    assert replace(make_job(), attempts=3) == store.get("req_1")
    assert 4 == start(store, worker="e").attempts


def test_job_of_the_cloud(store: JobStore, clock: SettableClock) -> None:
    """A job that a worker of the cloud gives back stays the cloud's, is free at once, and is not the operator's."""
    store.open(make_job())
    store.escalate(make_job())
    job = store.start("req_1", worker="a", lease_until_ms=NOW_MS + 10, in_cloud=True)
    store.give_back(job)
    given = store.get("req_1")
    with pytest.raises(ConflictError):
        store.set_aside(make_job(), ASIDE)
    again = store.start("req_1", worker="b", lease_until_ms=clock() + 10, in_cloud=True)

    assert (JobStatus.RUNNING, 0, 0) == (given.status, given.attempts, given.lease_until_ms)
    assert 1 == again.attempts


def test_only_its_worker_gives_a_job_back(store: JobStore, clock: SettableClock) -> None:
    """A job that waits, is finished, or has another worker meanwhile, is not given back."""
    store.open(make_job())
    late = start(store, worker="late")
    clock.advance(11)
    store.start("req_1", worker="other", lease_until_ms=clock() + 10)
    with pytest.raises(ConflictError):
        store.give_back(late)
    with pytest.raises(ConflictError):
        store.give_back(make_job())

    assert "other" == store.get("req_1").worker


@pytest.mark.parametrize("stands", ["waiting", "at work", "abandoned"])
def test_set_aside(home: Home, clock: SettableClock, stands: str) -> None:
    """A job that is set aside has failed for its caller, leaves no record, keeps its text, and lives for two weeks."""
    store = home.store
    store.open(make_job())
    job = make_job() if stands == "waiting" else start(store)
    if stands != "waiting":
        store.renew(job, lease_until_ms=NOW_MS + 10, partial_text="A ")
    if stands == "abandoned":
        clock.advance(11)
        job = make_job()
    store.set_aside(job, ASIDE)
    now_ms = clock()
    clock.advance(14 * JOB_LIFE_MS - 1000)
    kept = store.get("req_1")

    assert (JobStatus.FAILED, ASIDE, now_ms) == (kept.status, kept.failure, kept.finished_at_ms)
    assert (None, 0) == (kept.worker, kept.attempts)
    assert ("" if stands == "waiting" else "A ") == kept.partial_text
    assert {} == home.usage()
    clock.advance(1000)
    with pytest.raises(NotFoundError):
        store.get("req_1")


def test_redriven_job(home: Home) -> None:
    """A job that was set aside can be begun again, and ends with one record; what failed for good cannot."""
    store = home.store
    store.open(make_job())
    store.set_aside(start(store), ASIDE)
    again = start(store, worker="next")
    finished = finish(store, succeeded(again, make_answer(), NOW_MS))

    assert (JobStatus.RUNNING, None, None, 1) == (again.status, again.failure, again.finished_at_ms, again.attempts)
    assert finished
    assert (JobStatus.SUCCEEDED, None) == (store.get("req_1").status, store.get("req_1").failure)
    assert ["req_1"] == list(home.usage())
    with pytest.raises(ConflictError):
        start(store, worker="late")


def test_set_aside_in_other_hands(store: JobStore) -> None:
    """A job that another worker holds, that is finished, or that is unknown, is not set aside."""
    store.open(make_job())
    store.open(make_job("done"))
    finish(store, failed(make_job("done"), FAILURE, NOW_MS))
    start(store, worker="other")
    for job in (make_job(), make_job(worker="mine"), make_job("done")):
        with pytest.raises(ConflictError):
            store.set_aside(job, ASIDE)

    assert [JobStatus.RUNNING, JobStatus.FAILED] == [store.get(name).status for name in ("req_1", "done")]
    with pytest.raises((ConflictError, NotFoundError)):
        store.set_aside(make_job("unknown"), ASIDE)


def test_set_aside_is_not_finished_by_others(home: Home) -> None:
    """A job that was set aside is ended by who takes it up again, and by nobody who only looks at it."""
    home.store.open(make_job())
    home.store.set_aside(make_job(), ASIDE)

    assert not finish(home.store, failed(make_job(), FAILURE, NOW_MS))
    assert {} == home.usage()
