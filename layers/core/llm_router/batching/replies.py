"""What is sent to the queue that waits for a prompt's answer."""

import re

from msgspec import Struct

from llm_router.batching.batches import LineError
from llm_router.costs import usd
from llm_router.errors import InvalidRequestError
from llm_router.models import Job

_NAME = re.compile(r"[A-Za-z0-9_-]{0,80}")


class Reply(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The end of a request, with an answer or with an error; costs in USD."""

    request_id: str | None = None
    """Absent where no request was made of the message."""
    message_id: str | None = None
    """The message that no request was made of."""
    custom_id: str | None = None
    batch_id: str | None = None
    line: int | None = None
    status: str
    """`succeeded`, `failed` or `cancelled`, or `refused` where no request was made of the message."""
    response: str | None = None
    error: LineError | None = None
    model_used: str | None = None
    was_cached: bool | None = None
    actual_cost: float | None = None
    baseline_cost: float | None = None


def reply_of(job: Job) -> Reply:
    """Return what is told of a request that has ended."""
    answer, failure = job.answer, job.failure
    spent = answer or failure
    return Reply(
        request_id=job.job_id,
        custom_id=job.delivery.custom_id,
        batch_id=job.delivery.batch_id,
        line=job.delivery.line,
        status=job.status,
        response=answer.text if answer else None,
        error=LineError(code=failure.code, message=failure.message) if failure else None,
        model_used=answer.model if answer else None,
        was_cached=answer.tier is not None if answer else None,
        actual_cost=usd(spent.actual_nano_usd) if spent else None,
        baseline_cost=usd(answer.baseline_nano_usd) if answer else None,
    )


def check_reply_to(reply_to: str | None, prefix: str) -> None:
    """Do nothing when an answer may be sent to this queue, or to none; `prefix` begins the URLs of those that may.

    Raises:
        InvalidRequestError: it may not.
    """
    if reply_to is None:
        return
    if not prefix:
        raise InvalidRequestError("is switched off: REPLY_QUEUE_PREFIX is empty", field="reply_to")
    if not reply_to.startswith(prefix) or not _NAME.fullmatch(reply_to[len(prefix) :]):
        raise InvalidRequestError(f"must be the URL of a queue that begins with {prefix}", field="reply_to")
