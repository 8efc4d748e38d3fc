"""One question to the stand-in for OpenAI's API: answering it, or misbehaving as told."""

import asyncio
import time
from collections.abc import Callable
from enum import StrEnum
from typing import Any, Final

import msgspec
from msgspec import Struct, field
from starlette.types import Send

from infra.local.exchange import SUFFIX, AbortableResponse, Pace
from infra.local.ollama_answers import compose, count_prompt_tokens, tokens

_OLLAMAS_NOTE: Final = "(This is a stand-in for Ollama, no language model.)"
_NOTE: Final = "(This is a stand-in for a cloud API, no language model.)"


class Fault(StrEnum):
    """Ways to go wrong; the last two strike after `Behaviour.after_tokens` tokens."""

    RATE_LIMITED = "rate_limited"
    """429, with the advice to come back after a second."""
    FAILURE = "failure"
    """500."""
    CUT = "cut"
    """The stream ends properly, but without its last events."""
    STALL = "stall"
    """No byte any more, until the client goes away."""


class Behaviour(Pace, frozen=True, kw_only=True):
    """How the stand-in treats a question; without arguments, well and at once."""

    fault: Fault | None = None


class Message(Struct):
    """One message of a conversation."""

    role: str
    content: str


class StreamOptions(Struct):
    """What else a stream is to carry."""

    include_usage: bool = False


class Question(Struct):
    """Body of `POST /v1/chat/completions`."""

    model: str
    messages: list[Message]
    stream: bool = False
    stream_options: StreamOptions = field(default_factory=StreamOptions)
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    temperature: float | None = None

    @property
    def contents(self) -> list[str]:
        """The texts the model reads, in order."""
        return [each.content for each in self.messages]


class Exchange(AbortableResponse[Question]):
    """Answers one question as a cloud API does."""

    def __init__(self, question: Question, behaviour: Behaviour, on_abort: Callable[[Question], None]) -> None:
        super().__init__(question, on_abort)
        self.behaviour = behaviour

    async def answer(self, send: Send) -> None:
        """Answer as a stream of server-sent events."""
        headers = [(b"content-type", b"text/event-stream")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        said = tokens(compose(self.question.model, self.question.contents).replace(_OLLAMAS_NOTE, _NOTE))
        spoken = said[: self.question.max_tokens or self.question.max_completion_tokens]
        fault = self.behaviour.fault
        for token in spoken[: self.behaviour.after_tokens] if fault else spoken:
            await asyncio.sleep(self.behaviour.token_delay_s)
            await self._event(send, choices=[_choice({"content": token}, None)])
        if fault is Fault.STALL:
            await asyncio.Event().wait()
        if fault is None:
            await self._finish(send, len(spoken), cut=len(spoken) < len(said))
        await send({"type": "http.response.body", "body": b""})

    async def _finish(self, send: Send, output_tokens: int, *, cut: bool) -> None:
        await self._event(send, choices=[_choice({}, "length" if cut else "stop")])
        if self.question.stream_options.include_usage:
            prompt_tokens = count_prompt_tokens(self.question.contents)
            usage = {
                "prompt_tokens": prompt_tokens,
                "completion_tokens": output_tokens,
                "total_tokens": prompt_tokens + output_tokens,
            }
            await self._event(send, choices=[], usage=usage)
        await send({"type": "http.response.body", "body": b"data: [DONE]\n\n", "more_body": True})

    async def _event(self, send: Send, **fields: Any) -> None:
        chunk = {
            "id": "chatcmpl-stand-in",
            "object": "chat.completion.chunk",
            "created": int(time.time()),
            "model": self.question.model + SUFFIX,
        }
        body = b"data: " + msgspec.json.encode(chunk | fields) + b"\n\n"
        await send({"type": "http.response.body", "body": body, "more_body": True})


def _choice(delta: dict[str, str], finish_reason: str | None) -> dict[str, Any]:
    return {"index": 0, "delta": delta, "finish_reason": finish_reason}
