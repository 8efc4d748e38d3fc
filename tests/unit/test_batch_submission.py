"""Batches from a request's own lines, and from a file, over fakes of what keeps and sends them."""

import json
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any

import pytest

from llm_router.access.callers import Caller
from llm_router.batching.batches import PromptMessage, line_job_id
from llm_router.batching.input_files import InputFile, InputOrder
from llm_router.errors import ConflictError, InvalidRequestError, NotFoundError, RequestTooLargeError, StoreError
from submit_batch import reading
from submit_batch.intake import Intake
from submit_batch.reading import InputReader
from submit_batch.states import describe
from submit_batch.submission import FILE_DUE_MS, LINES_DUE_MS, MAX_BODY_BYTES, Submission
from tests.fakes import NOW_MS, FakeBatchStore, FakeIdempotencyStore, FakeInputFiles, FakeJobStore


class Desk:
    """Everything that takes batches in, and what it was given."""

    def __init__(self) -> None:
        self.now_ms = NOW_MS
        self.jobs = FakeJobStore(self.clock)
        self.store = FakeBatchStore(self.jobs, self.clock)
        self.files = FakeInputFiles()
        self.sent: list[PromptMessage] = []
        self.orders: list[InputOrder] = []
        self.sends_left = 1000
        self.after_send: Callable[[], object] = lambda: None
        self.ids = iter([f"batch_{number:032x}" for number in range(1, 100)])
        intake = Intake(self.store, self.send)
        self.submission = Submission(
            store=self.store,
            intake=intake,
            keys=FakeIdempotencyStore(self.clock),
            files=self.files,
            order=self.orders.append,
            input_bucket="prompts",
            clock=self.clock,
            new_id=lambda: next(self.ids),
        )
        self.reader = InputReader(self.store, intake, self.files)

    def clock(self) -> int:
        """Return the time."""
        return self.now_ms

    def send(self, messages: Sequence[PromptMessage]) -> None:
        """Keep prompts, as long as the queue takes some."""
        if self.sends_left == 0:
            raise StoreError("queueing prompts failed")
        self.sends_left -= 1
        self.sent += messages
        self.after_send()

    def submit(self, body: bytes, **how: Any) -> Any:
        """Hand a body in."""
        return self.submission.submit(body, **{"as_lines": True, "caller": Caller(tenant="acme")} | how)

    def read(self, *, is_last_try: bool = False) -> None:
        """Have the newest file read."""
        self.reader.read(self.orders[-1], is_last_try=is_last_try)


def lines(count: int, bad: Callable[[int], bool] = lambda _: False) -> bytes:
    """Return a file of questions, some of which are none."""
    rows = [
        {"custom_id": f"q{number}"} | ({} if bad(number) else {"message": f"Question {number}?"})
        for number in range(1, count + 1)
    ]
    return "\n".join(json.dumps(row) for row in rows).encode()


@pytest.fixture
def desk() -> Desk:
    """A desk without batches."""
    return Desk()


def test_lines_are_sent(desk: Desk) -> None:
    """Every line becomes a message that says whose it is and where it belongs; the batch knows that those are all."""
    batch, bad = desk.submit(lines(2))

    assert () == tuple(bad)
    assert (2, 0, True) == (batch.lines, batch.invalid, batch.input_complete)
    assert [
        PromptMessage(
            message=f"Question {line}?", tenant="acme", batch_id=batch.batch_id, line=line, custom_id=f"q{line}"
        )
        for line in (1, 2)
    ] == desk.sent


def test_requests_are_lines(desk: Desk) -> None:
    """The requests of a JSON body are the lines of the batch, each checked by itself."""
    body = json.dumps({"requests": [{"message": "One?"}, {"message": ""}, {"message": "Three?"}]}).encode()
    batch, bad = desk.submit(body, as_lines=False)

    assert (3, 1) == (batch.lines, batch.invalid)
    assert [(2, "message")] == [(each.line, each.error.field) for each in bad]
    assert [1, 3] == [message.line for message in desk.sent]


