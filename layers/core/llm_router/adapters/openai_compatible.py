"""Speaks to a cloud API, or any other server, that is compatible with OpenAI's chat completions."""

from collections.abc import Generator, Iterator
from typing import Final

import httpx
import msgspec

from llm_router.adapters.model_http import Key, ModelServer, broke_off
from llm_router.adapters.openai_protocol import Chunk, TokenLimitField, chat_body, estimated_usage, generation, refusal
from llm_router.errors import ModelUnavailableError
from llm_router.models import Generation, ModelCall
from llm_router.ports import Clock

CONNECT_SECONDS: Final = 5.0
SILENCE_SECONDS: Final = 120.0
"""A model that thinks before it speaks is silent for a minute or more."""

_DATA: Final = b"data:"
_END: Final = b"[DONE]"


class OpenAICompatibleClient:
    """One model of an OpenAI-compatible API; implements `LanguageModel`.

    It answers every call with its own model, whatever model the call names: it is what a call falls back to.

    Args:
        base_url: Up to the version, e.g. `https://api.openai.com/v1`.
        api_key: Returns the key, and is expected to remember it.
        model: Name of the model, as the API knows it.
        clock: Milliseconds since the epoch.
        transport: Instead of the network, in tests.
        limit_field: How the API calls the bound of the answer's length.
        silence_s: Longest silence of a server that is at work.
    """

    def __init__(
        self,
        base_url: str,
        *,
        api_key: Key,
        model: str,
        clock: Clock,
        transport: httpx.BaseTransport | None = None,
        limit_field: TokenLimitField = "max_tokens",
        silence_s: float = SILENCE_SECONDS,
    ) -> None:
        self._model = model
        self._limit_field = limit_field
        self._server = ModelServer(
            base_url,
            name="cloud API",
            transport=transport,
            clock=clock,
            connect_s=CONNECT_SECONDS,
            silence_s=silence_s,
            refusal=refusal,
            key=api_key,
        )

    def generate(self, call: ModelCall, *, deadline_ms: int) -> Generator[str | Generation, None, None]:
        """Yield pieces of text as they come and, last, the whole generation; see `LanguageModel`."""
        body = chat_body(call, self._model, self._limit_field)
        with self._server.ask("/chat/completions", body, deadline_ms=deadline_ms) as lines:
            yield from self._read(call, _chunks(lines))

    def _read(self, call: ModelCall, chunks: Iterator[Chunk]) -> Iterator[str | Generation]:
        pieces = []
        answered_by = done_reason = ""
        usage = None
        for chunk in chunks:
            answered_by = chunk.model or answered_by
            usage = chunk.usage or usage
            for choice in chunk.choices or ():
                done_reason = choice.finish_reason or done_reason
                if choice.delta.content:
                    pieces.append(choice.delta.content)
                    yield choice.delta.content
        if not done_reason:
            raise broke_off()
        text = "".join(pieces)
        told = usage if usage and usage.can_be_of(text) else estimated_usage(call, text)
        yield generation(self._model, answered_by, text, done_reason, told, estimated=told is not usage)


def _chunks(lines: Iterator[bytes]) -> Iterator[Chunk]:
    """Read server-sent events: one JSON document in each `data` line; comments keep the connection alive."""
    for line in lines:
        data = line.removeprefix(_DATA).strip()
        if data == _END:
            return
        if line.startswith(_DATA):
            chunk = msgspec.json.decode(data, type=Chunk)
            if chunk.error:
                raise ModelUnavailableError("The cloud API failed in the middle of the answer.")
            yield chunk
