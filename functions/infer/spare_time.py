"""What a job that nobody waits for has to wait for itself.

It gives way to every request of a caller's that waits or runs, and to another such job that runs, so that whoever comes
finds one generation under way at most. It also waits while the circuit of the box is open: that costs the job nothing,
neither an attempt nor its place, however long the box is down. How long a worker waits is the scheduler's to say.
"""

from contextlib import suppress
from typing import Final, Protocol

from msgspec import Struct

from llm_router.errors import NotFoundError, StoreError
from llm_router.models import Job, JobStatus, Lane
from llm_router.ports import Clock, JobStore

LOOKED_AT: Final = 50
"""How many of the oldest jobs of a line are looked at."""

_OLDEST: Final = 10
"""How many of a long line are looked at for one that is run; one further back is missed, and the box has two to do."""


class Circuit(Protocol):
    """Whether the box may be asked, as `Breaker`."""

    def retry_after_ms(self) -> int | None:
        """Return how long calls will be refused, as far as known; None when one would be let through."""


def is_wanted(jobs: JobStore, now_ms: int, *lanes: Lane) -> bool:
    """Whether a job of these lanes waits, or is run by a living worker.

    Raises:
        StoreError: nobody knows.
    """
    return any(
        _is_on_its_way(jobs, each.job_id, now_ms) for lane in lanes for each in jobs.line(limit=LOOKED_AT, lane=lane)
    )


def _is_on_its_way(jobs: JobStore, job_id: str, now_ms: int) -> bool:
    with suppress(NotFoundError):
        job = jobs.get(job_id)  # the index may be behind
        return job.status in {JobStatus.QUEUED, JobStatus.RUNNING} and not job.is_abandoned(now_ms)
    return False


class SpareTime(Struct, frozen=True, kw_only=True):
    """Tells when the box has time for a job that nobody waits for."""

    jobs: JobStore
    circuit: Circuit
    clock: Clock

    def is_paused(self) -> bool:
        """Whether the box is known to be down; a circuit that cannot be read stops nobody."""
        with suppress(StoreError):
            return self.circuit.retry_after_ms() is not None
        return False

    def has_time_for(self, job: Job) -> bool:
        """Whether nobody goes before a job now.

        Raises:
            StoreError: the line cannot be read.
        """
        if self.is_paused() or is_wanted(self.jobs, self.clock(), Lane.INTERACTIVE):
            return False
        begun = (
            each.job_id
            for each in self.jobs.line(limit=_OLDEST, lane=Lane.BATCH)
            if each.started_at_ms is not None and each.job_id != job.job_id
        )
        return not any(self._is_run(job_id) for job_id in begun)

    def _is_run(self, job_id: str) -> bool:
        with suppress(NotFoundError):
            job = self.jobs.get(job_id)
            return job.status is JobStatus.RUNNING and not job.is_abandoned(self.clock())
        return False
