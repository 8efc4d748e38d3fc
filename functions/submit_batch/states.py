"""Where a batch stands, as its caller sees it."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

from msgspec import structs

from llm_router.batching.batch_bodies import AcceptedBatchResponse, BadLine, BatchResponse, BatchStatus
from llm_router.batching.batches import Batch, is_batch_id
from llm_router.costs import usd
from llm_router.errors import NotFoundError
from llm_router.ports import BatchStore

MAX_SHOWN_ERRORS: Final = 100


def owned(store: BatchStore, batch_id: str, tenant: str) -> Batch:
    """Return a batch of the tenant's as last written.

    Raises:
        NotFoundError: it is unknown, expired, or another tenant's.
    """
    if not is_batch_id(batch_id):
        raise NotFoundError("no such batch")
    batch = store.get(batch_id)
    if batch.tenant != tenant:
        raise NotFoundError("no such batch")
    return batch


def describe(batch: Batch, counted: Mapping[str, int], now_ms: int) -> BatchResponse:
    """Return a batch as its caller sees it; `counted` is what the usage records of its lines add up to."""
    ended = {name: counted.get(f"{name}_requests", 0) for name in ("succeeded", "failed", "cancelled")}
    invalid = batch.invalid + batch.refused
    accepted = max(0, batch.lines - invalid)
    # Records are counted some moments after a line has ended, and a portion of lines is noted some after it was sent.
    pending = max(0, accepted - sum(ended.values()))
    hits = counted.get("exact_hits", 0) + counted.get("semantic_hits", 0)
    actual, baseline = counted.get("actual_nano_usd", 0), counted.get("baseline_nano_usd", 0)
    error = input_error(batch, now_ms)
    return BatchResponse(
        batch_id=batch.batch_id,
        status=_status(batch, pending, error),
        created_at=datetime.fromtimestamp(batch.created_at_ms / 1000, UTC).isoformat(timespec="milliseconds"),
        input_complete=batch.input_complete,
        input_error=error,
        lines=batch.lines,
        accepted=accepted,
        invalid=invalid,
        pending=pending,
        succeeded=ended["succeeded"],
        failed=ended["failed"],
        cancelled=ended["cancelled"],
        hits=hits,
        progress=round((batch.lines - pending) / batch.lines, 4) if batch.lines else 0.0,
        estimated_ms=_estimated_ms(pending, sum(ended.values()) - hits, counted.get("busy_ms", 0)),
        input_tokens=counted.get("input_tokens", 0),
        output_tokens=counted.get("output_tokens", 0),
        actual_cost=usd(actual),
        actual_nano_usd=actual,
        baseline_cost=usd(baseline),
        baseline_nano_usd=baseline,
    )


def accepted(shown: BatchResponse, bad: Sequence[BadLine]) -> AcceptedBatchResponse:
    """Return a batch with what was wrong with its lines."""
    return AcceptedBatchResponse(**structs.asdict(shown), errors=tuple(bad[:MAX_SHOWN_ERRORS]))


def input_error(batch: Batch, now_ms: int) -> str | None:
    """Return why a batch's input will not be read to its end, None where it was or may be."""
    if batch.input_complete or batch.input_error is not None:
        return batch.input_error
    is_late = batch.input_due_ms is not None and now_ms > batch.input_due_ms
    return "reading broke off; the same idempotency key and body go on with it" if is_late else None


def _status(batch: Batch, pending: int, error: str | None) -> BatchStatus:
    is_read = batch.input_complete or error is not None
    if batch.cancelled_at_ms is not None:
        return BatchStatus.CANCELLED if is_read and not pending else BatchStatus.CANCELLING
    if not is_read:
        return BatchStatus.READING_INPUT
    if pending:
        return BatchStatus.IN_PROGRESS
    return BatchStatus.COMPLETED if batch.input_complete else BatchStatus.FAILED


def _estimated_ms(pending: int, without_hits: int, busy_ms: int) -> int | None:
    """Return the box's time for what is left: as much for each line as one took that the cache did not answer."""
    if pending == 0:
        return 0
    return round(pending * busy_ms / without_hits) if without_hits else None
