import hashlib
import io
import sys
import tempfile
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.cli import BATCH_ID, STATE, ResultsRouter, ScriptedRouter, Shell, result_line

SUBMIT = "POST /api/v1/batches"
LOOK = f"GET /api/v1/batches/{BATCH_ID}"
RESULTS = f"{LOOK}/results"
CANCEL = f"DELETE /api/v1/batches/{BATCH_ID}"
LINES = [result_line(line, text="x" * line) for line in range(1, 8)]
WHOLE = b"".join(LINES)


def state(**changes: Any) -> httpx.Response:
    """Return a batch as the router shows it."""
    return httpx.Response(200, json=STATE | changes)


def taken(*errors: Any) -> httpx.Response:
    """Return a batch that was taken in."""
    return httpx.Response(202, json=STATE | {"status": "in_progress", "pending": 3, "errors": errors})


@pytest.fixture
def lines(tmp_path: Path) -> Path:
    """A file of prompts."""
    path = tmp_path / "prompts.jsonl"
    path.write_bytes(b'{"message": "a"}\n')
    return path


def test_submit(lines: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The id alone goes to the standard output; lines that are no requests are named beside it."""
    bad = {
        "line": 2,
        "custom_id": None,
        "error": {"code": "invalid_request", "message": "is too long", "field": "stop"},
    }
    router = ScriptedRouter().on(SUBMIT, taken(bad))
    code = Shell(router)("batch", "submit", str(lines))
    out, err = capsys.readouterr()
    headers = router.requests[0].headers

    assert (0, f"{BATCH_ID}\n") == (code, out)
    assert "line 2: stop: is too long (invalid_request)\n" in err
    assert "application/jsonl" == headers["content-type"]
    assert f"sha256-{hashlib.sha256(lines.read_bytes()).hexdigest()}" == headers["idempotency-key"]


def test_submit_again(lines: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same lines have the same idempotency key, from a file or piped in, unless another batch is wanted."""
    router = ScriptedRouter().on(SUBMIT, httpx.ReadError("cut"), taken())
    shell = Shell(router)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(lines.read_bytes())))
    for words in ([str(lines)], ["-"], ["--new", str(lines)], ["--new", str(lines)]):
        assert 0 == shell("batch", "submit", *words)
    keys = [request.headers["idempotency-key"] for request in router.requests]

    assert [1, 3] == [len(set(keys[:3])), len(set(keys))]


def test_submit_from_s3() -> None:
    """A file in S3 is named as JSON, and a new batch each time: what it holds may have changed."""
    router = ScriptedRouter().on(SUBMIT, taken())
    for _ in range(2):
        assert 0 == Shell(router)("batch", "submit", "s3://prompts/night.jsonl")
    first, second = router.requests

    assert ("application/json", b'{"s3_uri":"s3://prompts/night.jsonl"}') == (
        first.headers["content-type"],
        first.content,
    )
    assert first.headers["idempotency-key"] != second.headers["idempotency-key"]


def test_too_large_a_file(lines: Path) -> None:
    """What the router cannot take is not sent."""
    lines.write_bytes(b"x" * 4_500_001)
    router = ScriptedRouter()

    assert (2, []) == (Shell(router)("batch", "submit", str(lines)), router.requests)


