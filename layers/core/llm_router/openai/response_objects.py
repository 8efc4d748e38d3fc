"""The objects of OpenAI's Responses interface.

https://platform.openai.com/docs/api-reference/responses/object
"""

from typing import Any, Literal

from msgspec import Struct

ResponseStatus = Literal["queued", "in_progress", "completed", "failed", "cancelled", "incomplete"]
FailureCode = Literal["server_error", "invalid_prompt"]


class OutputText(Struct, frozen=True, kw_only=True):
    """The text of the answer."""

    type: Literal["output_text"] = "output_text"
    text: str
    annotations: tuple[()] = ()
    logprobs: tuple[()] = ()


class OutputMessage(Struct, frozen=True, kw_only=True):
    """The one answer."""

    id: str
    type: Literal["message"] = "message"
    role: Literal["assistant"] = "assistant"
    status: Literal["completed", "incomplete"]
    content: tuple[OutputText, ...]


class ResponseFailure(Struct, frozen=True, kw_only=True):
    """Why there is no answer."""

    code: FailureCode
    message: str


class IncompleteDetails(Struct, frozen=True, kw_only=True):
    """Why the answer is cut."""

    reason: Literal["max_output_tokens"] = "max_output_tokens"


class InputTokensDetails(Struct, frozen=True, kw_only=True):
    """What the tokens of the prompt were."""

    cached_tokens: int


class OutputTokensDetails(Struct, frozen=True, kw_only=True):
    """What the tokens of the answer were."""

    reasoning_tokens: int = 0


class ResponseUsage(Struct, frozen=True, kw_only=True):
    """Tokens of the generation; an answer from the router's cache shows those it was generated with, and is free."""

    input_tokens: int
    input_tokens_details: InputTokensDetails
    output_tokens: int
    output_tokens_details: OutputTokensDetails = OutputTokensDetails()
    total_tokens: int


class ResponseText(Struct, frozen=True, kw_only=True):
    """The form of the answer."""

    format: dict[str, Any]


class ResponseObject(Struct, frozen=True, kw_only=True):
    """A request, and its answer when it has one."""

    id: str
    object: Literal["response"] = "response"
    created_at: int
    """Epoch seconds of the request's arrival."""
    completed_at: int | None
    """Epoch seconds; null unless the answer is whole."""
    status: ResponseStatus
    error: ResponseFailure | None
    incomplete_details: IncompleteDetails | None
    instructions: str | None
    max_output_tokens: int
    metadata: dict[str, str]
    model: str
    """The one that answered, or is meant to, with its provider."""
    output: tuple[OutputMessage, ...]
    parallel_tool_calls: bool = False
    previous_response_id: None = None
    store: bool = True
    """Kept for a day."""
    temperature: float | None
    text: ResponseText
    tool_choice: Literal["none"] = "none"
    tools: tuple[()] = ()
    top_p: float | None
    truncation: Literal["disabled"] = "disabled"
    usage: ResponseUsage | None
