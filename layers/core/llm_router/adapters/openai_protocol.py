"""The wire format of OpenAI's chat completions, as far as compatible servers share it, and its meaning to the router.

https://platform.openai.com/docs/api-reference/chat, https://platform.openai.com/docs/guides/error-codes
"""

import re
from http import HTTPStatus
from typing import Any, Final, Literal

import httpx
import msgspec
from msgspec import Struct

from llm_router.adapters.chat_messages import chat_messages
from llm_router.errors import (
    ModelError,
    ModelNotFoundError,
    ModelUnavailableError,
    PromptTooLongError,
    ResponseFormatError,
)
from llm_router.fallback import CLOUD_PREFIX
from llm_router.metering import estimated_tokens
from llm_router.models import Generation, ModelCall

TOO_LONG: Final = ("context_length_exceeded", "context length", "context size")
"""What OpenAI, vLLM, llama.cpp and gateways say of a prompt that does not fit."""

TokenLimitField = Literal["max_tokens", "max_completion_tokens"]
"""How a server calls the bound of the answer: every compatible one knows the first, OpenAI's newer models only the
second."""

_AS_IF_GONE: Final = {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS}
_SNAPSHOT = re.compile(r"-[\d-]+")


class Delta(Struct):
    """What one chunk adds."""

    content: str | None = None


class Choice(Struct):
    """One of the answers asked for; the router asks for one."""

    delta: Delta
    finish_reason: str | None = None


class PromptTokens(Struct):
    """What the tokens of a prompt were."""

    cached_tokens: int | None = None
    """How many of them the server still knew, and bills at a lower price."""


class Usage(Struct):
    """The tokens of a whole exchange."""

    prompt_tokens: int
    completion_tokens: int
    prompt_tokens_details: PromptTokens | None = None

    @property
    def cached_tokens(self) -> int:
        """Return how many tokens of the prompt are billed at the lower price; none where the server does not tell."""
        told = self.prompt_tokens_details.cached_tokens if self.prompt_tokens_details else None
        return max(0, min(told or 0, self.prompt_tokens))

    def can_be_of(self, text: str) -> bool:
        """Whether an exchange that ended in this text can have had so many tokens."""
        return self.prompt_tokens > 0 and self.completion_tokens >= bool(text)


class Chunk(Struct):
    """One event of a streamed answer; the one with `usage` has no choices."""

    model: str = ""
    choices: list[Choice] | None = None
    usage: Usage | None = None
    error: Any = None


def chat_body(call: ModelCall, model: str, limit_field: TokenLimitField) -> dict[str, Any]:
    """Return the body of `POST /chat/completions`; `model` answers, whatever model the call names."""
    messages = chat_messages(call)
    body: dict[str, Any] = {
        "model": model,
        "messages": messages,
        "stream": True,
        "stream_options": {"include_usage": True},
        limit_field: call.max_tokens,
    }
    if call.temperature is not None:
        body["temperature"] = call.temperature
    sampling: dict[str, Any] = msgspec.to_builtins(call.sampling)  # its fields have the names of this interface
    return body | sampling


def estimated_usage(call: ModelCall, text: str) -> Usage:
    """Return about how many tokens an exchange had whose server did not tell: nothing would be a lie, and free."""
    return Usage(prompt_tokens=estimated_tokens(call.prompt_chars), completion_tokens=estimated_tokens(len(text)))


def generation(
    model: str, answered_by: str, text: str, done_reason: str, usage: Usage, *, estimated: bool
) -> Generation:
    """Return a finished answer; durations are zero, for it took no time of the box.

    A dated snapshot of `model` (`gpt-4o-mini-2024-07-18`) counts as the model itself.
    """
    is_ours = not answered_by or answered_by == model
    is_snapshot = answered_by.startswith(model) and _SNAPSHOT.fullmatch(answered_by.removeprefix(model))
    return Generation(
        text=text,
        model=CLOUD_PREFIX + (model if is_ours or is_snapshot else answered_by),
        done_reason=done_reason,
        input_tokens=usage.prompt_tokens,
        output_tokens=usage.completion_tokens,
        cached_input_tokens=usage.cached_tokens,
        tokens_estimated=estimated,
    )


def refusal(response: httpx.Response) -> ModelError:
    """Return the error that an answer without success amounts to.

    The server's own words are read and dropped: OpenAI's repeat parts of a wrong key, others the prompt.
    """
    status = response.status_code
    if status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE or (
        status == HTTPStatus.BAD_REQUEST and any(phrase in response.text for phrase in TOO_LONG)
    ):
        error: ModelError = PromptTooLongError("The prompt does not fit the cloud model's context.")
    elif status == HTTPStatus.BAD_REQUEST and "response_format" in response.text:
        error = ResponseFormatError("The cloud API cannot hold the model to this response format.")
    elif status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
        error = ModelError("The cloud API does not accept the router's key.")
    elif status == HTTPStatus.NOT_FOUND:
        error = ModelNotFoundError("The cloud API does not have the model.")
    elif status in _AS_IF_GONE or not response.is_client_error:
        error = ModelUnavailableError("The cloud API is busy." if status in _AS_IF_GONE else "The cloud API failed.")
        error.retry_after_ms = _retry_after_ms(response)
    else:
        error = ModelError("The cloud API rejected the request.")
    error.add_note(f"cloud API, status {status}")
    return error


def _retry_after_ms(response: httpx.Response) -> int | None:
    seconds = response.headers.get("retry-after", "")
    return int(seconds) * 1000 if seconds.isascii() and seconds.isdigit() else None