def test_submit_and_wait(lines: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With --wait the results are all that goes to the standard output, or to a file."""
    going = state(status="in_progress", pending=2, succeeded=1)
    router = ScriptedRouter().on(SUBMIT, taken()).on(LOOK, going, going, state())
    later = {"Link": '</next>; rel="next"'}
    pages = (
        httpx.Response(200, content=LINES[0], headers=later),
        httpx.Response(200, headers=later),
        httpx.Response(200, content=LINES[1] + LINES[2]),
    )
    shell = Shell(router.on(RESULTS, *pages))
    code = shell("batch", "submit", str(lines), "--wait")
    out, err = capsys.readouterr()
    to_file = Shell(router.on(RESULTS, *pages))("batch", "submit", str(lines), "--wait", "--output", f"{tmp_path}/out")

    assert (0, b"".join(LINES[:3]).decode(), 0) == (code, out, to_file)
    assert BATCH_ID in err
    assert "in_progress: 1 answered, 2 pending\n" in err
    assert b"".join(LINES[:3]) == (tmp_path / "out").read_bytes()


@pytest.mark.parametrize(
    ("shown", "code"),
    [
        ({}, 0),
        ({"status": "in_progress", "pending": 1, "succeeded": 2}, 5),
        ({"status": "reading_input"}, 5),
        ({"status": "cancelling"}, 5),
        ({"succeeded": 2, "failed": 1}, 1),
        ({"succeeded": 2, "invalid": 1}, 1),
        ({"status": "cancelled", "succeeded": 2, "cancelled": 1}, 1),
        ({"status": "failed", "input_error": "the file changed"}, 1),
    ],
)
def test_status(shown: dict[str, Any], code: int, capsys: pytest.CaptureFixture[str]) -> None:
    """The exit code tells a finished batch from one that is not, and one with every answer from one without."""
    router = ScriptedRouter().on(LOOK, state(**shown))

    assert code == Shell(router)("batch", "status", BATCH_ID)
    assert (STATE | shown)["status"] in capsys.readouterr().out


def test_watch(capsys: pytest.CaptureFixture[str]) -> None:
    """A batch is looked at more often the nearer its end is, and what has not changed is said once."""
    going: dict[str, Any] = {"status": "in_progress", "pending": 2, "succeeded": 1}
    states = [going | {"estimated_ms": left} for left in (10_000_000, 300_000, 1)] + [
        going | {"estimated_ms": None}
    ] * 2
    router = ScriptedRouter().on(LOOK, *(state(**each) for each in states), state())
    shell = Shell(router)

    assert (0, [30.0, 6.0, 1.0, 2.0, 2.0]) == (shell("batch", "status", BATCH_ID, "--watch"), shell.slept)
    assert 1 == capsys.readouterr().err.count("in_progress: 1 answered, 2 pending\n")


def test_status_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    """With --json a batch is shown as the API said it."""
    shown = state()

    assert 0 == Shell(ScriptedRouter().on(LOOK, shown))("batch", "status", BATCH_ID, "--json")
    assert f"{shown.text}\n" == capsys.readouterr().out


def test_input_that_broke_off(lines: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A batch that is handed over and can never be read to its end says so."""
    broken = STATE | {"status": "failed", "input_error": "the file changed", "errors": []}
    Shell(ScriptedRouter().on(SUBMIT, httpx.Response(202, json=broken)))("batch", "submit", str(lines))

    assert "failed: 3 answered, the file changed\n" in capsys.readouterr().err


def test_cancel(capsys: pytest.CaptureFixture[str]) -> None:
    """A batch that is told to end shows where it stands."""
    assert 0 == Shell(ScriptedRouter().on(CANCEL, state(status="cancelling")))("batch", "cancel", BATCH_ID)
    assert "cancelling" in capsys.readouterr().out


def test_unknown_batch(tmp_path: Path) -> None:
    """An unknown batch is refused, and makes no file."""
    missing = httpx.Response(404, json={"error": {"code": "not_found", "message": "no such batch", "request_id": "g"}})
    router = ScriptedRouter().on(LOOK, missing)

    assert 3 == Shell(router)("batch", "results", BATCH_ID, "--output", str(tmp_path / "out"))
    assert [] == list(tmp_path.iterdir())


def test_results(capsys: pytest.CaptureFixture[str]) -> None:
    """All pages go to the standard output one after the other."""
    assert 0 == Shell(ResultsRouter(LINES))("batch", "results", BATCH_ID)
    assert WHOLE.decode() == capsys.readouterr().out


@pytest.mark.parametrize("status", ["failed", "cancelled"])
def test_lines_without_answers(status: str, tmp_path: Path) -> None:
    """A line that failed is exit code 1, also when it was fetched by the run before."""
    router = ResultsRouter([*LINES[:3], result_line(4, status), result_line(5)])
    again = ("batch", "results", BATCH_ID, "--output", str(tmp_path / "out"))

    assert [1, 1] == [Shell(router)(*again), Shell(router)(*again)]


def test_unfinished_results(tmp_path: Path) -> None:
    """Without --wait, what is finished is written, and the exit code says that it is not all; the rest comes later."""
    out = tmp_path / "out"
    router = ResultsRouter(LINES, finished=3)
    router.state = STATE | {"status": "in_progress", "pending": 4}
    first = Shell(router)("batch", "results", BATCH_ID, "--output", str(out)), out.read_bytes()
    router.finished = 7
    second = Shell(router)("batch", "results", BATCH_ID, "--output", str(out)), out.read_bytes()

    assert ((5, b"".join(LINES[:3])), (0, WHOLE)) == (first, second)


def test_line_that_is_answered_anew(tmp_path: Path) -> None:
    """A line that was there and is not finished any more, because an operator redrives it, is no reason to refuse."""
    out = tmp_path / "out"
    out.write_bytes(LINES[0] + LINES[1] + b"{")
    router = ResultsRouter(LINES, finished=1)
    router.state = STATE | {"status": "in_progress", "pending": 6}
    code = Shell(router)("batch", "results", BATCH_ID, "--output", str(out))

    assert (5, LINES[0] + LINES[1]) == (code, out.read_bytes())


def test_batch_whose_input_was_never_read(tmp_path: Path) -> None:
    """A cancelled batch, of which more lines are announced than there will be, is not waited for, and no success."""
    router = ResultsRouter(LINES, finished=3)
    router.state = STATE | {"status": "cancelled"}
    code = Shell(router)("batch", "results", BATCH_ID, "--wait", "--output", str(tmp_path / "out"))

    assert (1, b"".join(LINES[:3])) == (code, (tmp_path / "out").read_bytes())


def test_lines_that_end_while_they_are_asked_for(tmp_path: Path) -> None:
    """A batch that ends between a page and the look at its state is fetched to its end without a pause."""

    class Ending(ResultsRouter):
        def _answer(self, request: httpx.Request) -> httpx.Response:
            response = super()._answer(request)
            self.finished = self.finished if response.content else 7
            return response

    shell = Shell(Ending(LINES, finished=3))
    code = shell("batch", "results", BATCH_ID, "--output", str(tmp_path / "out"))

    assert (0, WHOLE, []) == (code, (tmp_path / "out").read_bytes(), shell.slept)


def test_file_that_broke_off(tmp_path: Path) -> None:
    """Results of a batch whose input could not be read to its end are written, and are no success."""
    router = ResultsRouter(LINES)
    router.state = STATE | {"status": "failed", "input_error": "the file changed"}

    assert 1 == Shell(router)("batch", "results", BATCH_ID, "--output", str(tmp_path / "out"))
    assert WHOLE == (tmp_path / "out").read_bytes()


@given(cut=st.integers(0, len(WHOLE)), page_lines=st.integers(1, 8))
def test_going_on(cut: int, page_lines: int) -> None:
    """Wherever a download was cut, the same command makes the file what an uninterrupted one would have made of it."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out"
        out.write_bytes(WHOLE[:cut])
        code = Shell(ResultsRouter(LINES, page_lines=page_lines))("batch", "results", BATCH_ID, "--output", str(out))

        assert (0, WHOLE) == (code, out.read_bytes())


@given(pause=st.integers(0, 8), page_lines=st.integers(1, 4))
def test_interrupted_download(pause: int, page_lines: int) -> None:
    """A download that is interrupted between any two requests has whole lines, and the next one completes them."""
    with tempfile.TemporaryDirectory() as folder:
        words = ("batch", "results", BATCH_ID, "--output", f"{folder}/out")
        codes = [Shell(Interrupted(pause, page_lines))(*words), Shell(ResultsRouter(LINES))(*words)]

        requests = 2 + -(-len(LINES) // page_lines)  # one look before, and one after
        assert [130 if requests > pause + 1 else 0, 0] == codes
        assert WHOLE == Path(f"{folder}/out").read_bytes()


class Interrupted(ResultsRouter):
    """Answers so many requests before somebody presses Ctrl-C."""

    def __init__(self, answers: int, page_lines: int) -> None:
        super().__init__(LINES, page_lines=page_lines)
        self._answers = answers

    def _answer(self, request: httpx.Request) -> httpx.Response:
        if len(self.requests) > self._answers:
            raise KeyboardInterrupt
        return super()._answer(request)


FOREIGN = [result_line(line, batch="1") for line in (1, 2, 3)]


@pytest.mark.parametrize(
    "content",
    [
        b"".join(FOREIGN),
        b"".join(FOREIGN) + LINES[3][:5],
        FOREIGN[0][:30],
        LINES[0][:-1] + b" ",
        LINES[1],
        LINES[0] + LINES[2],
        b'{"message": "What is a tree?"}\n',
        b"notes\n",
        b"\n",
        b"notes",
        b"x" * 8_000_001,
        LINES[0] + b"\0" * 100 + b"\n",
        b"".join(LINES) + result_line(8),
    ],
    ids=range(13),
)
def test_other_files(content: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file that holds anything else, another batch's results too, is left as it is."""
    out = tmp_path / "out"
    out.write_bytes(content)

    assert 2 == Shell(ResultsRouter(LINES))("batch", "results", BATCH_ID, "--output", str(out))
    assert content == out.read_bytes()
    assert "is not a file of results" in capsys.readouterr().err


@pytest.mark.parametrize("path", ["/dev/null", "/nowhere/results.jsonl"])
def test_no_ordinary_file(path: str) -> None:
    """A device is no file to go on with, and a folder that is not there can hold none."""
    assert 2 == Shell(ResultsRouter(LINES))("batch", "results", BATCH_ID, "--output", path)


def test_two_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file that another command writes is left to it."""
    words = ("batch", "results", BATCH_ID, "--output", str(tmp_path / "out"))
    codes: list[int] = []

    class Nested(ResultsRouter):
        def _answer(self, request: httpx.Request) -> httpx.Response:
            if request.url.path.endswith("/results") and not codes:
                codes.append(Shell(ResultsRouter(LINES))(*words))
            return super()._answer(request)

    codes.append(Shell(Nested(LINES))(*words))

    assert ([2, 0], WHOLE) == (codes, (tmp_path / "out").read_bytes())
    assert "another command writes" in capsys.readouterr().err


@pytest.mark.parametrize("page", [LINES[1], LINES[0] + LINES[0], LINES[0][:-1], b"<html>\n"])
def test_wrong_pages(page: bytes, tmp_path: Path) -> None:
    """A page that is not the next one is exit code 4, and nothing of it is written."""
    router = ScriptedRouter().on(LOOK, state()).on(RESULTS, httpx.Response(200, content=page))

    assert 4 == Shell(router)("batch", "results", BATCH_ID, "--output", str(tmp_path / "out"))
    assert b"" == (tmp_path / "out").read_bytes()
