import json
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_router.batching.batch_bodies import LineStatus
from llm_router.batching.batches import Batch, LineError, line_job_id
from llm_router.errors import InvalidRequestError, NotFoundError
from llm_router.jobs import failed, succeeded, usage_record
from llm_router.models import Delivery, Failure, Job, JobStatus, Source
from submit_batch.results import Page, PageRequest, Results
from submit_batch.states import describe, owned
from tests.builders import make_answer, make_job
from tests.fakes import NOW_MS, FakeBatchStore, FakeJobStore

BATCH_ID = f"batch_{7:032x}"


def make_batch(**fields: object) -> Batch:
    """Return a batch of ten lines, two of them no requests, whose input is read."""
    usual = {"batch_id": BATCH_ID, "tenant": "acme", "created_at_ms": NOW_MS, "lines": 10, "invalid": 2}
    return Batch(**{**usual, "input_complete": True, **fields})  # type: ignore[arg-type] # a test's own fields


COUNTED: Mapping[str, int] = {
    "requests": 5,
    "succeeded_requests": 4,
    "failed_requests": 1,
    "exact_hits": 1,
    "semantic_hits": 1,
    "generated_requests": 2,
    "busy_ms": 6000,
    "input_tokens": 40,
    "output_tokens": 80,
    "actual_nano_usd": 600_000,
    "baseline_nano_usd": 6_000_000_000,
}


def test_counts() -> None:
    """What the records of its lines add up to is shown with what is left, and how long that takes at the same pace."""
    shown = describe(make_batch(refused=1), COUNTED, NOW_MS)

    assert (10, 7, 3) == (shown.lines, shown.accepted, shown.invalid)
    assert (2, 4, 1, 0, 2) == (shown.pending, shown.succeeded, shown.failed, shown.cancelled, shown.hits)
    assert (0.8, 4000) == (shown.progress, shown.estimated_ms)
    assert (40, 80) == (shown.input_tokens, shown.output_tokens)
    assert (0.0006, 600_000, 6.0, 6_000_000_000) == (
        shown.actual_cost,
        shown.actual_nano_usd,
        shown.baseline_cost,
        shown.baseline_nano_usd,
    )


@pytest.mark.parametrize(
    ("fields", "succeeded_count", "status"),
    [
        ({"input_complete": False}, 0, "reading_input"),
        ({"input_complete": False}, 8, "reading_input"),
        ({"input_complete": False, "input_due_ms": NOW_MS}, 8, "reading_input"),
        ({"input_complete": False, "input_due_ms": NOW_MS - 1}, 7, "in_progress"),
        ({"input_complete": False, "input_due_ms": NOW_MS - 1}, 8, "failed"),
        ({"input_complete": False, "input_error": "the file is gone"}, 8, "failed"),
        ({}, 0, "in_progress"),
        ({}, 8, "completed"),
        ({"cancelled_at_ms": NOW_MS}, 7, "cancelling"),
        ({"cancelled_at_ms": NOW_MS, "input_complete": False}, 8, "cancelling"),
        ({"cancelled_at_ms": NOW_MS}, 8, "cancelled"),
        ({"lines": 0, "invalid": 0}, 0, "completed"),
    ],
)
def test_status(fields: dict[str, object], succeeded_count: int, status: str) -> None:
    """A batch is over when all that was read has ended, and failed when that was not all there is."""
    assert status == describe(make_batch(**fields), {"succeeded_requests": succeeded_count}, NOW_MS).status


def test_estimate_is_unknown_at_first() -> None:
    """Before a line was answered by a model, nobody knows how long the rest takes; when there is no rest, all do."""
    assert describe(make_batch(), {"succeeded_requests": 2, "exact_hits": 2}, NOW_MS).estimated_ms is None
    assert 0 == describe(make_batch(lines=2), {}, NOW_MS).estimated_ms


@given(st.integers(0, 50), st.integers(0, 50), st.integers(0, 50), st.integers(0, 50))
def test_counts_never_contradict(lines: int, invalid: int, refused: int, ended: int) -> None:
    """Counters that run ahead of the batch, or behind it, never show less than nothing, or more than all."""
    batch = make_batch(lines=lines, invalid=min(invalid, lines), refused=refused)
    shown = describe(batch, {"succeeded_requests": ended}, NOW_MS)

    assert 0 <= shown.pending <= shown.accepted
    assert 0 <= shown.progress <= 1


def test_only_the_tenants_own() -> None:
    """A batch is there for its tenant only; for others, and under an impossible id, there is none."""
    store = FakeBatchStore(FakeJobStore(lambda: NOW_MS), lambda: NOW_MS)
    store.open(make_batch())

    assert make_batch() == owned(store, BATCH_ID, "acme")
    for batch_id, tenant in [(BATCH_ID, "other"), (f"batch_{8:032x}", "acme"), ("nonsense", "acme")]:
        with pytest.raises(NotFoundError, match="no such batch"):
            owned(store, batch_id, tenant)


