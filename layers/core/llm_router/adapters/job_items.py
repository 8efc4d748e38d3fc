"""What a request looks like in the job table, and its usage record in the usage table."""

from array import array
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec.structs import replace

from llm_router.accounting.usage import UsageRecord
from llm_router.adapters.dynamodb import from_item, to_item
from llm_router.batching.batches import BATCH_TTL_SECONDS
from llm_router.errors import RequestTooLargeError
from llm_router.jobs import utc_day
from llm_router.models import Answer, Failure, Job, JobInLine, JobStatus, Lane, Spent

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.type_defs import TransactWriteItemTypeDef

JOB_TTL_SECONDS: Final = 24 * 3600
TTL_SECONDS: Final = {Lane.INTERACTIVE: JOB_TTL_SECONDS, Lane.BATCH: BATCH_TTL_SECONDS, Lane.SHADOW: JOB_TTL_SECONDS}
"""How long a job is kept."""
SET_ASIDE_TTL_SECONDS: Final = 14 * 24 * 3600
"""As long as the dead-letter queue keeps the message that a redrive brings back."""
_COUNT_TTL_SECONDS: Final = 2 * 24 * 3600
USAGE_TTL_SECONDS: Final = 395 * 24 * 3600
"""Thirteen months, so that a month can be compared with the same one a year before."""
MAX_DOCUMENT_BYTES: Final = 280_000
"""An item may have 400 KB; this leaves room for the answer."""
LINE_INDEX: Final = "line"


def put_job(table: str, job: Job, now_ms: int) -> "TransactWriteItemTypeDef":
    """Return the write of a new job.

    Raises:
        RequestTooLargeError: it does not fit an item.
    """
    # The embedding travels as packed float32: a sixth of its digits, and exact.
    document = msgspec.json.encode(replace(job, embedding=None, answer=None, failure=None))
    if len(document) > MAX_DOCUMENT_BYTES:
        raise RequestTooLargeError(f"must not take more than {MAX_DOCUMENT_BYTES} bytes to store", field="message")
    values: dict[str, Any] = {
        "job_id": job.job_id,
        "tenant": job.tenant,
        "reply_to": job.delivery.reply_to,
        "status": str(job.status),
        "document": document.decode(),
        "embedding": array("f", job.embedding).tobytes() if job.embedding is not None else None,
        "expires_at": now_ms // 1000 + TTL_SECONDS[job.lane],
    }
    if job.status is JobStatus.QUEUED:
        values |= _place_in_line(job)
    return {
        "Put": {
            "TableName": table,
            "Item": to_item(values | outcome(job)),
            "ConditionExpression": "attribute_not_exists(job_id)",
        }
    }


def count_shadow(table: str, job: Job, daily_limit: int) -> "TransactWriteItemTypeDef":
    """Return the write that counts a shadow of its UTC day, as long as there are fewer than `daily_limit`."""
    day = utc_day(job.created_at_ms)
    return {
        "Update": {
            "TableName": table,
            "Key": {"job_id": {"S": f"shadows#{day}"}},
            "UpdateExpression": "SET expires_at = :expires ADD made :one",
            "ConditionExpression": "attribute_not_exists(made) OR made < :limit",
            "ExpressionAttributeValues": to_item(
                {":one": 1, ":limit": daily_limit, ":expires": job.created_at_ms // 1000 + _COUNT_TTL_SECONDS}
            ),
        }
    }


def put_usage(table: str, usage: UsageRecord) -> "TransactWriteItemTypeDef":
    """Return the write of a usage record."""
    values = msgspec.to_builtins(usage) | {"expires_at": usage.finished_at_ms // 1000 + USAGE_TTL_SECONDS}
    return {
        "Put": {
            "TableName": table,
            "Item": to_item(values),
            "ConditionExpression": "attribute_not_exists(request_id)",
        }
    }


def outcome(job: Job) -> dict[str, Any]:
    """Return the attributes that change when a job ends."""
    return {
        "partial_text": job.partial_text or None,
        "answer": msgspec.json.encode(job.answer).decode() if job.answer else None,
        "failure": msgspec.json.encode(job.failure).decode() if job.failure else None,
        "finished_at_ms": job.finished_at_ms,
    }


def _place_in_line(job: Job) -> dict[str, Any]:
    """Return the attributes of the index; a job is in it while it has a `lane`: until it ends, or joins another."""
    return {
        "lane": job.lane.value,
        "created_at_ms": job.created_at_ms,
        "model": job.model,
        "expected_ms": None if job.expected_ms is None else job.expected_ms - job.expected_load_ms,
    }


def job_in_line(item: Mapping[str, Any]) -> JobInLine:
    """Return what the index holds of a job."""
    return msgspec.convert(from_item(item), JobInLine)


def spent_text(job: Job) -> str:
    """Return the attribute that says what a job has cost so far."""
    return msgspec.json.encode(job.spent).decode()


def job_of(item: Mapping[str, Any]) -> Job:
    """Return the job an item holds."""
    job = msgspec.json.decode(item["document"]["S"], type=Job)
    return replace(
        job,
        status=JobStatus(item["status"]["S"]),
        embedding=_floats(item["embedding"]["B"]) if "embedding" in item else None,
        worker=item["worker"]["S"] if "worker" in item else None,
        lease_until_ms=int(item["lease_until_ms"]["N"]) if "lease_until_ms" in item else 0,
        attempts=int(item["attempts"]["N"]) if "attempts" in item else 0,
        cancel_requested="cancel_requested" in item,
        escalated="escalated" in item,
        spent=msgspec.json.decode(item["spent"]["S"], type=Spent) if "spent" in item else Spent(),
        started_at_ms=int(item["started_at_ms"]["N"]) if "started_at_ms" in item else None,
        partial_text=item["partial_text"]["S"] if "partial_text" in item else "",
        answer=msgspec.json.decode(item["answer"]["S"], type=Answer) if "answer" in item else None,
        failure=msgspec.json.decode(item["failure"]["S"], type=Failure) if "failure" in item else None,
        finished_at_ms=int(item["finished_at_ms"]["N"]) if "finished_at_ms" in item else None,
    )


def _floats(packed: bytes) -> tuple[float, ...]:
    numbers = array("f")
    numbers.frombytes(packed)
    return tuple(numbers)
