"""Answers as OpenAI's chat completions: whole, or as the server-sent events of a stream."""

from collections.abc import Iterator
from typing import Final

import msgspec
from msgspec import UNSET
from msgspec.structs import replace

from llm_router.box import answer_limit_tokens, context_tokens
from llm_router.models import Answer, Job
from llm_router.openai.completion_objects import (
    ChatCompletion,
    ChatCompletionChunk,
    ChunkChoice,
    ChunkDelta,
    CompletionChoice,
    CompletionMessage,
    CompletionUsage,
    FinishReason,
    PromptTokensDetails,
)
from llm_router.prompt import sha256_hex

PIECE_CHARS: Final = 256
"""How much of the answer one event of a stream carries."""
_FINGERPRINT_CHARS: Final = 10
# Ends of lines for Unicode, if not for event streams: clients that split lines as Python does would tear an event.
_LINE_ENDS: Final = {code: f"\\u{code:04x}" for code in (0x85, 0x2028, 0x2029)}


def completion_of(job: Job, answer: Answer) -> ChatCompletion:
    """Return an answered job as a chat completion."""
    message = CompletionMessage(content=answer.text)
    return ChatCompletion(
        id=completion_id(job),
        created=job.created_at_ms // 1000,
        model=answer.model,
        choices=(CompletionChoice(message=message, finish_reason=_finish_reason(answer)),),
        usage=_usage(answer),
        system_fingerprint=_fingerprint(answer.model),
    )


def event_stream(job: Job, answer: Answer, *, includes_usage: bool) -> str:
    """Return an answered job as the whole text of its stream, from the role to the end mark."""
    chunks = _chunks(job, answer, includes_usage=includes_usage)
    events = [msgspec.json.encode(chunk).decode().translate(_LINE_ENDS) for chunk in chunks]
    return "".join(f"data: {event}\n\n" for event in [*events, "[DONE]"])


def completion_id(job: Job) -> str:
    """Return the id that a job's completion has."""
    return f"chatcmpl-{job.job_id.removeprefix('req_')}"


def _chunks(job: Job, answer: Answer, *, includes_usage: bool) -> Iterator[ChatCompletionChunk]:
    plain = ChatCompletionChunk(
        id=completion_id(job),
        created=job.created_at_ms // 1000,
        model=answer.model,
        choices=(),
        usage=None if includes_usage else UNSET,
        system_fingerprint=_fingerprint(answer.model),
    )
    pieces = [answer.text[at : at + PIECE_CHARS] for at in range(0, len(answer.text), PIECE_CHARS)]
    for delta in (ChunkDelta(role="assistant", content=""), *(ChunkDelta(content=piece) for piece in pieces)):
        yield replace(plain, choices=(ChunkChoice(delta=delta),))
    last = ChunkChoice(delta=ChunkDelta(), finish_reason=_finish_reason(answer))
    yield replace(plain, choices=(last,))
    if includes_usage:
        yield replace(plain, usage=_usage(answer))


def _finish_reason(answer: Answer) -> FinishReason:
    match answer.done_reason:
        case "length" | "content_filter" as reason:
            return reason
        case _:
            return "stop"


def _usage(answer: Answer) -> CompletionUsage:
    return CompletionUsage(
        prompt_tokens=answer.input_tokens,
        completion_tokens=answer.output_tokens,
        total_tokens=answer.input_tokens + answer.output_tokens,
        prompt_tokens_details=PromptTokensDetails(cached_tokens=answer.cached_input_tokens),
    )


def _fingerprint(model: str) -> str:
    loaded = f"{model}/{context_tokens(model)}/{answer_limit_tokens(model)}"
    return f"fp_{sha256_hex(loaded.encode())[:_FINGERPRINT_CHARS]}"
