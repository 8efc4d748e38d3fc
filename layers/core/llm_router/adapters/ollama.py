"""Speaks to Ollama over its native API."""

from collections.abc import Generator, Iterator
from typing import Final, TypeVar

import httpx
import msgspec

from llm_router.adapters.model_http import Key, ModelServer, broke_off
from llm_router.adapters.ollama_protocol import (
    Chunk,
    Models,
    Version,
    box_state,
    chat_body,
    generation,
    load_body,
    refusal,
)
from llm_router.box import BoxState
from llm_router.errors import ModelError, ModelUnavailableError
from llm_router.models import Generation, ModelCall
from llm_router.ports import Clock

CONNECT_SECONDS: Final = 2.0
STATE_SECONDS: Final = 5.0
MODEL_LOAD_SECONDS: Final = 300.0
"""Ollama's own limit for loading a model; a client that gives up sooner has the load thrown away and begun again."""

STALL_SECONDS: Final = 60.0
"""Once it speaks, a model takes a second or two for a token on the slowest machine that is of use."""

T = TypeVar("T")


class OllamaClient:
    """The models of one Ollama server; implements `LanguageModel` and `Box`.

    Args:
        base_url: Where the server is, e.g. `http://localhost:11434`.
        transport: Instead of the network, in tests.
        clock: Milliseconds since the epoch.
        model_load_s: Longest silence of a server that is at work; loading a model is the longest.
        stall_s: Longest silence of a model that has begun to speak.
        secret: What the proxy before the server asks for; None where there is none.
    """

    def __init__(
        self,
        base_url: str,
        *,
        transport: httpx.BaseTransport | None = None,
        clock: Clock,
        model_load_s: float = MODEL_LOAD_SECONDS,
        stall_s: float = STALL_SECONDS,
        secret: Key | None = None,
    ) -> None:
        self._server = ModelServer(
            base_url,
            name="model server",
            transport=transport,
            clock=clock,
            connect_s=CONNECT_SECONDS,
            silence_s=model_load_s,
            stall_s=stall_s,
            refusal=lambda response: refusal(response.status_code, response.text),
            key=secret,
        )

    def generate(self, call: ModelCall, *, deadline_ms: int) -> Generator[str | Generation, None, None]:
        """Yield pieces of text as they come and, last, the whole generation; see `LanguageModel`."""
        with self._server.ask("/api/chat", chat_body(call), deadline_ms=deadline_ms) as lines:
            yield from _read(call, lines)

    def load(self, model: str, *, deadline_ms: int) -> None:
        """Bring a model into memory, where it stays, and return when it is there; see `Box`."""
        with self._server.ask("/api/chat", load_body(model), deadline_ms=deadline_ms) as lines:
            if not any(chunk.done for chunk in _chunks(lines)):
                raise broke_off()

    def state(self) -> BoxState:
        """Return what the server says of itself and its models.

        Raises:
            ModelUnavailableError: it cannot be reached, or makes no sense.
        """
        try:
            return box_state(
                self._get("/api/version", Version),
                self._get("/api/tags", Models),
                self._get("/api/ps", Models),
            )
        except ModelUnavailableError:
            raise
        except (ModelError, ValueError) as exc:
            raise ModelUnavailableError("The model server does not tell its state.") from exc

    def _get(self, path: str, shape: type[T]) -> T:
        return msgspec.json.decode(self._server.get(path, silence_s=STATE_SECONDS), type=shape)


def _chunks(lines: Iterator[bytes]) -> Iterator[Chunk]:
    for line in lines:
        chunk = msgspec.json.decode(line, type=Chunk)
        if chunk.error:
            raise refusal(httpx.codes.OK, chunk.error)
        yield chunk


def _read(call: ModelCall, lines: Iterator[bytes]) -> Iterator[str | Generation]:
    pieces = []
    for chunk in _chunks(lines):
        if chunk.message.content:
            pieces.append(chunk.message.content)
            yield chunk.message.content
        if chunk.done:
            yield generation(call, chunk, "".join(pieces))
            return
    raise broke_off()
