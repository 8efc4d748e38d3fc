"""Lambda's synchronous invoke: per function a pool of execution environments."""

import json
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Protocol

from infra.local.resources import Function
from infra.local.runtime_api import Answer, Failure, error_document

MAX_EVENT_BYTES: Final = 6_291_456

_STOP_SECONDS: Final = 2.0


class PayloadTooLargeError(ValueError):
    """The event is larger than Lambda takes."""


class _NoWorkerError(Exception):
    """No environment could be made ready; carries the error document for the caller."""

    def __init__(self, document: bytes) -> None:
        super().__init__(document)
        self.document = document


@dataclass(frozen=True)
class InvokeResult:
    """What an invocation gave; `payload` is the handler's JSON, or an error document when `is_error`.

    `init_ms` is the length of the init phase when this invocation was a cold start, else None.
    """

    request_id: str
    payload: bytes
    is_error: bool
    duration_ms: float
    init_ms: float | None

    def json(self) -> Any:
        """Parse the payload."""
        return json.loads(self.payload)


class Worker(Protocol):
    """What the pool needs of an execution environment; `runtime.Environment` is one."""

    def wait_until_ready(self) -> Failure | None:
        """Wait until it can take an event; an error means it never will."""

    def invoke(self, request_id: str, payload: bytes) -> Answer | Failure:
        """Work on one event."""

    def kill(self) -> None:
        """End at once."""

    def terminate(self) -> None:
        """Ask it to end."""

    def join(self, timeout_seconds: float) -> None:
        """Wait for its end, and enforce it."""


class FunctionPool:
    """The environments of one function: started on demand up to a cap, reused last in first out, kept when idle."""

    def __init__(self, function: Function, start: Callable[[], Worker], *, max_environments: int) -> None:
        self.function = function
        self._start = start
        self._free_slots = threading.BoundedSemaphore(max_environments)
        self._lock = threading.Lock()
        self._idle: list[Worker] = []
        self._all: list[Worker] = []
        self._in_flight = 0
        self._closed = False

    @property
    def in_flight(self) -> int:
        """Count the callers that wait for an answer or for a free environment."""
        with self._lock:
            return self._in_flight

    def invoke(self, event: Any) -> InvokeResult:
        """Invoke the function with an event (bytes are taken as JSON) and wait for its answer.

        Callers beyond the cap wait for a free environment, where Lambda would scale out or throttle.

        Raises:
            PayloadTooLargeError: The event is over 6 MB.
        """
        payload = event if isinstance(event, bytes) else json.dumps(event).encode()
        if len(payload) > MAX_EVENT_BYTES:
            raise PayloadTooLargeError(f"the event has {len(payload)} bytes, Lambda takes {MAX_EVENT_BYTES}")
        with self._lock:
            self._in_flight += 1
        try:
            with self._free_slots:
                return self._invoke(payload)
        finally:
            with self._lock:
                self._in_flight -= 1

    def terminate(self) -> None:
        """Take no more events and ask every environment to end; who waits for an answer gets an error."""
        with self._lock:
            self._closed = True
            workers = list(self._all)
        for worker in workers:
            worker.terminate()

    def crash(self) -> None:
        """Kill every environment, as a machine that fails would; the next event gets a new one."""
        with self._lock:
            workers = list(self._all)
        for worker in workers:
            worker.kill()

    def join(self) -> None:
        """Wait for the end of every environment."""
        with self._lock:
            workers = list(self._all)
        for worker in workers:
            worker.join(_STOP_SECONDS)

    def _invoke(self, payload: bytes) -> InvokeResult:
        request_id = str(uuid.uuid4())
        try:
            worker, init_ms = self._ready_worker()
        except _NoWorkerError as error:
            return InvokeResult(request_id, error.document, is_error=True, duration_ms=0.0, init_ms=None)
        started = time.perf_counter()
        outcome = worker.invoke(request_id, payload)
        duration_ms = (time.perf_counter() - started) * 1000
        with self._lock:
            self._idle.append(worker)
        return InvokeResult(request_id, outcome.payload, isinstance(outcome, Failure), duration_ms, init_ms)

    def _ready_worker(self) -> tuple[Worker, float | None]:
        """Give an idle worker that still lives, or a new one and how long its init phase took in milliseconds."""
        while (idle := self._take_idle()) is not None:
            if idle.wait_until_ready() is None:
                return idle, None
            self._forget(idle)
        started = time.perf_counter()
        worker = self._start_worker()
        if (failure := worker.wait_until_ready()) is not None:
            self._forget(worker)
            raise _NoWorkerError(failure.payload)
        return worker, (time.perf_counter() - started) * 1000

    def _take_idle(self) -> Worker | None:
        with self._lock:
            return self._idle.pop() if self._idle else None

    def _start_worker(self) -> Worker:
        with self._lock:
            if self._closed:
                raise _NoWorkerError(error_document("Twin.Stopped", "the local twin is stopping"))
            worker = self._start()
            self._all.append(worker)
            return worker

    def _forget(self, worker: Worker) -> None:
        with self._lock:
            if not self._closed:
                self._all.remove(worker)
