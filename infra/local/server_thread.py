"""Runs an ASGI application in a thread of its own, at an address that stays the same."""

import contextlib
import socket
import threading
from collections.abc import Iterator
from types import TracebackType
from typing import Self

import uvicorn
from starlette.types import ASGIApp


class ServerThread:
    """The server; a context manager.

    Args:
        app: What to serve.
        name: Of the thread.
        port: Where to listen; 0 for any free port.
    """

    def __init__(self, app: ASGIApp, *, name: str, port: int = 0) -> None:
        self._app = app
        self._name = name
        self._port = port

    @property
    def base_url(self) -> str:
        """Where it listens; the same again after it has refused for a while."""
        return f"http://127.0.0.1:{self._port}"

    @contextlib.contextmanager
    def refusing(self) -> Iterator[None]:
        """Refuse connections for a while; what is under way is broken off."""
        self._stop()
        try:
            yield
        finally:
            self._start()

    def wait(self) -> None:
        """Block until the server ends."""
        self._thread.join()

    def __enter__(self) -> Self:
        self._start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stop()

    def _start(self) -> None:
        listener = socket.create_server(("127.0.0.1", self._port))
        self._port = listener.getsockname()[1]
        config = uvicorn.Config(
            self._app,
            lifespan="off",
            ws="none",
            log_config=None,
            log_level="critical",
            access_log=False,
            timeout_graceful_shutdown=0,
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [listener]}, name=self._name, daemon=True
        )
        self._thread.start()

    def _stop(self) -> None:
        self._server.should_exit = True
        self._thread.join()