def test_bad_lines_have_results(desk: Desk) -> None:
    """A line that cannot be asked is kept with its reason, and sent nowhere."""
    batch, _ = desk.submit(lines(3, bad=lambda number: number == 2))
    results = desk.store.results(batch.batch_id, first_line=1, count=3)

    assert [None, "is required", None] == [result.error and result.error.message for result in results]
    assert "q2" == results[1].custom_id


@pytest.mark.parametrize(
    ("body", "as_lines", "field", "says"),
    [
        (b"", True, "body", "must have 1 to 10,000 lines"),
        (b'{"requests": []}', False, "requests", "must have 1 to 10,000 lines"),
        (b"{}\n" * 10_001, True, "body", "must have 1 to 10,000 lines"),
        (b"{}\n{", True, "body", "must have a line that can be asked; the first one's `message` is required"),
        (b"{}", False, "requests", "is required, or `s3_uri`"),
        (b'{"requests": [], "s3_uri": "s3://a/b"}', False, "requests", "must not come with `s3_uri`"),
        (b'{"prompts": []}', False, "prompts", "is not a known field"),
    ],
)
def test_nothing_to_ask(desk: Desk, body: bytes, *, as_lines: bool, field: str, says: str) -> None:
    """A body without a line that can be asked is refused, and leaves no batch."""
    with pytest.raises(InvalidRequestError) as caught:
        desk.submit(body, as_lines=as_lines)

    assert (field, says) == (caught.value.field, str(caught.value))
    assert {} == desk.store.batches


def test_large_body(desk: Desk) -> None:
    """A body that is too large is refused before it is looked at."""
    with pytest.raises(RequestTooLargeError, match="must not have more than 4,500,000 bytes"):
        desk.submit(b"x" * (MAX_BODY_BYTES + 1))


def test_same_key(desk: Desk) -> None:
    """The same key and body is the same batch, and is not sent again; another body is a conflict."""
    first, _ = desk.submit(lines(2), key="k")
    again, _ = desk.submit(lines(2), key="k")
    with pytest.raises(ConflictError):
        desk.submit(lines(3), key="k")

    assert first == again
    assert 2 == len(desk.sent)


def test_broken_off_and_taken_up(desk: Desk) -> None:
    """A batch whose sending broke off counts what was sent; the same key sends all of it again under the same ids."""
    desk.sends_left = 1
    with pytest.raises(StoreError):
        desk.submit(lines(700), key="k")
    (half,) = desk.store.batches.values()
    desk.sends_left = 1000
    whole, _ = desk.submit(lines(700), key="k")

    assert (500, False) == (half.lines, half.input_complete)
    assert (half.batch_id, 700, True) == (whole.batch_id, whole.lines, whole.input_complete)
    ids = {line_job_id(message.batch_id or "", message.line or 0) for message in desk.sent}
    assert (1200, 700) == (len(desk.sent), len(ids))


def test_broken_off_for_good(desk: Desk) -> None:
    """A batch whose sending broke off is failed when nobody can be at it any more, and says how to go on."""
    desk.sends_left = 1
    with pytest.raises(StoreError):
        desk.submit(lines(700))
    (half,) = desk.store.batches.values()
    done = {"succeeded_requests": 500}

    assert "reading_input" == describe(half, done, NOW_MS + LINES_DUE_MS).status
    assert "failed" == describe(half, done, NOW_MS + LINES_DUE_MS + 1).status
    assert "in_progress" == describe(half, {}, NOW_MS + LINES_DUE_MS + 1).status


def test_cancelled_while_taken_in(desk: Desk) -> None:
    """A batch that is cancelled takes no more lines, also from its own key."""
    desk.sends_left = 1
    with pytest.raises(StoreError):
        desk.submit(lines(700), key="k")
    (half,) = desk.store.batches.values()
    desk.store.cancel(half.batch_id, NOW_MS)
    desk.sends_left = 1000
    batch, _ = desk.submit(lines(700), key="k")

    assert (500, 500) == (batch.lines, len(desk.sent))
    assert batch.input_complete  # so that its end is told


