"""When a request that is on its way may be answered: what it needs itself, and what stands before it."""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from llm_router.errors import NotFoundError, StoreError
from llm_router.jobs import leader_of
from llm_router.models import Job, JobInLine, JobStatus, Lane
from llm_router.ports import JobStore, StatusStore

COUNTED: Final = 100
"""How far the line is looked at: one query of an index, about 20 KB."""


class Outlook(Struct, frozen=True, kw_only=True):
    """When a request may be answered; None where nobody knows."""

    position: int | None = None
    """How many requests came before it that nobody has begun, up to COUNTED; None once it has begun itself."""
    estimated_ms: int | None = None
    """How much longer it is expected to take; 0 when it is late."""


UNKNOWN: Final = Outlook()


def with_expectation(job: Job, statuses: StatusStore) -> Job:
    """Return a job with how long its model will take, and how much of that is loading it; without figures as it is."""
    with suppress(StoreError):  # without figures the caller waits as long as it said
        pace = statuses.pace(job.model)
        if pace is not None:
            resident = _is_resident(statuses, job.model, used_at_ms=pace.learned_at_ms)
            work = {"prompt_chars": job.prompt_chars, "max_tokens": job.max_tokens}
            ready_ms = pace.expected_ms(**work, resident=True)
            expected_ms = pace.expected_ms(**work, resident=resident)
            return replace(job, expected_ms=expected_ms, expected_load_ms=(expected_ms or 0) - (ready_ms or 0))
    return job


def outlook(jobs: JobStore, job: Job, now_ms: int) -> Outlook:
    """Return the outlook of a request: for one that joined an equal request, that of the other.

    Nothing is expected of one that has ended, and nothing is known while the tables cannot be read.
    """
    if job.status.finished:
        return UNKNOWN
    with suppress(StoreError, NotFoundError):
        leader = leader_of(jobs, job)
        if leader.escalated:  # what was expected is the box's time
            return UNKNOWN
        line = _before(jobs, leader.lane) if leader.status is JobStatus.QUEUED else ()
        return outlook_in(line, leader, now_ms)
    return UNKNOWN


def _before(jobs: JobStore, lane: Lane) -> Sequence[JobInLine]:
    """Return what a job of a lane may have to wait for: callers, and of what nobody waits for only what has begun."""
    batch = jobs.line(limit=COUNTED, lane=Lane.BATCH)
    return [
        *jobs.line(limit=COUNTED),
        *(each for each in batch if lane is Lane.BATCH or each.started_at_ms is not None),
    ]


def outlook_in(line: Iterable[JobInLine], job: Job, now_ms: int) -> Outlook:
    """Return the outlook of a job behind those in line.

    The box does one thing at a time: what is left of the running jobs, then those that came before, then the job. The
    others' models are taken to be in memory, since the order they are run in saves most loads, and an answer that
    nobody can estimate counts for nothing.
    """
    if job.started_at_ms is not None:
        return Outlook(estimated_ms=_left_ms(job.started_at_ms, job.expected_ms, now_ms))
    others = [each for each in line if each.job_id != job.job_id]
    ahead = [each for each in others if each.started_at_ms is None and each.created_at_ms < job.created_at_ms]
    running_ms = sum(_left_ms(each.started_at_ms, each.expected_ms, now_ms) or 0 for each in others)
    ahead_ms = sum(each.expected_ms or 0 for each in ahead)
    return Outlook(
        position=len(ahead),
        estimated_ms=None if job.expected_ms is None else running_ms + ahead_ms + job.expected_ms,
    )


def _is_resident(statuses: StatusStore, model: str, *, used_at_ms: int) -> bool:
    sighting = statuses.box()
    if sighting is None or sighting.checked_at_ms < used_at_ms:
        return True  # who answered since the last look has stayed in memory
    return sighting.state is not None and sighting.state.is_resident(model)


def _left_ms(started_at_ms: int | None, expected_ms: int | None, now_ms: int) -> int | None:
    if started_at_ms is None or expected_ms is None:
        return None
    return max(0, started_at_ms + expected_ms - now_ms)
