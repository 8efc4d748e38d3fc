"""What a caller may do with a request that is on its way: look at it, and cancel it."""

from contextlib import suppress
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from llm_router.errors import ConflictError, NotFoundError
from llm_router.fallback import is_for_cloud
from llm_router.jobs import CANCELLED, cancelled, ended_alone, leader_of, settle, tell, usage_record
from llm_router.models import Failure, Job, JobStatus, Lane, is_request_id
from llm_router.ports import Clock, Dispatch, JobStore

OVERDUE_MS: Final = 60_000
"""A job that nobody has begun for so long is dispatched again: its message may be lost, or hidden by a dead worker."""
REQUEST_CANCELLED: Final = Failure(code=CANCELLED, message="the request was cancelled")


def owned(jobs: JobStore, job_id: str, tenant: str) -> Job:
    """Return a request of the tenant's as it stands.

    Raises:
        NotFoundError: it is unknown, expired, or another tenant's.
    """
    if not is_request_id(job_id):
        raise NotFoundError("no such request")
    job = jobs.get(job_id)
    if job.tenant != tenant:
        raise NotFoundError("no such request")
    return job


class Requests(Struct, frozen=True):
    """Requests of one tenant's at a time; looking at one that is stuck gets it going again."""

    jobs: JobStore
    dispatch: Dispatch
    clock: Clock
    lane: Lane = Lane.INTERACTIVE
    """Whose jobs `dispatch` takes; those of another lane are found by the messages that they have."""

    def look(self, job_id: str, tenant: str) -> Job:
        """Return a request as it stands.

        Raises:
            NotFoundError: it is unknown, expired, or another tenant's.
        """
        return self.revive(owned(self.jobs, job_id, tenant))

    def cancel(self, job_id: str, tenant: str) -> Job:
        """End a request, or have its worker end it, and return it as it stands; a finished one stays as it is.

        Raises:
            NotFoundError: it is unknown, expired, or another tenant's.
        """
        job = self.look(job_id, tenant)
        if job.status is JobStatus.RUNNING and not job.is_abandoned(self.clock()):
            return self.jobs.request_cancel(job_id)
        if job.status.finished:
            return job
        failure = replace(REQUEST_CANCELLED, busy_ms=job.spent.busy_ms, actual_nano_usd=job.spent.actual_nano_usd)
        ended = cancelled(job, failure, self.clock())
        if not self.jobs.finish(ended, usage_record(ended)):
            return self.jobs.request_cancel(job_id)  # a worker took it up in between
        self.pass_on(ended)
        return ended

    def look_again(self, job_id: str) -> Job:
        """Return a request of any tenant's as it stands, after getting it going again where it is stuck.

        Raises:
            NotFoundError: it is unknown or expired.
        """
        return self.revive(self.jobs.get(job_id))

    def revive(self, job: Job) -> Job:
        """Return the job, after getting it going again where its worker died or its message was lost."""
        if job.status.finished:
            return job
        leader = leader_of(self.jobs, job)
        if leader.status.finished:
            self._tell(job, leader)
            return self.jobs.get(job.job_id)
        waited_ms = self.clock() - leader.created_at_ms
        is_overdue = leader.status in {JobStatus.QUEUED, JobStatus.ESCALATED} and waited_ms >= OVERDUE_MS
        if is_overdue or leader.is_abandoned(self.clock()):
            self._dispatch_again(leader)
        return job

    def pass_on(self, ended: Job) -> None:
        """Tell who joined; let the next of them have the answer when this one was cancelled."""
        heir = settle(self.jobs, ended, self.clock)
        if heir is not None:
            self._send(replace(self.jobs.get(heir), escalated=ended.escalated))

    def _tell(self, job: Job, leader: Job) -> None:
        """Tell a request that the one it joined has ended; its worker is about to, or died before it could.

        The others are told when nobody else has done so in a while: many who look, and a worker that tells, would all
        write the same items and hold each other up.
        """
        if ended_alone(leader):
            self.pass_on(leader)
            return
        tell(self.jobs, job.job_id, leader, self.clock)
        overdue_ms = self.clock() - OVERDUE_MS
        if (leader.finished_at_ms or 0) <= overdue_ms and self.jobs.claim_redispatch(
            leader.job_id, not_since_ms=overdue_ms
        ):
            self.pass_on(leader)

    def _dispatch_again(self, job: Job) -> None:
        if self.jobs.claim_redispatch(job.job_id, not_since_ms=self.clock() - OVERDUE_MS):
            self._send(job)

    def _send(self, job: Job) -> None:
        """Have a job run where it belongs."""
        if not is_for_cloud(job):
            if job.lane is self.lane:
                self.dispatch(job.job_id)
            return
        with suppress(ConflictError):  # a worker was quicker
            self.jobs.escalate(replace(job, worker=None))