class Shelf:
    """Results of a batch, and the store that they come from."""

    def __init__(self) -> None:
        self.jobs = FakeJobStore(lambda: NOW_MS)
        self.store = FakeBatchStore(self.jobs, lambda: NOW_MS)
        self.results = Results(self.store, lambda: NOW_MS)

    def job(self, line: int) -> Job:
        """Return the job of a line."""
        delivery = Delivery(batch_id=BATCH_ID, line=line, custom_id=f"q{line}")
        return make_job(job_id=line_job_id(BATCH_ID, line), source=Source.BATCH, delivery=delivery, flight=None)

    def answer(self, *lines: int, text: str = "A language.") -> None:
        """Finish the jobs of lines."""
        for line in lines:
            done = succeeded(self.job(line), make_answer(text), NOW_MS)
            self.jobs.record(done, usage_record(done))

    def page(self, batch: Batch, **query: str) -> tuple[list[dict[str, object]], str | None]:
        """Return the rows of a page, and where the next one is."""
        page: Page = self.results.page(batch, PageRequest.of(query))
        return [json.loads(row) for row in page.body.splitlines()], page.next_path


@pytest.fixture
def shelf() -> Shelf:
    """A shelf without results."""
    return Shelf()


def path(after: int, limit: int = 1000) -> str:
    """Return the path of a page."""
    return f"/api/v1/batches/{BATCH_ID}/results?after={after}&limit={limit}"


def test_results(shelf: Shelf) -> None:
    """A line is shown with its answer as chat shows it, or with its error, in the order of the lines."""
    shelf.answer(1)
    shelf.store.refuse_line(
        BATCH_ID, 2, "q2", LineError(code="invalid_request", message="is required", field="message")
    )
    lost = failed(shelf.job(3), Failure(code="model_timeout", message="too late"), NOW_MS)
    shelf.jobs.record(lost, usage_record(lost))
    rows, following = shelf.page(make_batch(lines=3, invalid=1))

    assert following is None
    assert [
        (1, "q1", "succeeded", None),
        (2, "q2", "invalid", {"code": "invalid_request", "message": "is required", "field": "message"}),
        (3, "q3", "failed", {"code": "model_timeout", "message": "too late"}),
    ] == [(row["line"], row["custom_id"], row["status"], row["error"]) for row in rows]
    assert [line_job_id(BATCH_ID, line) for line in (1, 2, 3)] == [row["request_id"] for row in rows]
    assert ["A language.", None, None] == [row["response"] and row["response"]["response"] for row in rows]  # type: ignore[index]


def test_pages_wait_for_what_is_not_finished(shelf: Shelf) -> None:
    """A page ends before the first line that is not finished, and the next one begins there; none is left out."""
    shelf.answer(1, 3)
    batch = make_batch(lines=3)
    first, following = shelf.page(batch)
    shelf.answer(2)
    rest, end = shelf.page(batch, after="1")

    assert ([1], path(1)) == ([row["line"] for row in first], following)
    assert ([2, 3], None) == ([row["line"] for row in rest], end)


def test_every_status_of_a_request_is_one_of_a_line() -> None:
    """A line can stand wherever a request can."""
    assert set(JobStatus) == set(LineStatus) - {"invalid"}


def test_unfinished_lines_can_be_seen(shelf: Shelf) -> None:
    """Who wants to see everything sees lines that wait, too."""
    shelf.answer(1, 3)
    shelf.jobs.open(shelf.job(2))
    rows, following = shelf.page(make_batch(lines=4), unfinished="true")

    assert ["succeeded", "queued", "succeeded", "queued"] == [row["status"] for row in rows]
    assert following is None


def test_limit(shelf: Shelf) -> None:
    """A page has as many lines as are wanted, and says where the next begins, with the same limit."""
    shelf.answer(*range(1, 121))
    batch = make_batch(lines=120)
    first, following = shelf.page(batch, limit="110")
    rest, end = shelf.page(batch, after="110", limit="110")

    assert ([*range(1, 111)], path(110, 110)) == ([row["line"] for row in first], following)
    assert ([*range(111, 121)], None) == ([row["line"] for row in rest], end)
    assert ([], None) == shelf.page(batch, after="999999")


def test_large_answers_make_small_pages(shelf: Shelf) -> None:
    """A page ends before it is too large to be returned."""
    shelf.answer(*range(1, 21), text="é" * 150_000)
    rows, following = shelf.page(make_batch(lines=20))

    assert (14, path(14)) == (len(rows), following)


def test_more_may_come(shelf: Shelf) -> None:
    """While lines are still being read, a page that has all of them is not the last."""
    shelf.answer(1)

    assert path(1) == shelf.page(make_batch(lines=1, input_complete=False))[1]
    assert shelf.page(make_batch(lines=1, input_complete=False, input_error="the file is gone"))[1] is None


@pytest.mark.parametrize(
    ("query", "field", "says"),
    [
        ({"after": "-1"}, "after", "must be a whole number from 0 to 999,999"),
        ({"after": "x"}, "after", "must be a whole number from 0 to 999,999"),
        ({"limit": "0"}, "limit", "must be a whole number from 1 to 1,000"),
        ({"limit": "1001"}, "limit", "must be a whole number from 1 to 1,000"),
        ({"limit": ""}, "limit", "must be a whole number from 1 to 1,000"),
        ({"unfinished": "yes"}, "unfinished", "must be true or false"),
        ({"before": "7"}, "before", "is not a known parameter"),
    ],
)
def test_wrong_query(query: dict[str, str], field: str, says: str) -> None:
    """A parameter that breaks its rule is refused by name."""
    with pytest.raises(InvalidRequestError) as caught:
        PageRequest.of(query)

    assert (field, says) == (caught.value.field, str(caught.value))
