"""Lambda's Runtime API for one execution environment, on a loopback port of its own.

One listener per environment: a killed worker's pending request can then never swallow the next worker's event.
"""

import json
import queue
import sys
import threading
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final

# What Lambda's own message names: "exceeded maximum allowed payload size (6291556 bytes)".
MAX_RESPONSE_BYTES: Final = 6_291_556

_RUNTIME: Final = "/2018-06-01/runtime"


@dataclass(frozen=True)
class Invocation:
    """One event on its way to the worker; the deadline is in milliseconds since 1970."""

    request_id: str
    payload: bytes
    deadline_ms: int
    function_arn: str


@dataclass(frozen=True)
class Ready:
    """The worker asks for its next event."""


@dataclass(frozen=True)
class Answer:
    """What the handler returned, as JSON."""

    payload: bytes


@dataclass(frozen=True)
class Failure:
    """An error document, `{"errorType", "errorMessage", ...}`, as JSON."""

    payload: bytes


@dataclass(frozen=True)
class Exited:
    """The worker's process ended; `returncode` is negative for a signal."""

    returncode: int


Signal = Ready | Answer | Failure | Exited


def error_document(error_type: str, message: str) -> bytes:
    """Write an error as Lambda reports it to a caller."""
    return json.dumps({"errorType": error_type, "errorMessage": message}).encode()


class RuntimeApi(ThreadingHTTPServer):
    """Hands invocations to one worker and puts what comes back into `signals`."""

    daemon_threads = True

    def __init__(self, signals: "queue.SimpleQueue[Signal]") -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.signals = signals
        self.invocations: queue.SimpleQueue[Invocation | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self.serve_forever, name="runtime-api", daemon=True)
        self._thread.start()

    @property
    def address(self) -> str:
        """Give `host:port`, the value of AWS_LAMBDA_RUNTIME_API."""
        return f"127.0.0.1:{self.server_port}"

    def handle_error(self, request: object, client_address: object) -> None:
        """A killed worker leaves a broken connection; its exit is what gets reported."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)  # type: ignore[arg-type] # passed on as it came

    def close(self) -> None:
        """Let a waiting worker go and stop listening."""
        self.invocations.put(None)
        self.shutdown()
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    """The five calls of the runtime client."""

    server: RuntimeApi
    protocol_version = "HTTP/1.1"
    # Headers and body leave in one segment: with two, Nagle and delayed ACK cost 44 ms a call.
    wbufsize = -1
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        """GET /runtime/invocation/next: wait for an event."""
        if self.path != f"{_RUNTIME}/invocation/next":
            self._reply(HTTPStatus.NOT_FOUND)
            return
        self.server.signals.put(Ready())
        invocation = self.server.invocations.get()
        if invocation is None:
            self.close_connection = True
            return
        self._reply(
            HTTPStatus.OK,
            invocation.payload,
            {
                "Lambda-Runtime-Aws-Request-Id": invocation.request_id,
                "Lambda-Runtime-Deadline-Ms": str(invocation.deadline_ms),
                "Lambda-Runtime-Invoked-Function-Arn": invocation.function_arn,
                "Lambda-Runtime-Trace-Id": trace_id(invocation.request_id, invocation.deadline_ms),
            },
        )

    def do_POST(self) -> None:
        """POST an answer, the error of an invocation, or the error of the init phase."""
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        match self.path.removeprefix(f"{_RUNTIME}/").split("/"):
            case ["invocation", request_id, "response"] if len(body) > MAX_RESPONSE_BYTES:
                message = f"Response payload size exceeded maximum allowed payload size ({MAX_RESPONSE_BYTES} bytes)."
                self.server.signals.put(Failure(error_document("Function.ResponseSizeTooLarge", message)))
                self._reply(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, request_id.encode())
            case ["invocation", _, "response"]:
                self.server.signals.put(Answer(body))
                self._reply(HTTPStatus.ACCEPTED)
            case ["invocation", _, "error"] | ["init", "error"]:
                self.server.signals.put(Failure(body))
                self._reply(HTTPStatus.ACCEPTED)
            case _:
                self._reply(HTTPStatus.NOT_FOUND)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so
        """Say nothing: the calls of the runtime client are no news."""

    def _reply(self, status: HTTPStatus, body: bytes = b"", headers: dict[str, str] | None = None) -> None:
        self.send_response_only(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def trace_id(request_id: str, time_ms: int) -> str:
    """Make an X-Ray trace header of a request id, not sampled."""
    digits = request_id.replace("-", "")
    return f"Root=1-{time_ms // 1000:08x}-{digits[:24]};Parent={digits[:16]};Sampled=0"
