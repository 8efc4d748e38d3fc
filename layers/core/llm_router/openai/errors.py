"""The router's errors in OpenAI's shape, with the statuses and codes that its clients expect.

https://platform.openai.com/docs/guides/error-codes
"""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

from msgspec import Struct

from llm_router import errors

PREFIX: Final = "/v1/"
"""Paths whose errors have this shape."""
_AS: Final[Mapping[str, tuple[int, str]]] = {
    errors.InvalidRequestError.code: (400, "invalid_value"),
    errors.UnsupportedParameterError.code: (400, "unsupported_parameter"),
    errors.PromptTooLongError.code: (400, "context_length_exceeded"),
    errors.ResponseFormatError.code: (400, "invalid_schema"),
    errors.UnknownModelError.code: (404, "model_not_found"),
    errors.ModelNotFoundError.code: (503, "model_missing"),
    errors.ModelTimeoutError.code: (504, "timeout"),
}
"""Status and code by the router's own code; the others keep theirs."""
_RESPONSES: Final = f"{PREFIX}responses"
_PARAMETERS: Final[Mapping[str, str | None]] = {"force_model": "model", "message": "messages", "body": None}
"""What the caller calls a field of the router's own requests."""
_LIMIT: Final = ("requests", "rate_limit_exceeded")
_LIMITS: Final[Mapping[str | None, tuple[str, str]]] = {
    "tokens_per_minute": ("tokens", "rate_limit_exceeded"),
    "monthly_budget_nano_usd": ("insufficient_quota", "insufficient_quota"),
}
"""Type and code of what a limit of a key refuses."""


class OpenAIErrorDetail(Struct, frozen=True, kw_only=True):
    """What was wrong: a sentence, a kind, the offending parameter where there is one, and a stable code."""

    message: str
    type: str
    param: str | None
    code: str


class OpenAIErrorBody(Struct, frozen=True):
    """The one shape of every error under `/v1`."""

    error: OpenAIErrorDetail


def openai_error(path: str, status: int, code: str, message: str, field: str | None) -> tuple[int, OpenAIErrorBody]:
    """Return status and body for what the router's own interface would answer with these at a path."""
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        kind, code = _LIMITS.get(field, _LIMIT)
        return status, OpenAIErrorBody(OpenAIErrorDetail(message=message, type=kind, param=None, code=code))
    is_told = code == errors.PromptTooLongError.code
    param = _parameter(path, "message" if is_told else field)
    if field is not None and not is_told:
        message = f"`{param}` {message}" if param else f"The body {message}"
    status, code = _AS.get(code, (status, code))
    return status, OpenAIErrorBody(OpenAIErrorDetail(message=message, type=_type(status), param=param, code=code))


def _parameter(path: str, field: str | None) -> str | None:
    if field is None:
        return None
    return "input" if field == "message" and path.startswith(_RESPONSES) else _PARAMETERS.get(field, field)


def _type(status: int) -> str:
    return "server_error" if status >= HTTPStatus.INTERNAL_SERVER_ERROR else "invalid_request_error"
