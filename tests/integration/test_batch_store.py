"""One suite for batches in the job table and for their stand-in, so that the stand-in cannot drift."""

import pytest
from botocore.stub import Stubber
from msgspec.structs import replace

from llm_router.adapters.dynamodb_batches import DynamoBatchStore
from llm_router.adapters.dynamodb_jobs import DynamoJobStore
from llm_router.batching.batches import BATCH_TTL_SECONDS, Batch, LineError, LineResult, line_job_id, new_batch_id
from llm_router.errors import ConflictError, NotFoundError, StoreError
from llm_router.models import Delivery, Job, Source
from llm_router.ports import BatchStore, JobStore
from tests.builders import make_job
from tests.fakes import NOW_MS, FakeBatchStore, FakeJobStore, SettableClock
from tests.integration.conftest import Cloud

BATCH = Batch(batch_id=new_batch_id(), tenant="acme", created_at_ms=NOW_MS)
ERROR = LineError(code="malformed_body", message="must be JSON in UTF-8", field="body")


@pytest.fixture(params=["fake", "dynamodb"])
def stores(request: pytest.FixtureRequest, clock: SettableClock) -> tuple[BatchStore, JobStore]:
    """Run every case on both stores."""
    if request.param == "fake":
        fake = FakeJobStore(clock)
        return FakeBatchStore(fake, clock), fake
    cloud: Cloud = request.getfixturevalue("cloud")
    jobs = DynamoJobStore(cloud.dynamodb, job_table="JobTable", usage_table="UsageTable", clock=clock)
    return DynamoBatchStore(cloud.dynamodb, job_table="JobTable", clock=clock), jobs


@pytest.fixture
def batches(stores: tuple[BatchStore, JobStore]) -> BatchStore:
    """Return the store under test with a batch in it."""
    stores[0].open(BATCH)
    return stores[0]


def line_job(line: int, **fields: object) -> Job:
    """Return the request of a line."""
    delivery = Delivery(batch_id=BATCH.batch_id, line=line, custom_id=f"c{line}")
    return make_job(line_job_id(BATCH.batch_id, line), source=Source.BATCH, delivery=delivery, flight=None, **fields)


def test_open_once(batches: BatchStore) -> None:
    """A batch is stored once, and comes back as it was."""
    assert not batches.open(replace(BATCH, tenant="other"))
    assert BATCH == batches.get(BATCH.batch_id)


def test_unknown(batches: BatchStore, clock: SettableClock) -> None:
    """Nothing can be done to a batch that is unknown or has expired."""
    other = new_batch_id()
    with pytest.raises(NotFoundError):
        batches.note_input(other, lines=1, invalid=0, complete=True)
    with pytest.raises(NotFoundError):
        batches.cancel(other, NOW_MS)
    clock.advance(BATCH_TTL_SECONDS * 1000)
    with pytest.raises(NotFoundError):
        batches.get(BATCH.batch_id)


def test_input_grows(batches: BatchStore) -> None:
    """Totals only grow, and what is complete stays so, however often and late it is told."""
    batches.note_input(BATCH.batch_id, lines=20, invalid=1, complete=False)
    batches.note_input(BATCH.batch_id, lines=10, invalid=0, complete=False)
    halfway = batches.get(BATCH.batch_id)
    batches.note_input(BATCH.batch_id, lines=30, invalid=2, complete=True, error="the object was replaced")
    batches.note_input(BATCH.batch_id, lines=30, invalid=2, complete=True)
    whole = batches.note_input(BATCH.batch_id, lines=30, invalid=2, complete=False)

    assert replace(BATCH, lines=20, invalid=1) == halfway
    expected = replace(BATCH, lines=30, invalid=2, input_complete=True, input_error="the object was replaced")
    assert expected == whole == batches.get(BATCH.batch_id)


@pytest.mark.parametrize("what", ["cancel", "announced"])
def test_first_time_stays(batches: BatchStore, what: str) -> None:
    """A batch is cancelled, and its end announced, when that first was so."""
    note = getattr(batches, what)
    first = note(BATCH.batch_id, NOW_MS + 5)

    assert first == note(BATCH.batch_id, NOW_MS + 9) == batches.get(BATCH.batch_id)
    assert NOW_MS + 5 in {first.cancelled_at_ms, first.announced_at_ms}


def test_results_in_order(batches: BatchStore, stores: tuple[BatchStore, JobStore]) -> None:
    """Lines come in their order: requests, refusals, and nothing where nothing is known."""
    third, first = line_job(3), line_job(1)
    stores[1].open(third)
    stores[1].open(first)
    batches.refuse_line(BATCH.batch_id, 2, "second", ERROR)

    assert [
        LineResult(line=1, custom_id="c1", job=first),
        LineResult(line=2, custom_id="second", error=ERROR),
        LineResult(line=3, custom_id="c3", job=third),
        LineResult(line=4),
    ] == batches.results(BATCH.batch_id, first_line=1, count=4)


def test_many_results(batches: BatchStore, stores: tuple[BatchStore, JobStore]) -> None:
    """More lines are read at once than the table gives in one answer."""
    jobs = [line_job(line) for line in range(1, 251)]
    for job in jobs:
        stores[1].open(job)

    assert jobs == [result.job for result in batches.results(BATCH.batch_id, first_line=1, count=250)]


def test_refused_once(batches: BatchStore) -> None:
    """A line that was sent on and is then refused is counted once, however often it is refused."""
    assert batches.refuse_line(BATCH.batch_id, 1, None, ERROR, sent=True)
    assert not batches.refuse_line(BATCH.batch_id, 1, None, ERROR, sent=True)
    assert batches.refuse_line(BATCH.batch_id, 2, None, ERROR)

    assert 1 == batches.get(BATCH.batch_id).refused


def test_request_or_refusal(batches: BatchStore, stores: tuple[BatchStore, JobStore]) -> None:
    """A line is either a request or refused, whichever came first."""
    stores[1].open(line_job(1))
    batches.refuse_line(BATCH.batch_id, 2, None, ERROR, sent=True)

    assert not batches.refuse_line(BATCH.batch_id, 1, None, ERROR, sent=True)
    with pytest.raises(ConflictError):
        stores[1].open(line_job(2))
    assert 1 == batches.get(BATCH.batch_id).refused


def test_line_outlives_a_day(batches: BatchStore, stores: tuple[BatchStore, JobStore], clock: SettableClock) -> None:
    """The request of a line is there, and in its line, for as long as its batch."""
    job = line_job(1)
    stores[1].open(job)
    clock.advance(BATCH_TTL_SECONDS * 1000 - 1000)

    assert job == stores[1].get(job.job_id)
    assert [job.job_id] == [each.job_id for each in stores[1].line(limit=5, lane=job.lane)]
    assert job == batches.results(BATCH.batch_id, first_line=1, count=1)[0].job


def test_unread_keys_are_read(cloud: Cloud, clock: SettableClock) -> None:
    """What the table leaves unread is asked for again, and given up in the end."""
    keys = {"JobTable": {"Keys": [{"job_id": {"S": line_job_id(BATCH.batch_id, 1)}}], "ConsistentRead": True}}
    store = DynamoBatchStore(cloud.dynamodb, job_table="JobTable", clock=clock)
    with Stubber(cloud.dynamodb) as stub:
        for _ in range(5):
            answer = {"Responses": {"JobTable": []}, "UnprocessedKeys": keys}
            stub.add_response("batch_get_item", answer, {"RequestItems": keys})
        with pytest.raises(StoreError):
            store.results(BATCH.batch_id, first_line=1, count=1)

        stub.assert_no_pending_responses()