def test_cancelled_between_portions(desk: Desk) -> None:
    """A batch that is cancelled while its lines are sent has those that were sent by then, and waits for no others."""
    desk.after_send = lambda: desk.store.cancel(f"batch_{1:032x}", NOW_MS)
    batch, _ = desk.submit(lines(700))

    assert (500, True, NOW_MS) == (batch.lines, batch.input_complete, batch.cancelled_at_ms)
    assert 500 == len(desk.sent)


def test_cancelled_before_the_rest_came_again(desk: Desk) -> None:
    """A batch whose sending broke off, that was cancelled, and is cancelled again while it is sent anew, ends."""
    desk.sends_left = 2
    with pytest.raises(StoreError):
        desk.submit(lines(1700), key="k")
    desk.sends_left = 1000
    desk.after_send = lambda: desk.store.cancel(f"batch_{1:032x}", NOW_MS)
    batch, _ = desk.submit(lines(1700), key="k")

    assert (1000, True) == (batch.lines, batch.input_complete)


def test_conversations_stay_out(desk: Desk) -> None:
    """A line of a conversation is no request of a batch; the others go on."""
    batch, bad = desk.submit(b'{"message": "One?"}\n{"message": "Two?", "conversation_id": "c"}')

    assert (2, 1, True) == (batch.lines, batch.invalid, batch.input_complete)
    assert [(2, "conversation_id")] == [(each.line, each.error.field) for each in bad]


def file_body(uri: str) -> bytes:
    """Return a body that names a file."""
    return json.dumps({"s3_uri": uri}).encode()


def test_file_is_ordered(desk: Desk) -> None:
    """A file is looked at, and read by somebody else; the same key orders it once more while it is not read."""
    desk.files.put("prompts", "night.jsonl", lines(3))
    batches = [desk.submit(file_body("s3://prompts/night.jsonl"), as_lines=False, key="k")[0] for _ in range(2)]
    desk.read()
    desk.submit(file_body("s3://prompts/night.jsonl"), as_lines=False, key="k")

    assert batches[0] == batches[1]
    assert (NOW_MS + FILE_DUE_MS, False) == (batches[0].input_due_ms, batches[0].input_complete)
    assert [batches[0].batch_id] * 2 == [order.batch_id for order in desk.orders]


def test_file_of_a_key_changed(desk: Desk) -> None:
    """A key that made a batch of a file does not mix in another content of it."""
    for count in (3, 4):
        desk.files.put("prompts", "night.jsonl", lines(count))
        with nullcontext() if count == 3 else pytest.raises(ConflictError):
            desk.submit(file_body("s3://prompts/night.jsonl"), as_lines=False, key="k")

    assert 1 == len(desk.orders)


def test_cancelled_before_it_is_read(desk: Desk) -> None:
    """A file whose batch is cancelled before anybody reads it is not read, and its batch waits for nothing."""
    desk.files.put("prompts", "night.jsonl", lines(3))
    batch, _ = desk.submit(file_body("s3://prompts/night.jsonl"), as_lines=False)
    desk.store.cancel(batch.batch_id, NOW_MS)
    desk.read()

    assert (0, True) == (desk.store.get(batch.batch_id).lines, desk.store.get(batch.batch_id).input_complete)
    assert [] == desk.sent


@pytest.mark.parametrize(
    ("uri", "says"),
    [
        ("s3://others/night.jsonl", "must be in s3://prompts/"),
        ("night.jsonl", "must be in s3://prompts/"),
        ("s3://prompts/", "must be in s3://prompts/"),
        ("s3://prompts/gone.jsonl", "does not exist, or may not be read"),
        ("s3://prompts/empty.jsonl", "must name a file of 1 to 1,073,741,824 bytes"),
    ],
)
def test_files_that_are_refused(desk: Desk, uri: str, says: str) -> None:
    """A file that is not in the one bucket, not there, or empty is refused by name, and leaves no batch."""
    desk.files.put("prompts", "empty.jsonl", b"")
    with pytest.raises(InvalidRequestError) as caught:
        desk.submit(file_body(uri), as_lines=False)

    assert ("s3_uri", says) == (caught.value.field, str(caught.value))
    assert {} == desk.store.batches


