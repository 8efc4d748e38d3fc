"""Every error the router raises on purpose.

RouterError
├── InvalidRequestError          the caller's input breaks a rule; names the field
│   ├── MalformedBodyError       the body is not JSON in UTF-8
│   ├── UnsupportedParameterError  the caller wants something that the router cannot do
│   ├── UnknownModelError        no model of that name is configured
│   ├── RequestTooLargeError     the body is larger than the router reads
│   ├── UnsupportedMediaTypeError  the body is declared as something other than JSON
│   └── NotAcceptableError       the caller accepts none of the forms there are
├── UnauthorizedError            nobody knows who asks
├── ForbiddenError               the caller is known and may not do this
├── RateLimitedError             the caller's key has used up what it may for now; names the limit
│   └── BudgetExceededError      what is left of the month's budget does not cover the request
├── NotFoundError                the id is unknown, expired or somebody else's
├── ConflictError                another writer was there first, or the state forbids the change
├── ModelError                   the model gave no usable answer
│   ├── ModelUnavailableError    the box cannot be reached, is busy, or broke off
│   ├── ModelNotFoundError       the box does not have the model
│   ├── PromptTooLongError       the prompt does not fit the model's context
│   ├── ResponseFormatError      the model cannot be held to the format that the caller wants
│   └── ModelTimeoutError        the answer did not come before the deadline
├── StoreError                   a table, an index or a queue failed
├── EmbeddingError               the embedding model is missing or broken
└── ConfigError                  the environment is wrong; lists every bad name

`code` is the stable word a client sees; the message is safe to show.
"""

from collections.abc import Sequence
from typing import ClassVar


class RouterError(Exception):
    """Base of every error the router raises on purpose."""

    code: ClassVar[str] = "internal_error"


class InvalidRequestError(RouterError):
    """The caller's input breaks a rule."""

    code = "invalid_request"

    def __init__(self, message: str, *, field: str | None = None) -> None:
        super().__init__(message)
        self.field = field


class MalformedBodyError(InvalidRequestError):
    """The body is not JSON in UTF-8."""

    code = "malformed_body"


class UnsupportedParameterError(InvalidRequestError):
    """The caller wants something that the router cannot do."""

    code = "unsupported_parameter"


class UnknownModelError(InvalidRequestError):
    """No model of that name is configured."""

    code = "unknown_model"


class UnsupportedMediaTypeError(InvalidRequestError):
    """The body is declared as something other than JSON."""

    code = "unsupported_media_type"


class NotAcceptableError(InvalidRequestError):
    """The caller accepts none of the forms there are."""

    code = "not_acceptable"


class RequestTooLargeError(InvalidRequestError):
    """The body is larger than the router reads."""

    code = "request_too_large"


class UnauthorizedError(RouterError):
    """Nobody knows who asks: the request came past the authorizer."""

    code = "unauthorized"


class ForbiddenError(RouterError):
    """The caller is known and may not do this."""

    code = "forbidden"

    def __init__(self, message: str, *, field: str | None = None) -> None:
        super().__init__(message)
        self.field = field


class RateLimitedError(RouterError):
    """The caller's key has used up what it may for now."""

    code = "rate_limited"

    def __init__(self, message: str, *, field: str, retry_after_ms: int | None = None) -> None:
        """Name the limit, and say when to ask again; None where that would not help."""
        super().__init__(message)
        self.field = field
        self.retry_after_ms = retry_after_ms


class BudgetExceededError(RateLimitedError):
    """What is left of the month's budget does not cover the request."""

    code = "budget_exceeded"


class NotFoundError(RouterError):
    """The id is unknown, expired or somebody else's; the three look the same to a caller."""

    code = "not_found"


class ConflictError(RouterError):
    """Another writer was there first, or the state forbids the change."""

    code = "conflict"

    def __init__(self, message: str, *, field: str | None = None) -> None:
        super().__init__(message)
        self.field = field


class ModelError(RouterError):
    """The model gave no usable answer."""

    code = "model_error"


class ModelUnavailableError(ModelError):
    """The box cannot be reached, is busy, or broke off in the middle of an answer."""

    code = "model_unavailable"
    retry_after_ms: int | None = None
    """How long the server, or the circuit breaker before it, asks to be left alone; None when it does not say."""


class ModelNotFoundError(ModelError):
    """The box does not have the model."""

    code = "model_not_found"


class PromptTooLongError(ModelError):
    """The prompt does not fit the model's context."""

    code = "prompt_too_long"


class ResponseFormatError(ModelError):
    """The model cannot be held to the format that the caller wants."""

    code = "response_format_refused"


class ModelTimeoutError(ModelError):
    """The answer did not come before the deadline."""

    code = "model_timeout"


class StoreError(RouterError):
    """A table, an index or a queue failed."""

    code = "store_error"


class EmbeddingError(RouterError):
    """The embedding model is missing or broken."""

    code = "embedding_error"


class ConfigError(RouterError):
    """The environment is wrong."""

    code = "config_error"

    def __init__(self, problems: Sequence[str]) -> None:
        """Take one sentence per bad name, so that one deploy shows them all."""
        super().__init__("; ".join(problems))
        self.problems = tuple(problems)
