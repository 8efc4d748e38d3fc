"""What a worker asks before it begins a job that has waited long: whether it is wanted, and answered meanwhile."""

from contextlib import suppress
from typing import Final

from msgspec import Struct

from llm_router.errors import NotFoundError
from llm_router.models import Job, JobStatus, Lane
from llm_router.ports import BatchStore, Clock, JobStore
from llm_router.requests import Requests
from llm_router.stored_answers import Hit, StoredAnswers

REST_MS: Final = 300_000
"""How long the index is left alone after it failed: where it cannot be reached, every try costs seconds."""


class BatchLines(Struct, frozen=True):
    """Ends the lines of cancelled batches."""

    jobs: JobStore
    batches: BatchStore
    clock: Clock

    def wanted(self, job_id: str) -> str | None:
        """Return a job, or, when its batch is cancelled, the first wanted one of those that it leaves its flight to.

        Raises:
            NotFoundError: the job has expired.
            StoreError: a table failed.
        """
        heir: str | None = job_id
        while heir is not None and self._is_cancelled(job := self.jobs.get(heir)):
            # Its heirs have no message, and need none: this worker goes on to them.
            Requests(self.jobs, lambda _: None, self.clock).cancel(job.job_id, job.tenant)
            leader = self.jobs.leader(job)
            heir = None if leader == job.job_id else leader
        return heir

    def _is_cancelled(self, job: Job) -> bool:
        if job.lane is not Lane.BATCH or job.delivery.batch_id is None or job.status is not JobStatus.QUEUED:
            return False
        with suppress(NotFoundError):
            return self.batches.get(job.delivery.batch_id).cancelled_at_ms is not None
        return False


class SecondLook:
    """Finds what was stored while a job waited that nobody waits for: the answer of an equal line, or a reworded one.

    Args:
        answers: Where to look.
        clock: Milliseconds since the epoch.
    """

    def __init__(self, answers: StoredAnswers, clock: Clock) -> None:
        self._answers = answers
        self._clock = clock
        self._rests_until_ms = 0

    def __call__(self, job: Job) -> Hit | None:
        """Return what is stored for a job; None when there is nothing, or it did not wait."""
        if job.lane is not Lane.BATCH:
            return None
        now_ms = self._clock()
        found = self._answers.look_again(job, by_meaning=now_ms >= self._rests_until_ms)
        if "cache_index" in found.degraded:
            self._rests_until_ms = now_ms + REST_MS
        return found.hit
