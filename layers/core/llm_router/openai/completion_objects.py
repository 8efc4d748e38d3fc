"""The objects of OpenAI's chat completions: a whole answer, and the chunks of a stream.

https://platform.openai.com/docs/api-reference/chat/object
"""

from typing import Literal

from msgspec import UNSET, Struct, UnsetType

FinishReason = Literal["stop", "length", "content_filter"]


class PromptTokensDetails(Struct, frozen=True, kw_only=True):
    """What the tokens of the prompt were."""

    cached_tokens: int
    """How many of them the cloud still knew from before."""


class CompletionUsage(Struct, frozen=True, kw_only=True):
    """Tokens of the generation; an answer from the router's cache shows those it was generated with, and is free."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: PromptTokensDetails


class CompletionMessage(Struct, frozen=True, kw_only=True):
    """What the model said."""

    role: Literal["assistant"] = "assistant"
    content: str
    refusal: None = None


class CompletionChoice(Struct, frozen=True, kw_only=True):
    """The one answer."""

    index: int = 0
    message: CompletionMessage
    logprobs: None = None
    finish_reason: FinishReason


class ChatCompletion(Struct, frozen=True, kw_only=True):
    """A finished answer."""

    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int
    """Epoch seconds of the request's arrival."""
    model: str
    """The one that answered, with its provider."""
    choices: tuple[CompletionChoice, ...]
    usage: CompletionUsage
    system_fingerprint: str
    """The same for the same model with the same load options."""


class ChunkDelta(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What one event adds."""

    role: str | None = None
    content: str | None = None


class ChunkChoice(Struct, frozen=True, kw_only=True):
    """The one answer, as far as an event has it."""

    index: int = 0
    delta: ChunkDelta
    logprobs: None = None
    finish_reason: FinishReason | None = None


class ChatCompletionChunk(Struct, frozen=True, kw_only=True):
    """One event of a stream."""

    id: str
    object: Literal["chat.completion.chunk"] = "chat.completion.chunk"
    created: int
    model: str
    choices: tuple[ChunkChoice, ...]
    usage: CompletionUsage | UnsetType | None = UNSET
    """Null but in the last event; absent where the caller did not ask for it."""
    system_fingerprint: str
