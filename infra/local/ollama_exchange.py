"""One question to the Ollama stand-in: answering it, or misbehaving as told."""

import asyncio
from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Any

import msgspec
from starlette.types import Send

from infra.local.exchange import SUFFIX, AbortableResponse, Pace
from infra.local.ollama_answers import compose, count_prompt_tokens, in_form, tokens, until
from infra.local.ollama_memory import NS_PER_S, Memory, ModelCard
from infra.local.ollama_shapes import BUSY, CRASHED, NO_GRAMMAR, TOO_LONG, Question, Shape, answer_line


class Fault(StrEnum):
    """Ways to go wrong; all but the first two strike after `Behaviour.after_tokens` tokens."""

    BUSY = "busy"
    """503, as when too many requests wait."""
    FAILURE = "failure"
    """500, as when the runner ends before it has said anything."""
    ERROR_LINE = "error_line"
    """A line `{"error": ...}`, as when the runner ends in the middle."""
    CUT = "cut"
    """The stream ends properly, but without its last line."""
    RESET = "reset"
    """The connection is closed in the middle of the stream."""
    GARBAGE = "garbage"
    """Bytes that are no JSON."""
    STALL = "stall"
    """No byte any more, until the client goes away."""


class Behaviour(Pace, frozen=True, kw_only=True):
    """How the stand-in treats a question; without arguments, well and at once."""

    fault: Fault | None = None
    load_delay_s: float = 0.0
    """How long the caller waits when the model has to be loaded."""
    realtime: float = 0.0
    """Share of the reported durations that the caller also has to wait; 1.0 is the speed of a small machine."""

    async def wait(self, delay_s: float, reported_ns: int) -> None:
        """Let the caller wait for something that is reported to take `reported_ns`."""
        # Even no time at all lets the loop notice a client that has gone.
        await asyncio.sleep(delay_s + self.realtime * reported_ns / NS_PER_S)


class Exchange(AbortableResponse[Question]):
    """Answers one question as Ollama does."""

    def __init__(
        self,
        question: Question,
        *,
        shape: Shape,
        card: ModelCard,
        behaviour: Behaviour,
        memory: Memory,
        slots: asyncio.Semaphore,
        on_abort: Callable[[Question], None],
    ) -> None:
        super().__init__(question, on_abort)
        self.shape = shape
        self.card = card
        self.behaviour = behaviour
        self.memory = memory
        self.slots = slots

    async def answer(self, send: Send) -> None:
        """Answer as Ollama does, one question at a time and a few of them waiting."""
        wire = _Wire(send)
        if self.behaviour.fault is Fault.BUSY:
            return await wire.refuse(503, BUSY)
        if self.behaviour.fault is Fault.FAILURE:
            return await wire.refuse(500, CRASHED)
        async with self.slots:
            if self.question.keep_alive_s == 0 and not self.question.contents:
                self.memory.unload(self.card)
                return await self._finish(wire, [], {"done_reason": "unload"})
            load_ns, context = self.memory.use(
                self.card,
                self.question.options,
                shift=self.question.shift,
                keep_alive_s=self.question.keep_alive_s,
            )
            await self.behaviour.wait(self.behaviour.load_delay_s if load_ns else 0.0, load_ns)
            if not self.question.contents:
                return await self._finish(wire, [], {"done_reason": "load"})
            prompt_tokens = count_prompt_tokens(self.question.contents)
            is_too_long = prompt_tokens > context and not self.question.truncate
            if is_too_long or self.question.is_format_unusable:
                return await (wire.refuse(400, TOO_LONG) if is_too_long else wire.refuse(500, NO_GRAMMAR))
            return await self._speak(wire, load_ns, min(prompt_tokens, context))

    async def _speak(self, wire: "_Wire", load_ns: int, prompt_tokens: int) -> None:
        text = compose(self.card.name, self.question.contents)
        said = tokens(until(in_form(text, self.question.format), self.question.stops))
        spoken = said[: self.question.max_tokens]
        prompt_ns = prompt_tokens * NS_PER_S // self.card.prompt_tokens_per_s
        token_ns = NS_PER_S // self.card.output_tokens_per_s
        await self.behaviour.wait(0.0, prompt_ns)
        for token in spoken[: self.behaviour.after_tokens] if self.behaviour.fault else spoken:
            await self.behaviour.wait(self.behaviour.token_delay_s, token_ns)
            if self.question.stream:
                await wire.line(answer_line(self.shape, self.question.model + SUFFIX, token))
        if self.behaviour.fault:
            return await wire.fail(self.behaviour.fault)
        figures = {
            "done_reason": "stop" if len(spoken) == len(said) else "length",
            "total_duration": load_ns + prompt_ns + len(spoken) * token_ns,
            "load_duration": load_ns,
            "prompt_eval_count": prompt_tokens,
            "prompt_eval_duration": prompt_ns,
            "eval_count": len(spoken),
            "eval_duration": len(spoken) * token_ns,
        }
        return await self._finish(wire, spoken, figures)

    async def _finish(self, wire: "_Wire", spoken: Sequence[str], figures: dict[str, Any]) -> None:
        text = "" if self.question.stream else "".join(spoken)
        last = answer_line(self.shape, self.question.model + SUFFIX, text, figures)
        if self.question.stream:
            await wire.line(last)
            await wire.end()
        else:
            await wire.json(200, last)


class _Wire:
    """Writes the answer; as in Ollama, the status goes out with the first object."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._started = False

    async def line(self, document: dict[str, Any]) -> None:
        await self._write(msgspec.json.encode(document) + b"\n")

    async def end(self) -> None:
        await self._write(b"", more=False)

    async def json(self, status: int, document: dict[str, Any]) -> None:
        await self._write(msgspec.json.encode(document), status=status, media_type=b"application/json", more=False)

    async def refuse(self, status: int, words: str) -> None:
        await self.json(status, {"error": words})

    async def fail(self, fault: Fault) -> None:
        match fault:
            case Fault.STALL:
                await asyncio.Event().wait()
            case Fault.RESET:
                await self._write(b"")  # an answer that is begun and not ended makes uvicorn close the connection
            case Fault.ERROR_LINE if not self._started:
                await self.refuse(500, CRASHED)
            case _:
                if fault is Fault.ERROR_LINE:
                    await self.line({"error": CRASHED})
                if fault is Fault.GARBAGE:
                    await self._write(b"\x00\xff<html>\n")
                await self.end()

    async def _write(
        self, body: bytes, *, status: int = 200, media_type: bytes = b"application/x-ndjson", more: bool = True
    ) -> None:
        if not self._started:
            self._started = True
            headers = [(b"content-type", media_type)]
            await self._send({"type": "http.response.start", "status": status, "headers": headers})
        await self._send({"type": "http.response.body", "body": body, "more_body": more})
