"""One route of the API as a reader sees it."""

from typing import Any, Final

from msgspec import Struct

from llm_router.responses import ErrorBody, GatewayMessage

IDEMPOTENCY_KEY: Final = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "The same key with the same body is the same request, for 24 hours; with another body it is a 409.",
    "schema": {"type": "string", "pattern": "^[!-~]{1,255}$"},
}

LIMITED: Final = "The key has used up what it may for now; `Retry-After` says when there is more."


class Operation(Struct, frozen=True, kw_only=True):
    """One route as a reader sees it."""

    method: str
    path: str
    summary: str
    body: type | None = None
    example: dict[str, Any] | None = None
    """A body to try."""
    body_text_types: tuple[str, ...] = ()
    """In which a caller can send the same as text."""
    parameters: tuple[dict[str, Any], ...] = ()
    responses: dict[int, tuple[Any, ...]]
    """By status; several where the body depends on how far a request has come, and none where there is no body."""
    media_type: str = "application/json"
    """Of the responses; errors are JSON everywhere."""
    text_types: tuple[str, ...] = ()
    """In which a caller can have the same as text."""
    errors: tuple[int, ...] = ()
    error_body: type = ErrorBody
    meanings: dict[int, str] = {}
    """Of statuses that mean something of their own here."""
    is_open: bool = False
    """Whether it needs no key."""
    is_admin: bool = False
    """Whether it needs a key with the role admin."""

    @property
    def answers(self) -> dict[int, tuple[Any, ...]]:
        """Return the bodies by status, errors and what the gateway answers to a bad key with them."""
        refusals = {} if self.is_open else {401: (GatewayMessage,), 403: (GatewayMessage, self.error_body)}
        return refusals | self.responses | dict.fromkeys(self.errors, (self.error_body,))
