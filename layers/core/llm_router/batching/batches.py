"""Batches: many prompts that are handed over together, and answered when the box has time.

What came of a line is found by its number, in one read and without an index: the id of a line's request follows from
the batch and the number. A line that no request can be made of leaves its reason under that id instead, so that it has
either, and whoever writes it a second time changes nothing.
"""

import re
import uuid
from typing import Annotated, Final

from msgspec import Meta, Struct

from llm_router.access.callers import Caller
from llm_router.access.keys import Limits, Tenant
from llm_router.errors import InvalidRequestError
from llm_router.models import Delivery, Job
from llm_router.prompt import sha256_hex
from llm_router.request_bodies import ChatRequest

BATCH_TTL_SECONDS: Final = 14 * 24 * 3600
"""How long a batch, its lines and their answers are kept; as long as a queue can keep a message."""
MAX_LINE: Final = 999_999
"""No batch has a line of a higher number."""
CustomId = Annotated[
    str, Meta(pattern=r"^[!-~]{1,128}$(?!\n)", description="What you call the request; it comes back with the answer.")
]
_BATCH_ID: Final = re.compile(r"batch_[0-9a-f]{32}")


def new_batch_id() -> str:
    """Return an id that cannot be guessed."""
    return f"batch_{uuid.uuid4().hex}"


def is_batch_id(text: str) -> bool:
    """Whether `new_batch_id` could have made it."""
    return _BATCH_ID.fullmatch(text) is not None


def line_job_id(batch_id: str, line: int) -> str:
    """Return the id of the request that a line becomes; `line` is its place among the lines that are not blank."""
    return derived_job_id(batch_id, str(line))


def derived_job_id(*origins: str) -> str:
    """Return the id of the request that comes from these texts: the same ones give the same id, and look like any."""
    return f"req_{sha256_hex('/'.join(origins).encode())[:32]}"


class Batch(Struct, frozen=True, kw_only=True):
    """A batch and how far its input has been read; what came of its lines is counted elsewhere."""

    batch_id: str
    tenant: str
    created_at_ms: int
    allowed_models: tuple[str, ...] = ()
    """Those that the key may have which handed it in; all when empty."""
    key_id: str = ""
    limits: Limits = Limits()
    """Of that key, when it handed the batch in."""
    lines: int = 0
    """How many lines have been read; blank ones do not count."""
    invalid: int = 0
    """How many of them are no valid requests."""
    refused: int = 0
    """How many of the valid ones could not be asked, for a reason that only the router knew."""
    input_complete: bool = False
    """Whether every line has been read, and sent on or refused."""
    input_error: str | None = None
    """Why reading stopped before the end, if it did."""
    input_due_ms: int | None = None
    """When everything should have been read; reading that has not ended then has broken off. None: there is no such."""
    cancelled_at_ms: int | None = None
    announced_at_ms: int | None = None
    """When everybody was first told that all its lines have ended."""

    @property
    def caller(self) -> Caller:
        """Who handed it in."""
        return Caller(tenant=self.tenant, key_id=self.key_id, allowed_models=self.allowed_models, limits=self.limits)

    @property
    def expires_at(self) -> int:
        """Epoch seconds after which it is forgotten."""
        return self.created_at_ms // 1000 + BATCH_TTL_SECONDS


def check_order(request: ChatRequest) -> None:
    """Do nothing when a request may be answered before or after any other, as those that come through queues are.

    Raises:
        InvalidRequestError: it may not.
    """
    if request.conversation_id is not None:
        raise InvalidRequestError("must not come through a queue; `history` may", field="conversation_id")


class PromptMessage(ChatRequest, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Body of a message that brings a prompt through a queue; nobody waits for it, whatever `wait_seconds` says."""

    tenant: Tenant | None = None
    """Whose prompt it is; only senders that are trusted may say so, and a batch and a line."""
    batch_id: Annotated[str, Meta(pattern=r"^batch_[0-9a-f]{32}$(?!\n)")] | None = None
    line: Annotated[int, Meta(ge=1, le=MAX_LINE)] | None = None
    custom_id: CustomId | None = None
    reply_to: Annotated[str, Meta(max_length=256)] | None = None

    def __post_init__(self) -> None:
        """Refuse half a place in a batch, and what no queue can keep in order.

        Raises:
            InvalidRequestError: of `batch_id` and `line` there is only one, or there is a conversation.
        """
        super().__post_init__()
        check_order(self)
        if (self.batch_id is None) != (self.line is None):
            missing, other = ("batch_id", "line") if self.batch_id is None else ("line", "batch_id")
            raise InvalidRequestError(f"is required with `{other}`", field=missing)

    @property
    def delivery(self) -> Delivery:
        """What goes with the prompt's answer."""
        return Delivery(batch_id=self.batch_id, line=self.line, custom_id=self.custom_id, reply_to=self.reply_to)


class LineError(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Why no request was made of a line."""

    code: str
    message: str
    field: str | None = None


class LineResult(Struct, frozen=True, kw_only=True):
    """What became of a line so far: a request, or a refusal, or nothing yet."""

    line: int
    custom_id: str | None = None
    job: Job | None = None
    error: LineError | None = None
