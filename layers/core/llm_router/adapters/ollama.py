"""Speaks to Ollama over its native API."""

import contextlib
from collections.abc import Generator, Iterator
from typing import Final, TypeVar

import httpx
import msgspec

from llm_router.adapters.http_deadline import Deadline
from llm_router.adapters.ollama_protocol import Chunk, Models, Version, box_state, chat_body, generation, refusal
from llm_router.box import BoxState
from llm_router.errors import ModelTimeoutError, ModelUnavailableError
from llm_router.models import Generation, ModelCall
from llm_router.ports import Clock

CONNECT_SECONDS: Final = 2.0
STATE_SECONDS: Final = 5.0
MODEL_LOAD_SECONDS: Final = 300.0
"""Ollama's own limit for loading a model; a client that gives up sooner has the load thrown away and begun again."""

T = TypeVar("T")


class OllamaClient:
    """The models of one Ollama server; implements `LanguageModel`.

    Every request opens its own connection: one kept alive in a frozen Lambda is dead when it is thawed.

    Args:
        base_url: Where the server is, e.g. `http://localhost:11434`.
        transport: Instead of the network, in tests.
        clock: Milliseconds since the epoch.
        model_load_s: Longest silence of a server that is at work; loading a model is the longest.
    """

    def __init__(
        self,
        base_url: str,
        *,
        transport: httpx.BaseTransport | None = None,
        clock: Clock,
        model_load_s: float = MODEL_LOAD_SECONDS,
    ) -> None:
        self._clock = clock
        self._model_load_s = model_load_s
        self._client = httpx.Client(
            base_url=base_url,
            transport=transport,
            # Reading the certificates takes 20 to 45 ms of a cold start, which plain HTTP can do without.
            verify=base_url.startswith("https:"),
            trust_env=False,
            limits=httpx.Limits(max_keepalive_connections=0),
        )

    def generate(self, call: ModelCall, *, deadline_ms: int) -> Generator[str | Generation, None, None]:
        """Yield pieces of text as they come and, last, the whole generation; see `LanguageModel`."""
        remaining_s = (deadline_ms - self._clock()) / 1000
        if remaining_s <= 0:
            raise _too_late()
        with Deadline(remaining_s) as deadline, _translated(deadline):
            request = self._client.build_request(
                "POST",
                "/api/chat",
                content=msgspec.json.encode(chat_body(call)),
                headers={"Content-Type": "application/json"},
                timeout=httpx.Timeout(self._model_load_s, connect=min(CONNECT_SECONDS, remaining_s)),
                extensions={"trace": deadline.trace},
            )
            with contextlib.closing(self._client.send(request, stream=True)) as response:
                _require_success(response)
                yield from self._read(call, response, deadline_ms)

    def state(self) -> BoxState:
        """Return what the server says of itself and its models.

        Raises:
            ModelUnavailableError: it cannot be reached, or makes no sense.
        """
        with _translated():
            return box_state(
                self._get("/api/version", Version),
                self._get("/api/tags", Models),
                self._get("/api/ps", Models),
            )

    def _get(self, path: str, shape: type[T]) -> T:
        response = self._client.get(path, timeout=httpx.Timeout(STATE_SECONDS, connect=CONNECT_SECONDS))
        if not response.is_success:
            raise ModelUnavailableError("The model server does not tell its state.")
        return msgspec.json.decode(response.content, type=shape)

    def _read(self, call: ModelCall, response: httpx.Response, deadline_ms: int) -> Iterator[str | Generation]:
        pieces = []
        for line in _lines(response):
            chunk = msgspec.json.decode(line, type=Chunk)
            if chunk.error:
                raise refusal(response.status_code, chunk.error)
            if chunk.message.content:
                pieces.append(chunk.message.content)
                yield chunk.message.content
            if chunk.done:
                yield generation(call, chunk, "".join(pieces))
                return
            if self._clock() >= deadline_ms:
                raise _too_late()
        raise httpx.RemoteProtocolError("The stream ended without a last chunk.", request=response.request)


def _require_success(response: httpx.Response) -> None:
    if not response.is_success:
        response.read()
        response.raise_for_status()


def _lines(response: httpx.Response) -> Iterator[bytes]:
    # httpx.Response.iter_lines also splits at U+0085 and its like, which JSON allows inside a string.
    rest = b""
    for data in response.iter_bytes():
        *lines, rest = (rest + data).split(b"\n")
        yield from filter(bytes.strip, lines)
    if rest.strip():
        yield rest


@contextlib.contextmanager
def _translated(deadline: Deadline | None = None) -> Iterator[None]:
    """Turn what httpx and msgspec raise into the router's errors; ValueError is bad JSON or bad UTF-8."""
    try:
        yield
    except httpx.HTTPStatusError as exc:
        raise refusal(exc.response.status_code, exc.response.text) from exc
    except (httpx.HTTPError, ValueError) as exc:
        if deadline is not None and deadline.expired:
            raise _too_late() from exc
        raise ModelUnavailableError(_what_happened(exc)) from exc


def _what_happened(error: Exception) -> str:
    match error:
        case httpx.ConnectError() | httpx.ConnectTimeout():
            return "The model server cannot be reached."
        case httpx.TimeoutException():
            return "The model server fell silent."
        case httpx.HTTPError():
            return "The model server broke off before the answer was complete."
    return "The model server's answer makes no sense."


def _too_late() -> ModelTimeoutError:
    return ModelTimeoutError("The answer did not come before the deadline.")
