"""Ends an HTTP exchange at a moment, or when it stalls; httpx itself has one limit for every single read."""

import contextlib
import math
import socket
import threading
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

CONNECTED = (".connect_tcp.complete", ".start_tls.complete")


class Deadline:
    """While it is entered, the connection that `trace` saw is shut down when the time is over, or at a stall.

    Pass `trace` as the request's `trace` extension. The blocked read then fails, and `expired` and `stalled` say why.
    A connection kept alive from an earlier request is not seen: the client must not keep any.

    Args:
        seconds: How long the exchange may take.
        stall_s: Longest silence after the first call of `heard`; without it only httpx's own limit holds.
    """

    def __init__(self, seconds: float, *, stall_s: float = math.inf) -> None:
        self._changed = threading.Condition()
        self._socket: socket.socket | None = None
        self._expired = False
        self._stalled = False
        self._left = False
        self._stall_s = stall_s
        self._stalls_at = math.inf
        self._ends_at = time.monotonic() + seconds
        self._watch = threading.Thread(target=self._wait, name="http-deadline", daemon=True)

    @property
    def expired(self) -> bool:
        """Whether the time was over before the exchange was."""
        return self._expired

    @property
    def stalled(self) -> bool:
        """Whether the exchange was ended because the server had stopped in the middle."""
        return self._stalled

    def trace(self, event: str, info: Mapping[str, Any]) -> None:
        """Note the socket of a new connection; called by httpcore."""
        if event.endswith(CONNECTED):
            with self._changed:
                self._socket = info["return_value"].get_extra_info("socket")
                if self._expired:
                    self._shut_down()

    def heard(self) -> None:
        """Note that the server has said something."""
        before, self._stalls_at = self._stalls_at, time.monotonic() + self._stall_s
        if self._stalls_at < before:  # otherwise the watch wakes early enough by itself, and sees that it may sleep on
            with self._changed:
                self._changed.notify()

    def __enter__(self) -> Self:
        self._watch.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        with self._changed:
            self._left = True
            self._changed.notify()

    def _wait(self) -> None:
        with self._changed:
            while not self._left and (rest_s := min(self._ends_at, self._stalls_at) - time.monotonic()) > 0:
                self._changed.wait(rest_s)
            if not self._left:
                self._expired = time.monotonic() >= self._ends_at
                self._stalled = not self._expired
                self._shut_down()

    def _shut_down(self) -> None:
        if self._socket is not None:
            with contextlib.suppress(OSError):  # it is closed already
                # The plain socket's method: SSLSocket's own would pull the TLS state from under the reader.
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)
