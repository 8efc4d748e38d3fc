"""What the clients of model servers share: one streamed exchange over HTTP, its deadline and its errors."""

import contextlib
import math
from collections.abc import Callable, Iterator
from typing import Any, Final, Protocol

import httpx
import msgspec

from llm_router.adapters.http_deadline import Deadline
from llm_router.errors import ModelError, ModelTimeoutError, ModelUnavailableError, StoreError
from llm_router.ports import Clock

Refusal = Callable[[httpx.Response], ModelError]
"""Turns an answer that is no success, read to its end, into the router's error."""


class Key(Protocol):
    """What a server wants to see, e.g. a `Secret`."""

    def __call__(self, *, fresh: bool = False) -> str:
        """Return it as it is remembered, or read anew.

        Raises:
            StoreError: it cannot be read.
        """
        ...


_FELL_SILENT: Final = "fell silent"
_ENCODER: Final = msgspec.json.Encoder()


class ModelServer:
    """A server that streams its answers.

    Every request opens its own connection: one kept alive in a frozen Lambda is dead when it is thawed.

    Args:
        base_url: Where the server is; paths are added to it.
        name: What a caller is told has failed, e.g. `model server`.
        transport: Instead of the network, in tests.
        clock: Milliseconds since the epoch.
        connect_s: Longest wait for a connection.
        silence_s: Longest silence of a server that is at work.
        stall_s: Longest silence once it has begun to answer; infinite where that is no shorter.
        refusal: What an answer that is no success means.
        key: Shown as a bearer token with every request, first read with the first one; None where none is asked for.
            Where a server does not know it any more, it is read anew and, if it has changed, shown once more.
    """

    def __init__(
        self,
        base_url: str,
        *,
        name: str,
        transport: httpx.BaseTransport | None,
        clock: Clock,
        connect_s: float,
        silence_s: float,
        stall_s: float = math.inf,
        refusal: Refusal,
        key: Key | None = None,
    ) -> None:
        self._name = name
        self._clock = clock
        self._connect_s = connect_s
        self._silence_s = silence_s
        self._stall_s = stall_s
        self._refusal = refusal
        self._key = key
        self._client = httpx.Client(
            base_url=base_url,
            transport=transport,
            # Reading the certificates takes 20 to 45 ms of a cold start, which plain HTTP can do without.
            verify=base_url.startswith("https:"),
            trust_env=False,
            limits=httpx.Limits(max_keepalive_connections=0),
        )

    @contextlib.contextmanager
    def ask(self, path: str, body: Any, *, deadline_ms: int) -> Iterator[Iterator[bytes]]:
        """Post `body` as JSON and give the lines of the answer, without their ends and without blank ones.

        Leaving the block closes the connection, which stops the server.

        Raises:
            ModelError: also for what goes wrong inside the block: a ValueError is an answer that makes no sense, an
                `httpx.HTTPError` one that broke off.
        """
        remaining_s = (deadline_ms - self._clock()) / 1000
        if remaining_s <= 0:
            raise _too_late()
        with Deadline(remaining_s, stall_s=self._stall_s) as deadline, self._translated(deadline):
            request = self._client.build_request(
                "POST",
                path,
                content=_ENCODER.encode(body),
                headers={"Content-Type": "application/json"},
                timeout=httpx.Timeout(self._silence_s, connect=min(self._connect_s, remaining_s)),
                extensions={"trace": deadline.trace},
            )
            with contextlib.closing(self._send(request)) as response:
                self._require_success(response)
                yield self._lines(response, deadline, deadline_ms)

    def get(self, path: str, *, silence_s: float) -> bytes:
        """Return the body at `path`.

        Raises:
            ModelError: there is none.
        """
        with self._translated():
            timeout = httpx.Timeout(silence_s, connect=self._connect_s)
            with contextlib.closing(self._send(self._client.build_request("GET", path, timeout=timeout))) as response:
                self._require_success(response)
                return response.read()

    def _send(self, request: httpx.Request) -> httpx.Response:
        if self._key is None:
            return self._client.send(request, stream=True)
        shown = self._checked(self._key)
        response = self._show(shown, request)
        if response.status_code == httpx.codes.UNAUTHORIZED:
            response.read()
            if (current := self._checked(self._key, fresh=True)) != shown:
                return self._show(current, request)
        return response

    def _show(self, key: str, request: httpx.Request) -> httpx.Response:
        request.headers["Authorization"] = f"Bearer {key}"
        return self._client.send(request, stream=True)

    def _checked(self, key: Key, *, fresh: bool = False) -> str:
        """Return the key, if it can stand in a header: the HTTP library's own complaint would quote it."""
        try:
            value = key(fresh=fresh)
        except StoreError as error:
            raise ModelUnavailableError(f"The key of the {self._name} cannot be read.") from error
        if value.isascii() and value.isprintable() and value and " " not in value:
            return value
        raise ModelError(f"The key of the {self._name} is empty, or has characters that no key has.")

    def _require_success(self, response: httpx.Response) -> None:
        if not response.is_success:
            response.read()
            response.raise_for_status()

    def _lines(self, response: httpx.Response, deadline: Deadline, deadline_ms: int) -> Iterator[bytes]:
        for line in _split(response.iter_bytes()):
            deadline.heard()
            yield line
            if self._clock() >= deadline_ms:
                raise _too_late()

    @contextlib.contextmanager
    def _translated(self, deadline: Deadline | None = None) -> Iterator[None]:
        """Turn what httpx and msgspec raise into the router's errors; ValueError is bad JSON or bad UTF-8."""
        try:
            yield
        except httpx.HTTPStatusError as exc:
            raise self._refusal(exc.response) from exc
        except (httpx.HTTPError, ValueError) as exc:
            if deadline is not None and deadline.expired:
                raise _too_late() from exc
            happened = _FELL_SILENT if deadline is not None and deadline.stalled else _what_happened(exc)
            raise ModelUnavailableError(f"The {self._name} {happened}.") from exc


def broke_off() -> httpx.RemoteProtocolError:
    """Return the error of a stream that ended properly, but too early."""
    return httpx.RemoteProtocolError("The stream ended without its last part.")


def _split(pieces: Iterator[bytes]) -> Iterator[bytes]:
    # httpx.Response.iter_lines also splits at U+0085 and its like, which JSON allows inside a string.
    rest = b""
    for piece in pieces:
        *lines, rest = (rest + piece).split(b"\n")
        yield from filter(None, map(bytes.strip, lines))
    if rest.strip():
        yield rest.strip()


def _what_happened(error: Exception) -> str:
    match error:
        case httpx.ConnectError() | httpx.ConnectTimeout():
            return "cannot be reached"
        case httpx.TimeoutException():
            return _FELL_SILENT
        case httpx.HTTPError():
            return "broke off before the answer was complete"
    return "gives an answer that makes no sense"


def _too_late() -> ModelTimeoutError:
    return ModelTimeoutError("The answer did not come before the deadline.")