def test_no_bucket(desk: Desk) -> None:
    """Where no bucket is set up, no file is taken."""
    desk.submission = desk.submission.__class__(
        **{name: getattr(desk.submission, name) for name in desk.submission.__struct_fields__} | {"input_bucket": ""}
    )
    with pytest.raises(InvalidRequestError, match="must not be given: no bucket is set up"):
        desk.submit(file_body("s3:///night.jsonl"), as_lines=False)


def test_file_is_read_in_pieces(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that is larger than a piece is taken in whole, and a name that comes twice is told across pieces."""
    monkeypatch.setattr(reading, "PIECE_BYTES", 1_000_010)
    text = lines(2000) + b"\n" + b'{"message": "' + b"x" * 1_000_000 + b'"}\n' + lines(1)
    desk.files.put("prompts", "night.jsonl", text)
    desk.submit(file_body("s3://prompts/night.jsonl"), as_lines=False)
    desk.read()
    (batch,) = desk.store.batches.values()
    twice = desk.store.results(batch.batch_id, first_line=2001, count=2)

    assert (2002, 2, True) == (batch.lines, batch.invalid, batch.input_complete)
    assert ["request_too_large", "invalid_request"] == [result.error.code for result in twice if result.error]
    assert list(range(1, 2001)) == [message.line for message in desk.sent]


def test_file_is_read_again(desk: Desk) -> None:
    """A reader that failed begins anew with the same ids; one that comes after that does nothing."""
    desk.files.put("prompts", "night.jsonl", lines(700))
    desk.submit(file_body("s3://prompts/night.jsonl"), as_lines=False)
    desk.sends_left = 1
    with pytest.raises(StoreError):
        desk.read()
    desk.sends_left = 1000
    desk.read()
    sent = len(desk.sent)
    desk.read()
    (batch,) = desk.store.batches.values()

    assert (700, True, None) == (batch.lines, batch.input_complete, batch.input_error)
    assert (1200, 1200) == (sent, len(desk.sent))


def test_file_cannot_be_read(desk: Desk) -> None:
    """A file that still cannot be read the last time is a failed batch, which keeps what was sent."""
    desk.files.put("prompts", "night.jsonl", lines(700))
    desk.submit(file_body("s3://prompts/night.jsonl"), as_lines=False)
    desk.sends_left = 1
    with pytest.raises(StoreError):
        desk.read(is_last_try=True)
    (batch,) = desk.store.batches.values()
    shown = describe(batch, {"succeeded_requests": 500}, NOW_MS)

    assert ("failed", "the file could not be read", 500) == (shown.status, shown.input_error, shown.lines)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda files: files.put("prompts", "night.jsonl", lines(4)), "the file was changed while it was read"),
        (lambda files: files.files.clear(), "the file does not exist, or may not be read"),
    ],
    ids=["changed", "gone"],
)
def test_file_that_changed(desk: Desk, change: Callable[[FakeInputFiles], None], says: str) -> None:
    """A file that is another one, or gone, by the time it is read fails its batch at once."""
    desk.files.put("prompts", "night.jsonl", lines(3))
    desk.submit(file_body("s3://prompts/night.jsonl"), as_lines=False)
    change(desk.files)
    desk.read()
    (batch,) = desk.store.batches.values()

    assert (says, False) == (batch.input_error, batch.input_complete)
    assert [] == desk.sent


def test_too_many_lines(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of too many lines fails its batch with that reason."""
    monkeypatch.setattr(reading, "MAX_LINES", 600)
    desk.files.put("prompts", "night.jsonl", lines(700))
    desk.submit(file_body("s3://prompts/night.jsonl"), as_lines=False)
    desk.read()
    (batch,) = desk.store.batches.values()

    assert "the file must not have more than 600 lines" == batch.input_error


def test_expired_order(desk: Desk) -> None:
    """A message of a batch that is not there any more is forgotten."""
    file = InputFile(bucket="prompts", key="night.jsonl", etag="e", size_bytes=1)
    desk.reader.read(InputOrder(batch_id=f"batch_{0:032x}", file=file), is_last_try=False)

    assert [] == desk.sent
    with pytest.raises(NotFoundError):
        desk.store.get(f"batch_{0:032x}")
