"""Runs a job on its model, or on one of its fallbacks, and writes down what came of it."""

from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from typing import Final

from msgspec.structs import replace

from llm_router.answering import Answering
from llm_router.errors import ConflictError, ModelError, ModelUnavailableError, StoreError
from llm_router.estimates import Pace
from llm_router.fallback import cloud_target
from llm_router.jobs import SET_ASIDE, failed, is_set_aside, settle, succeeded, usage_record
from llm_router.keeping import entry_of
from llm_router.models import Failure, Generation, Job, JobStatus, Lane, Spent
from llm_router.ports import StatusStore
from llm_router.work import CancelledError, EscalatedError, Work

MAX_STARTS: Final = 5
"""How many workers may die over a job before it is taken for their killer."""
_SET_ASIDE: Final = Failure(code=SET_ASIDE, message="the request could not be worked on; it is kept for the operator")

Heartbeat = Callable[[Work], AbstractContextManager[object]]
"""Renews the lease of the work's job while the model is silent."""


class InferenceRunner(Answering, frozen=True, kw_only=True):
    """Takes one job at a time from queued to finished."""

    statuses: StatusStore
    heartbeat: Heartbeat
    new_worker: Callable[[], str]
    cache_ttl_hours: float
    on_store_error: Callable[[StoreError], None]
    """Told when the figures of a generation are lost, which costs nobody an answer."""
    on_cache_error: Callable[[StoreError], None]
    """Told when the cache does not take an answer; its caller has it all the same."""

    def run(self, job_id: str, *, deadline_ms: int, is_last: bool = False) -> Job:
        """Answer a job and return it as it ended, or as it was left to the cloud.

        May be called any number of times for the same job.

        The job's end and its usage record are one transaction; the cache entry, the requests that joined, and the
        end of the joining follow, and are repeated when a crash came between. An answer that the cache does not take
        is lost to the cache, and to nobody else.

        Args:
            job_id: The job, perhaps one that was set aside.
            deadline_ms: Epoch milliseconds after which no byte of the answer is waited for.
            is_last: Whether nobody will call again by himself; a job that a table refuses is then set aside.

        Raises:
            ConflictError: another worker is on it.
            ModelUnavailableError: the box is down, and nobody waits for the job; call again.
            NotFoundError: the job has expired.
            StoreError: a table failed; call again.
        """
        job = self.jobs.get(job_id)
        if not job.status.finished or is_set_aside(job):
            job = self._attempt(job, deadline_ms, is_last=is_last)
        if not job.status.finished:
            return job
        self._remember(job)
        heir = settle(self.jobs, job, self.clock)
        if job.status is JobStatus.CANCELLED:  # who joined it has no message of his own
            heir = heir or self._successor(job)
        if heir is not None:
            with suppress(ConflictError):  # whoever was faster is at it
                self.run(heir, deadline_ms=deadline_ms, is_last=is_last)
        return job

    def _successor(self, job: Job) -> str | None:
        """Return who leads instead of a cancelled job: an heir whose worker may have died."""
        leader = self.jobs.leader(job)
        if leader is None or leader == job.job_id:
            return None
        return leader if self.jobs.get(leader).escalated == self.in_cloud else None

    def _attempt(self, job: Job, deadline_ms: int, *, is_last: bool) -> Job:
        """Run a job to its end, or leave it to the next attempt when a table refuses it."""
        work = None
        try:
            work = self._begin(job.job_id)
            if work.job.attempts > MAX_STARTS:
                failure = self.failure(work, "worker_lost", "every worker that began the request was lost")
                return self._end(failed(work.job, failure, self.clock()))
            return self._finish(work, deadline_ms)
        except (StoreError, ModelError):
            self._leave(work.job if work else job, is_last=is_last)
            raise

    def _is_to_wait(self, work: Work, error: ModelError) -> bool:
        """Whether a job waits for a box that was not there: nobody waits for the job, and the box did not begin it."""
        is_down = isinstance(error, ModelUnavailableError) and not work.text
        return is_down and work.job.lane is Lane.BATCH and not self.in_cloud

    def _leave(self, job: Job, *, is_last: bool) -> None:
        """Leave a job to the next attempt, or to the operator."""
        # Where this fails, too, the job waits for its lease to end, and the next look finds it overdue.
        with suppress(StoreError, ConflictError):
            if is_last:
                self.jobs.set_aside(job, _SET_ASIDE)
            else:
                self.jobs.give_back(job)

    def _begin(self, job_id: str) -> Work:
        job = self.start(job_id, self.new_worker())
        return Work(job, cloud_target(job) if self.in_cloud else None)

    def _finish(self, work: Work, deadline_ms: int) -> Job:
        try:
            with self.heartbeat(work):
                answer = self.answer(work, deadline_ms)
            finished = succeeded(work.job, answer, self.clock())
        except CancelledError:
            return work.job
        except EscalatedError:
            self.jobs.escalate(replace(work.job, spent=work.spent + Spent(used=self.tally.take())))
            return self.jobs.get(work.job.job_id)
        except ModelError as error:
            if self._is_to_wait(work, error):
                raise
            finished = failed(work.job, self.failure(work, error.code, str(error)), self.clock())
        except ConflictError:
            return self._ended(work.job)
        ended = self._end(finished)
        if ended is finished and work.generation is not None and not self.in_cloud:
            self._learn(work.asked.model, work.generation)
        return ended

    def _end(self, finished: Job) -> Job:
        """Write a job's end, and return it, or the end that it had before."""
        usage = usage_record(finished, used=self.tally.take())
        return finished if self.jobs.finish(finished, usage) else self._ended(finished)

    def _ended(self, job: Job) -> Job:
        """Return a job as somebody else ended it.

        Raises:
            ConflictError: he is still at it.
        """
        ended = self.jobs.get(job.job_id)
        if not ended.status.finished:
            raise ConflictError("the request is in other hands")
        return ended

    def _learn(self, model: str, generation: Generation) -> None:
        """Let the generation move the model's figures."""
        try:
            pace = self.statuses.pace(model) or Pace(model=model)
            self.statuses.put_pace(pace.learn(generation, self.clock()))
        except StoreError as error:
            self.on_store_error(error)

    def _remember(self, job: Job) -> None:
        """Store the answer where others may find it, if they may."""
        entry = entry_of(job, self.cache_ttl_hours)
        if entry is None:
            return
        try:
            self.cache.put(entry, job.embedding)
        except StoreError as error:
            self.on_cache_error(error)
