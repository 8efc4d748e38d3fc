"""Ends an HTTP exchange at a moment; httpx itself only limits each single read."""

import contextlib
import socket
import threading
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

CONNECTED = (".connect_tcp.complete", ".start_tls.complete")


class Deadline:
    """While it is entered, the connection that `trace` saw is shut down when the time is over.

    Pass `trace` as the request's `trace` extension. The blocked read then fails, and `expired` says why.
    A connection kept alive from an earlier request is not seen: the client must not keep any.
    """

    def __init__(self, seconds: float) -> None:
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._expired = False
        self._timer = threading.Timer(seconds, self._expire)
        self._timer.daemon = True

    @property
    def expired(self) -> bool:
        """Whether the time was over before the exchange was."""
        return self._expired

    def trace(self, event: str, info: Mapping[str, Any]) -> None:
        """Note the socket of a new connection; called by httpcore."""
        if event.endswith(CONNECTED):
            with self._lock:
                self._socket = info["return_value"].get_extra_info("socket")
                if self._expired:
                    self._shut_down()

    def __enter__(self) -> Self:
        self._timer.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._timer.cancel()

    def _expire(self) -> None:
        with self._lock:
            self._expired = True
            self._shut_down()

    def _shut_down(self) -> None:
        if self._socket is not None:
            with contextlib.suppress(OSError):  # it is closed already
                # The plain socket's method: SSLSocket's own would pull the TLS state from under the reader.
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)
