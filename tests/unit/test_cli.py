import errno
import io
import sys
from pathlib import Path

import httpx
import pytest

from tests.cli import ANSWER, KEY, PENDING, ScriptedRouter, Shell, error

CHAT = "POST /api/v1/chat"
ASKED = ("chat", "What is a tree?")


def ok(body: object, status: int = 200, **headers: str) -> httpx.Response:
    """Return an answer."""
    return httpx.Response(status, json=body, headers={name.replace("_", "-"): text for name, text in headers.items()})


def test_answer(capsys: pytest.CaptureFixture[str]) -> None:
    """The answer alone goes to the standard output, its origin and cost to the standard error."""
    router = ScriptedRouter().on(CHAT, ok(ANSWER))
    code = Shell(router)(*ASKED, "--force-model", "m", "--max-tokens", "5", "--no-cache", "--system", "Be brief.")
    out, err = capsys.readouterr()
    (request,) = router.requests

    assert (0, "A tree.\n") == (code, out)
    assert "ollama/tinyllama, simple, generated, 0.000076000 USD, baseline 0.003120000\n" == err
    assert f"Bearer {KEY}" == request.headers["authorization"]
    assert {
        "message": "What is a tree?",
        "force_model": "m",
        "system_prompt": "Be brief.",
        "max_tokens": 5,
        "skip_cache": True,
    } == httpx.Response(200, content=request.content).json()


def test_whole_answer(capsys: pytest.CaptureFixture[str]) -> None:
    """With --json the answer is what the API said, byte by byte."""
    answer = ok(ANSWER)

    assert 0 == Shell(ScriptedRouter().on(CHAT, answer))(*ASKED, "--json")
    assert f"{answer.text}\n" == capsys.readouterr().out


def test_piped_question(monkeypatch: pytest.MonkeyPatch) -> None:
    """A question that is piped in is asked without its last line feed."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"Why?\nSay.\n")))
    router = ScriptedRouter().on(CHAT, ok(ANSWER))

    assert 0 == Shell(router)("chat")
    assert b'"Why?\\nSay."' in router.requests[0].content


def test_question_that_is_no_text(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """What is not UTF-8 is wrong use, piped in or as an argument."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"\xff")))
    router = ScriptedRouter().on(CHAT, ok(ANSWER))

    assert [2, 2] == [Shell(router)("chat"), Shell(router)("chat", "\udcff")]
    assert "not UTF-8" in capsys.readouterr().err


