"""Waits for a job by reading its item, a little less often each time."""

from collections.abc import Callable
from contextlib import suppress

from msgspec import Struct

from llm_router.accounting.polling import pauses_ms
from llm_router.errors import StoreError
from llm_router.models import Job
from llm_router.outlook import outlook
from llm_router.ports import Clock, JobStore


class Waiter(Struct, frozen=True):
    """Reads a job until it is finished or the caller's patience ends."""

    jobs: JobStore
    clock: Clock
    sleep: Callable[[float], object]

    def wait(self, job: Job, wait_seconds: float, *, since_ms: int) -> Job:
        """Return the job as it stands when it is finished, or when there is nothing left to wait for.

        That is when `wait_seconds` have passed since `since_ms`, or at once when it is not expected to finish by then.
        """
        if job.status.finished or wait_seconds <= 0:
            return job
        until_ms = since_ms + wait_seconds * 1000
        job = self._look(job)  # inline inference has finished it by now, however long that took
        now_ms = self.clock()
        if now_ms + (outlook(self.jobs, job, now_ms).estimated_ms or 0) > until_ms:
            return job
        pauses = pauses_ms()
        while not job.status.finished and (left_ms := until_ms - self.clock()) > 0:
            self.sleep(min(next(pauses), left_ms) / 1000)
            job = self._look(job)
        return job

    def _look(self, job: Job) -> Job:
        # A failed look costs nothing: the caller still learns where the answer will be.
        with suppress(StoreError):
            return self.jobs.get(job.job_id)
        return job
