"""Announces that a batch has ended: every line of it has been read, and is a request that ended or a refusal."""

from collections.abc import Callable, Mapping
from contextlib import suppress

from msgspec import Struct

from llm_router.batching.batches import Batch, is_batch_id
from llm_router.costs import usd
from llm_router.errors import NotFoundError
from llm_router.ports import BatchStore, Clock, RollupStore

_ENDS = ("succeeded", "failed", "cancelled")


class BatchCompleted(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Detail of the event `Batch Completed`; costs in USD."""

    batch_id: str
    tenant: str
    lines: int
    succeeded: int
    failed: int
    cancelled: int
    invalid: int
    """Lines that no request could be made of."""
    hits: int
    """How many of the answers came from the cache."""
    actual_cost: float
    baseline_cost: float
    input_error: str | None = None
    """Why the input was not read to its end."""


class Completion(Struct, frozen=True, kw_only=True):
    """Looks whether batches have ended; whatever changes last, somebody looks after it."""

    batches: BatchStore
    rollups: RollupStore
    announce: Callable[[BatchCompleted], object]
    clock: Clock

    def check(self, batch_id: str) -> bool:
        """Announce that a batch has ended, if it has and nobody knows; return whether that was so.

        Who dies between the two writes has it announced again. What is no batch, or not any more, has not ended.

        Raises:
            StoreError: a table failed, or the announcement was not taken.
        """
        if not is_batch_id(batch_id):  # a tenant may be called batch
            return False
        with suppress(NotFoundError):
            batch = self.batches.get(batch_id)
            counted = self.rollups.batch(batch_id)
            if batch.announced_at_ms is None and is_complete(batch, counted):
                self.announce(completed(batch, counted))
                self.batches.announced(batch_id, self.clock())
                return True
        return False


def is_complete(batch: Batch, counted: Mapping[str, int]) -> bool:
    """Whether nothing more will come of a batch; a line that is set aside has not ended."""
    is_read = batch.input_complete or batch.input_error is not None
    ended = sum(counted.get(f"{end}_requests", 0) for end in _ENDS)
    return is_read and ended + batch.invalid + batch.refused >= batch.lines


def completed(batch: Batch, counted: Mapping[str, int]) -> BatchCompleted:
    """Return what is told of a batch that has ended."""
    return BatchCompleted(
        batch_id=batch.batch_id,
        tenant=batch.tenant,
        lines=batch.lines,
        **{end: counted.get(f"{end}_requests", 0) for end in _ENDS},
        invalid=batch.invalid + batch.refused,
        hits=counted.get("exact_hits", 0) + counted.get("semantic_hits", 0),
        actual_cost=usd(counted.get("actual_nano_usd", 0)),
        baseline_cost=usd(counted.get("baseline_nano_usd", 0)),
        input_error=batch.input_error,
    )