def test_nothing_to_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a question at a terminal, nothing is waited for."""

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stdin", Terminal())

    assert [2, 2] == [Shell(ScriptedRouter())("chat"), Shell(ScriptedRouter())("batch", "submit", "-")]


def test_full_disk(capsys: pytest.CaptureFixture[str]) -> None:
    """Trouble of this machine is exit code 1, and said in its words."""
    full = OSError(errno.ENOSPC, "No space left on device")

    assert 1 == Shell(ScriptedRouter().on(CHAT, full))(*ASKED)
    assert "No space left" in capsys.readouterr().err


def test_slow_answer(capsys: pytest.CaptureFixture[str]) -> None:
    """A 202 is waited for: as long as it says, and then as long as the estimate, within a minute."""
    router = ScriptedRouter().on(CHAT, ok(PENDING, 202, Retry_After="7"))
    look = "GET /api/v1/requests/req_1"
    running = PENDING | {"status": "running", "estimated_ms": 90_000}
    router.on(look, ok(running), ok({"request_id": "req_1", "status": "running"}), ok(ANSWER))
    shell = Shell(router)

    assert 0 == shell(*ASKED)
    assert [7.0, 60.0, 2.0] == shell.slept
    assert "queued, 3 before it, about 42 s left\n" in capsys.readouterr().err


@pytest.mark.parametrize(
    "ended",
    [
        PENDING | error("worker_lost", "every worker was lost", request_id="req_1") | {"status": "failed"},
        {"request_id": "req_1", "status": "cancelled"},
    ],
)
def test_no_answer(ended: dict[str, object], capsys: pytest.CaptureFixture[str]) -> None:
    """A request that ends without an answer is exit code 1."""
    router = ScriptedRouter().on(CHAT, ok(PENDING, 202)).on("GET /api/v1/requests/req_1", ok(ended))

    assert 1 == Shell(router)(*ASKED)
    assert "req_1 has no answer" in capsys.readouterr().err


def test_failed_request_is_not_sent_again() -> None:
    """A 503 about a request that was taken in and failed is exit code 1, at once."""
    failed = ok(error("model_unavailable", "the box is down", request_id="req_1"), 503, Retry_After="2")
    shell = Shell(ScriptedRouter().on(CHAT, failed))

    assert (1, []) == (shell(*ASKED), shell.slept)


@pytest.mark.parametrize(
    ("response", "code", "words"),
    [
        (ok(error("invalid_request", "must be 1 or more", "max_tokens"), 422), 3, "max_tokens: must be 1 or more (422"),
        (ok(error("forbidden", "no"), 403), 3, "no (403 forbidden)"),
        (ok({"message": "Forbidden"}, 403), 3, "Forbidden (403): the key is wrong, expired or revoked"),
        (httpx.Response(301, headers={"Location": "https://elsewhere"}), 3, "Moved Permanently (301)"),
        (ok({"message": "Internal Server Error"}, 500), 4, "Internal Server Error (500)"),
        (httpx.Response(502, text="<html>"), 4, "Bad Gateway (502)"),
        (httpx.Response(200, text="<html>"), 4, "none of a router"),
        (ok({"status": 1}), 4, "none of a router"),
    ],
)
def test_bad_answers(response: httpx.Response, code: int, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    """What the router refuses is exit code 3, its failure 4; its words are shown, with the field."""
    shell = Shell(ScriptedRouter().on(CHAT, response))

    assert (code, []) == (shell(*ASKED), shell.slept)
    assert f"router: {words}" in capsys.readouterr().err.replace("the answer is ", "")


@pytest.mark.parametrize("status", [429, 503])
def test_told_to_wait(status: int) -> None:
    """A 429 or 503 is asked again, when it says, otherwise with growing pauses; with the same idempotency key."""
    busy = [httpx.Response(status, headers={"Retry-After": "9"}), httpx.Response(status), httpx.Response(status)]
    router = ScriptedRouter().on(CHAT, *busy, ok(ANSWER))
    shell = Shell(router)

    assert (0, [9.0, 1.0, 2.0]) == (shell(*ASKED), shell.slept)
    assert 1 == len({request.headers["idempotency-key"] for request in router.requests})


@pytest.mark.parametrize(("status", "code"), [(429, 3), (503, 4)])
def test_patience_ends(status: int, code: int) -> None:
    """After five attempts, or when it is to be asked much later, a busy router is given up."""
    shell, later = (
        Shell(ScriptedRouter().on(CHAT, httpx.Response(status, headers={"Retry-After": pause})))
        for pause in ("3", "86400")
    )

    assert (code, [3.0] * 4) == (shell(*ASKED), shell.slept)
    assert (code, []) == (later(*ASKED), later.slept)


@pytest.mark.parametrize("trouble", [httpx.ConnectError("refused"), httpx.ReadTimeout("slow"), httpx.ReadError("cut")])
def test_no_connection(trouble: httpx.TransportError, capsys: pytest.CaptureFixture[str]) -> None:
    """A router that cannot be reached is exit code 4, after growing pauses; one that comes back is none."""
    shell, comes_back = Shell(ScriptedRouter().on(CHAT, trouble)), ScriptedRouter().on(CHAT, trouble, ok(ANSWER))

    assert (4, [0.5, 1.0, 2.0, 4.0]) == (shell(*ASKED), shell.slept)
    assert 0 == Shell(comes_back)(*ASKED)
    assert "http://localhost:8000 does not answer" in capsys.readouterr().err


def test_interruption(capsys: pytest.CaptureFixture[str]) -> None:
    """Ctrl-C is exit code 130."""
    shell = Shell(ScriptedRouter().on(CHAT, httpx.Response(503)))

    def interrupt(_: float) -> None:
        raise KeyboardInterrupt

    shell.sleep = interrupt  # type: ignore[method-assign]  # the shell's own clock is what is interrupted

    assert 130 == shell(*ASKED)
    assert "interrupted" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("nonsense",),
        ("chat", "a", "b"),
        ("--url", "localhost:8000", "chat", "a"),
        ("--url", "http://", "chat", "a"),
        ("--url", "http://host:port", "chat", "a"),
        ("--key", KEY, "chat", "a"),
        ("--key-file", "nowhere", "chat", "a"),
        ("batch", "submit", "nowhere"),
        ("batch", "submit", "x", "--output", "y"),
        ("report", "--format", "pdf"),
        ("keys", "create"),
        ("keys", "create", "--tenant", "acme", "--label", "team"),
        ("keys", "create", "--tenant", "acme", "--monthly-budget-usd", "ten"),
        ("keys", "create", "--tenant", "acme", "--monthly-budget-usd", "NaN"),
        ("keys", "create", "--tenant", "acme", "--monthly-budget-usd", "0.0000000001"),
    ],
)
def test_wrong_use(words: tuple[str, ...]) -> None:
    """What cannot be carried out is exit code 2, and nothing is sent."""
    router = ScriptedRouter()

    assert (2, []) == (Shell(router)(*words), router.requests)


@pytest.mark.parametrize("key", ["", "\n", "two words", "two\nlines", "schlüssel"])
def test_bad_keys(key: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without a key, or with one that cannot be, nothing is sent, and the key is not shown."""
    router, file = ScriptedRouter(), tmp_path / "key"
    file.write_text(key, encoding="latin-1")
    codes = Shell(router, {"ROUTER_KEY": key})(*ASKED), Shell(router)("--key-file", str(file), *ASKED)

    assert ((2, 2), []) == (codes, router.requests)
    assert key.strip() not in capsys.readouterr().err or not key.strip()


def test_key_of_a_file(tmp_path: Path) -> None:
    """A key is read from a file without its line feed, and comes before the variable."""
    (tmp_path / "key").write_text("llmr_other\n")
    router = ScriptedRouter().on(CHAT, ok(ANSWER))
    Shell(router)("--key-file", str(tmp_path / "key"), *ASKED)

    assert "Bearer llmr_other" == router.requests[0].headers["authorization"]


def test_address_with_a_path() -> None:
    """The address may have a path, the stage of an API."""
    router = ScriptedRouter().on("POST /prod/api/v1/chat", ok(ANSWER))

    assert 0 == Shell(router)("--url", "https://router.example/prod", *ASKED)


def test_key_is_never_shown(capsys: pytest.CaptureFixture[str]) -> None:
    """No trouble brings the key to light."""
    for trouble in (httpx.ConnectError("x"), httpx.Response(401, json={"message": "Unauthorized"}), ok({})):
        Shell(ScriptedRouter().on(CHAT, trouble))(*ASKED)
    shown = "".join(capsys.readouterr())

    assert shown
    assert KEY not in shown


def test_help(capsys: pytest.CaptureFixture[str]) -> None:
    """Help needs neither key nor router, and has the exit codes."""
    assert [0, 0] == [Shell(ScriptedRouter(), {})("--help"), Shell(ScriptedRouter(), {})("batch", "submit", "--help")]
    assert "5 not finished yet" in capsys.readouterr().out
