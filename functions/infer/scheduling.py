"""Which jobs a worker runs for a message: first, for a while, those whose model is in the box's memory.

On a box that cannot hold every model, answering in the order of arrival loads a model for almost every answer. So the
job of a message that needs a load is passed over, and the jobs that wait for a resident model are run in its place,
oldest first. It is passed over for PASSED_OVER_MS at most, counted from when its worker got the message: within that
time only jobs begin that are expected to end in it, and then it is its turn, whatever it costs. So this order delays
the job of a message by PASSED_OVER_MS and the generation under way at its end, at most, whatever else arrives. Messages
further back wait meanwhile, but their jobs do not: they are among those that may be run in its place, the older ones
of a model before the younger. A job's own message is not given up before the job has ended, in whosever hands.

Jobs that nobody waits for have a queue and a line of their own, and begin when the box has time for them, or when their
worker has waited for that as long as it can, about six minutes: so that none starves. Among them a job is passed over
for as long as the answers of others still end in that time. While the box is down none begins, and messages come back.
"""

from collections.abc import Callable, Container, Iterable
from contextlib import suppress
from typing import Final, Protocol

from msgspec import Struct

from infer.spare_time import LOOKED_AT, SpareTime
from llm_router.box import BoxState, same_model
from llm_router.errors import ConflictError, ModelError, ModelUnavailableError, NotFoundError, RouterError, StoreError
from llm_router.jobs import is_set_aside
from llm_router.models import Job, JobInLine, JobStatus, Lane
from llm_router.ports import Box, Clock, JobStore

PASSED_OVER_MS: Final = 60_000
OWN_TIME_MS: Final = 540_000
"""What a job keeps of its worker's time, however long others took: to load its model, 5 min, and to answer, 4 min."""
ANSWER_TIME_MS: Final = 240_000
"""What an answer of a model in memory may take, however long it is expected to."""
_LOOK_AGAIN_SECONDS: Final = 1.0


class RunJob(Protocol):
    """Runs a job until a deadline, as `InferenceRunner.run`."""

    def __call__(self, job_id: str, deadline_ms: int, *, is_last: bool = False) -> object:
        """Run the job, the last time that anybody does by himself or not."""


class Scheduler(Struct, frozen=True, kw_only=True):
    """Decides what one worker does next; every decision is confirmed by starting the job, which only one worker can."""

    jobs: JobStore
    box: Box
    run_job: RunJob
    spare_time: SpareTime
    """When the box has time for what nobody waits for."""
    clock: Clock
    sleep: Callable[[float], object]
    on_error: Callable[[RouterError], object]
    """Told what went wrong while a job was passed over; it is run then."""

    def run(self, job_id: str, *, deadline_ms: int, is_last: bool = False) -> None:
        """Run a message's job, perhaps after others, and return when it has ended.

        Args:
            job_id: The job.
            deadline_ms: Epoch milliseconds at which the worker's time is over.
            is_last: Whether the message comes for the last time.

        Raises:
            ConflictError: another worker has been on it until the deadline.
            ModelUnavailableError: nobody waits for it, and the box is down; call again when it may be up.
            NotFoundError: the job has expired.
            StoreError: a table failed; call again.
        """
        try:
            self._pass_over(job_id, deadline_ms)
        except (StoreError, ModelError) as error:
            self.on_error(error)
        while not self._is_over(job := self._job_of(job_id)):
            if job.status is not JobStatus.RUNNING or job.is_abandoned(self.clock()):
                if job.lane is Lane.BATCH and not is_last and self.spare_time.is_paused():
                    raise ModelUnavailableError("the model server is down; the request waits until it is back")
                with suppress(ConflictError):
                    self.run_job(job.job_id, deadline_ms, is_last=is_last)
                    return
            # Whoever runs it may have no message of it; should that worker die, this one takes the job up.
            if self.clock() >= deadline_ms:
                raise ConflictError("the request is in other hands")
            self.sleep(_LOOK_AGAIN_SECONDS)

    def _job_of(self, job_id: str) -> Job:
        """Return a message's job or, when that was cancelled, the heir it left its flight to: he has no message."""
        job = self.jobs.get(job_id)
        if job.status is not JobStatus.CANCELLED:
            return job
        leader = self.jobs.leader(job)
        return job if leader is None else self.jobs.get(leader)

    def _pass_over(self, job_id: str, deadline_ms: int) -> None:
        """Run other jobs of its lane while that saves a load; let what nobody waits for wait until there is time."""
        others_until_ms = deadline_ms - OWN_TIME_MS
        until_ms = self.clock() + PASSED_OVER_MS
        seen = {job_id}
        while (job := self.jobs.get(job_id)).status is JobStatus.QUEUED:
            is_batch = job.lane is Lane.BATCH
            if is_batch and self.clock() < others_until_ms and not self.spare_time.has_time_for(job):
                self.sleep(_LOOK_AGAIN_SECONDS)
                continue
            last_ms = others_until_ms - ANSWER_TIME_MS if is_batch else min(until_ms, others_until_ms)
            chosen = self._better(job, seen, last_ms - self.clock())
            if chosen is None:
                return
            seen.add(chosen)
            with suppress(ConflictError, NotFoundError):  # another worker was faster
                self.run_job(chosen, others_until_ms)

    def _better(self, job: Job, seen: Container[str], left_ms: int) -> str | None:
        """Return whom to run before a job; None when that saves no load."""
        # A line that nobody waits in is long, and reading it takes longer than asking the box.
        if job.lane is Lane.BATCH and self.box.state().is_resident(job.model):
            return None
        line = self.jobs.line(limit=LOOKED_AT, lane=job.lane)
        waiting = [each for each in line if each.started_at_ms is None and each.job_id not in seen]
        if all(same_model(each.model, job.model) for each in waiting):
            return None
        better = preferred(waiting, job.model, self.box.state(), left_ms=left_ms)
        return next(filter(self._is_to_run, better), None)

    def _is_to_run(self, job_id: str) -> bool:
        """Whether nobody has begun a job, and it has not joined another: the index may be behind."""
        with suppress(NotFoundError):
            job = self.jobs.get(job_id)
            return job.status is JobStatus.QUEUED and (job.flight is None or self.jobs.leader(job) == job_id)
        return False

    def _is_over(self, job: Job) -> bool:
        """Whether a job has ended, and everything after its end is done, or is the cloud's to do.

        Closing the flight comes last; a cancelled job may have left it to an heir, who has no message of his own.
        """
        if job.escalated:
            return True
        if not job.status.finished or is_set_aside(job) or job.flight is None:
            return False
        leader = self.jobs.leader(job)
        return leader is None or (leader != job.job_id and job.status is not JobStatus.CANCELLED)


def preferred(waiting: Iterable[JobInLine], model: str, state: BoxState, *, left_ms: int) -> Iterable[str]:
    """Return the ids of jobs to run before one that needs `model`, in their order.

    They are those whose model is in memory and whose answer is expected within `left_ms`; none, when `model` is in
    memory itself.
    """
    if state.is_resident(model):
        return ()
    return tuple(
        each.job_id
        for each in waiting
        if each.expected_ms is not None and each.expected_ms <= left_ms and state.is_resident(each.model)
    )
