"""The deadline of an HTTP exchange on real sockets."""

import socket
import time
from collections.abc import Iterator

import pytest

from llm_router.adapters.http_deadline import Deadline

CONNECTED = "connection.connect_tcp.complete"


class Stream:
    """A network stream of httpcore, as far as its socket."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection

    def get_extra_info(self, name: str) -> socket.socket | None:
        """Return the socket when asked for it."""
        return self.connection if name == "socket" else None


@pytest.fixture(name="pair")
def connected_pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.settimeout(10)
        yield ours, theirs


def wait_for(deadline: Deadline) -> None:
    while not deadline.expired:
        time.sleep(0.001)


def test_connection_made_after_the_deadline_is_shut_down_at_once(pair: tuple[socket.socket, socket.socket]) -> None:
    """Connecting may outlast the deadline; nothing is read from such a connection."""
    ours, theirs = pair

    with Deadline(0) as deadline:
        wait_for(deadline)
        deadline.trace(CONNECTED, {"return_value": Stream(ours)})

    assert theirs.recv(1) == b""


def test_deadline_met_in_time_leaves_the_connection_alone(pair: tuple[socket.socket, socket.socket]) -> None:
    """Leaving the block in time ends the watch, and other events of the exchange mean nothing to it."""
    ours, theirs = pair

    with Deadline(60) as deadline:
        deadline.trace("http11.send_request_headers.started", {})
        deadline.trace(CONNECTED, {"return_value": Stream(ours)})
    ours.sendall(b"x")

    assert (theirs.recv(1), deadline.expired) == (b"x", False)


def test_stall_shuts_the_connection_down(pair: tuple[socket.socket, socket.socket]) -> None:
    """Once the server has spoken it may not be silent for long; the time was not over then."""
    ours, theirs = pair

    with Deadline(60, stall_s=0.05) as deadline:
        deadline.trace(CONNECTED, {"return_value": Stream(ours)})
        deadline.heard()
        deadline.heard()
        ended = theirs.recv(1)

    assert (b"", False, True) == (ended, deadline.expired, deadline.stalled)


def test_closed_connection_is_no_error(pair: tuple[socket.socket, socket.socket]) -> None:
    """A connection that is closed already needs no shutting down."""
    ours, _ = pair
    ours.close()

    with Deadline(0) as deadline:
        wait_for(deadline)
        deadline.trace(CONNECTED, {"return_value": Stream(ours)})

    assert deadline.expired
