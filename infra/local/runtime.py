"""Execution environments: worker processes under AWS's own runtime client."""

import contextlib
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TextIO

from infra.local.resources import ACCOUNT_ID, REGION, Function
from infra.local.runtime_api import Answer, Exited, Failure, Invocation, Ready, RuntimeApi, Signal, error_document

# Lambda gives the init phase 10 s, then repeats it inside the first invocation.
_INIT_SECONDS: Final = 10.0
_KEPT_FROM_DEVELOPER: Final = ("PATH", "LANG")


@dataclass(frozen=True)
class RuntimeSettings:
    """What all environments of a twin share.

    Attributes:
        runtime_dir: Folder that holds `awslambdaric` and nothing of the functions, as /var/runtime does.
        endpoint_url: Address of the cloud, the workers' AWS_ENDPOINT_URL.
        log: Where the workers' output goes, each line with its function's name in front.
        developer_environment: Only PATH and LANG of it reach a worker.
    """

    runtime_dir: Path
    endpoint_url: str
    log: TextIO
    developer_environment: Mapping[str, str] = field(default_factory=lambda: os.environ)


class NotBuiltError(RuntimeError):
    """A layer is missing; the message says how to make it."""


def check_layers(function: Function) -> None:
    """Find missing layers before the first invocation does.

    Raises:
        NotBuiltError: A layer of the function is not there.
    """
    for layer in function.layers:
        if not layer.python_root.is_dir() and not (layer.opt_root and layer.opt_root.is_dir()):
            raise NotBuiltError(f"layer {layer.logical_id} of {function.logical_id} is not built; run `make layers`")


def worker_environment(function: Function, settings: RuntimeSettings, api_address: str) -> dict[str, str]:
    """Give the environment variables of a worker: Lambda's, the template's, and next to none of the developer's."""
    kept = {
        name: settings.developer_environment[name]
        for name in _KEPT_FROM_DEVELOPER
        if name in settings.developer_environment
    }
    python_path = [function.code_uri, *(layer.python_root for layer in function.layers), settings.runtime_dir]
    return {
        **kept,
        "HOME": "/tmp",  # noqa: S108 - what it is on Lambda
        "TZ": ":UTC",
        "PYTHONPATH": os.pathsep.join(map(str, python_path)),
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_SECRET_ACCESS_KEY": "local",
        "AWS_ENDPOINT_URL": settings.endpoint_url,
        "AWS_ACCOUNT_ID": ACCOUNT_ID,
        "AWS_ACCOUNT_ID_ENDPOINT_MODE": "disabled",
        "AWS_EXECUTION_ENV": f"AWS_Lambda_python{sys.version_info.major}.{sys.version_info.minor}",
        "AWS_SAM_LOCAL": "true",
        "AWS_LAMBDA_RUNTIME_API": api_address,
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
        "AWS_LAMBDA_FUNCTION_NAME": function.name,
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(function.memory_size_mb),
        "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/{function.name}",
        "AWS_LAMBDA_LOG_STREAM_NAME": "local",
        "LAMBDA_TASK_ROOT": str(function.code_uri),
        "LAMBDA_RUNTIME_DIR": str(settings.runtime_dir),
        "_HANDLER": function.handler,
        **{name: _resolve_opt(value, function) for name, value in function.environment.items()},
    }


def _resolve_opt(value: str, function: Function) -> str:
    """Turn a path in /opt into the first of the function's layers that has it; others stay as they are."""
    if value.startswith("/opt/"):
        for layer in function.layers:
            if layer.opt_root and (found := layer.opt_root / value.removeprefix("/opt/")).exists():
                return str(found)
    return value


