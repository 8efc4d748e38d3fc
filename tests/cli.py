"""A router that answers the command `router` from a script, and a shell that runs the command."""

from collections.abc import Mapping
from typing import Any

import httpx

from infra.cli.__main__ import run
from infra.cli.session import Surroundings

KEY = "llmr_canary"
BATCH_ID = "batch_0f8fad5bd9cb469fa16570867728950e"
ANSWER = {
    "request_id": "req_1",
    "status": "succeeded",
    "response": "A tree.",
    "model_used": "ollama/tinyllama",
    "complexity": "simple",
    "cache_tier": None,
    "actual_cost": 0.000076,
    "baseline_cost": 0.00312,
    "truncated": False,
}
PENDING = {"request_id": "req_1", "status": "queued", "position": 3, "estimated_ms": 42_000}
STATE: dict[str, Any] = {
    "batch_id": BATCH_ID,
    "status": "completed",
    "created_at": "2026-11-23T12:00:00.000+00:00",
    "input_complete": True,
    "input_error": None,
    "lines": 3,
    "invalid": 0,
    "pending": 0,
    "succeeded": 3,
    "failed": 0,
    "cancelled": 0,
    "hits": 1,
    "estimated_ms": 0,
    "actual_nano_usd": 1_500_000,
    "baseline_nano_usd": 2_000_000_001,
}


def error(code: str, message: str, field: str | None = None, request_id: str = "gw-1") -> dict[str, Any]:
    """Return an error as the functions answer it."""
    detail = {"code": code, "message": message, "request_id": request_id}
    return {"error": detail | ({"field": field} if field else {})}


def result_line(line: int, status: str = "succeeded", text: str = "a", batch: str = "0") -> bytes:
    """Return what became of a line."""
    return b'{"line":%d,"request_id":"req_%s-%d","status":"%s","response":{"response":"%s"}}\n' % (
        line,
        batch.encode(),
        line,
        status.encode(),
        text.encode(),
    )


class ScriptedRouter(httpx.MockTransport):
    """Answers each path in turn with what it was told to; the last answer stays."""

    def __init__(self) -> None:
        super().__init__(self._answer)
        self.requests: list[httpx.Request] = []
        self._script: dict[str, list[httpx.Response | Exception]] = {}

    def on(self, route: str, *answers: httpx.Response | Exception) -> "ScriptedRouter":
        """Answer a route, a method and a path, with these, one after the other."""
        self._script[route] = list(answers)
        return self

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        answers = self._script[f"{request.method} {request.url.path}"]
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, Exception):
            raise answer
        # A response has one reader; the one that stays has many.
        return httpx.Response(answer.status_code, headers=answer.headers, content=answer.content)


class ResultsRouter(ScriptedRouter):
    """Has a batch of which so many lines are finished, page by page, as `submit_batch` answers."""

    def __init__(self, lines: list[bytes], *, page_lines: int = 2, finished: int | None = None) -> None:
        super().__init__()
        self.lines = lines
        self.page_lines = page_lines
        self.finished = len(lines) if finished is None else finished
        self.state = STATE

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        if not request.url.path.endswith("/results"):
            return httpx.Response(200, json=self.state | {"lines": len(self.lines)})
        query = request.url.params
        after, limit = int(query["after"]), int(query.get("limit", self.page_lines))
        last = min(after + limit, len(self.lines) if "unfinished" in query else self.finished)
        headers = {} if last >= len(self.lines) else {"Link": f'<{request.url.path}?after={last}>; rel="next"'}
        return httpx.Response(200, content=b"".join(self.lines[after:last]), headers=headers)


class Shell:
    """Runs the command, and notes how long it slept instead of sleeping."""

    def __init__(self, router: httpx.BaseTransport, environ: Mapping[str, str] | None = None) -> None:
        self._router = router
        self._environ = {"ROUTER_KEY": KEY} if environ is None else environ
        self.slept: list[float] = []

    def sleep(self, seconds: float) -> None:
        """Note a pause."""
        self.slept.append(seconds)

    def __call__(self, *words: str) -> int:
        """Return the exit code of the command with some arguments."""
        return run(words, Surroundings(environ=self._environ, sleep=self.sleep, transport=self._router))