class Environment:
    """One execution environment: a process that works on one event at a time."""

    def __init__(self, function: Function, settings: RuntimeSettings) -> None:
        self._function = function
        self._log = settings.log
        self._signals: queue.SimpleQueue[Signal] = queue.SimpleQueue()
        self._api = RuntimeApi(self._signals)
        self._process = subprocess.Popen(  # noqa: S603 - our own interpreter, no shell
            [sys.executable, "-S", "-m", "awslambdaric", function.handler],
            cwd=function.code_uri,
            env=worker_environment(function, settings, self._api.address),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            # A group of its own: Ctrl-C is for the twin, and a kill reaches what the worker started.
            start_new_session=True,
        )
        self._threads = [
            threading.Thread(target=target, name=f"{target.__name__} {function.logical_id}", daemon=True)
            for target in (self._watch, self._copy_output)
        ]
        for thread in self._threads:
            thread.start()

    def wait_until_ready(self) -> Failure | None:
        """Wait for the worker to ask for an event: the init phase, or the end of the invocation before.

        Returns:
            The init phase's error, or None when the worker is ready. After an error the environment is dead.
        """
        allowed_seconds = _INIT_SECONDS + self._function.timeout_seconds
        match self._next_signal(allowed_seconds):
            case Ready() if self._lives():
                return None
            case Ready():
                return Failure(error_document("Runtime.ExitError", _exit_message(self._process.wait())))
            case Failure() as failure:
                self.kill()
                return failure
            case Exited(returncode):
                return Failure(error_document("Runtime.ExitError", _exit_message(returncode)))
            case _:
                self.kill()
                return Failure(
                    error_document("Sandbox.Timedout", f"Init timed out after {allowed_seconds:.2f} seconds")
                )

    def invoke(self, request_id: str, payload: bytes) -> Answer | Failure:
        """Give the worker an event and wait for its answer, at most the function's timeout.

        A worker that runs out of time is killed. Call `wait_until_ready` before.
        """
        timeout_seconds = self._function.timeout_seconds
        deadline_ms = int((time.time() + timeout_seconds) * 1000)
        self._api.invocations.put(Invocation(request_id, payload, deadline_ms, self._function.arn))
        match self._next_signal(timeout_seconds):
            case (Answer() | Failure()) as outcome:
                return outcome
            case Exited(returncode) as exited:
                self._signals.put(exited)  # for the next wait_until_ready
                message = f"RequestId: {request_id} Error: {_exit_message(returncode)}"
                return Failure(error_document("Runtime.ExitError", message))
            case _:
                self.kill()
                message = f"RequestId: {request_id} Error: Task timed out after {timeout_seconds:.2f} seconds"
                return Failure(error_document("Sandbox.Timedout", message))

    def terminate(self) -> None:
        """Ask the process and all it started to end."""
        if self._process.poll() is None:
            self._signal_group(signal.SIGTERM)

    def kill(self) -> None:
        """End the process and all it started; one that has ended is left alone, its number may be another's."""
        if self._process.poll() is None:
            self._signal_group(signal.SIGKILL)

    def join(self, timeout_seconds: float) -> None:
        """Wait for the process to end, kill it if it does not, and wait for its last output."""
        try:
            self._process.wait(timeout_seconds)
        except subprocess.TimeoutExpired:
            self.kill()
        for thread in self._threads:
            thread.join(timeout_seconds)

    def _next_signal(self, timeout_seconds: float) -> Signal | None:
        try:
            return self._signals.get(timeout=timeout_seconds)
        except queue.Empty:
            return None

    def _signal_group(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)

    def _lives(self) -> bool:
        """Whether the process is there; poll() alone also says so while the watching thread takes note of its end."""
        if self._process.poll() is not None:
            return False
        try:
            os.kill(self._process.pid, 0)
        except ProcessLookupError:
            return False
        return True

    def _watch(self) -> None:
        """Report the end of the process, take what it started with it, and close its Runtime API."""
        self._signals.put(Exited(self._process.wait()))
        self._signal_group(signal.SIGKILL)
        self._api.close()

    def _copy_output(self) -> None:
        """Copy the worker's output into the log; the runtime client joins an error's lines with carriage returns."""
        assert self._process.stdout is not None  # noqa: S101 - it was started with a pipe
        with self._process.stdout as output:
            for line in output:
                for part in line.decode(errors="replace").rstrip("\n").split("\r"):
                    self._log.write(f"[{self._function.logical_id}] {part}\n")
                self._log.flush()


def _exit_message(returncode: int) -> str:
    if returncode < 0:
        name = signal.strsignal(-returncode) or str(-returncode)
        return f"Runtime exited with error: signal: {name.lower()}"
    return f"Runtime exited with error: exit status {returncode}"
