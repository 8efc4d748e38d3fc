"""What happens to a job at its end: its last state, its usage record, and the requests that joined it."""

from datetime import UTC, datetime
from typing import Final

import msgspec
from msgspec.structs import replace

from llm_router.accounting.footprint import footprint, recording
from llm_router.accounting.quantities import Quantities
from llm_router.accounting.usage import UsageRecord
from llm_router.costs import Costs
from llm_router.errors import NotFoundError
from llm_router.models import Answer, Failure, FeedbackVerdict, Job, JobStatus, Lane, Spent
from llm_router.ports import Clock, JobStore
from llm_router.stored_answers import Hit

CANCELLED: Final = "cancelled"
"""Failure code of a request that ended at its caller's wish."""
SET_ASIDE: Final = "set_aside"
"""Failure code of a request whose message is in the dead-letter queue; a redrive takes it up again."""


def succeeded(job: Job, answer: Answer, now_ms: int) -> Job:
    """Return the job as finished with an answer."""
    return replace(job, status=JobStatus.SUCCEEDED, answer=answer, finished_at_ms=now_ms, partial_text="")


def failed(job: Job, failure: Failure, now_ms: int) -> Job:
    """Return the job as finished without an answer; the text so far is kept."""
    return replace(job, status=JobStatus.FAILED, failure=failure, finished_at_ms=now_ms)


def cancelled(job: Job, failure: Failure, now_ms: int) -> Job:
    """Return the job as ended at its caller's wish; the failure says what it cost until then."""
    return replace(failed(job, failure, now_ms), status=JobStatus.CANCELLED)


def is_set_aside(job: Job) -> bool:
    """Whether the job waits for its message to be redriven: failed for its caller, not yet for the bill."""
    return job.status is JobStatus.FAILED and job.failure is not None and job.failure.code == SET_ASIDE


def answer_from_cache(
    hit: Hit, costs: Costs, now_ms: int, *, fallback: str | None = None, spent: Spent | None = None
) -> Answer:
    """Return a stored answer; it keeps the token counts of its generation and costs nothing by itself.

    `fallback` is the model it was stored under, when that is not the one the question was meant for, and `spent` what
    was taken in vain before.
    """
    spent = spent or Spent()
    entry = hit.entry
    return Answer(
        text=entry.answer,
        model=entry.model,
        input_tokens=entry.input_tokens,
        output_tokens=entry.output_tokens,
        tier=hit.tier,
        similarity=hit.similarity,
        cache_entry_id=entry.public_id,
        fallback=fallback,
        busy_ms=spent.busy_ms,
        actual_nano_usd=spent.actual_nano_usd,
        baseline_nano_usd=costs.baseline_nano_usd(entry.input_tokens, entry.output_tokens, utc_day(now_ms)),
    )


def usage_record(job: Job, *, joined: bool = False, used: Quantities | None = None) -> UsageRecord:
    """Return the one record that a finished job leaves; `used` is what its last worker used of the platform."""
    record = _usage_record(job, joined=joined)
    total = footprint(job, used or Quantities()) + recording(record)
    return replace(record, **msgspec.structs.asdict(total))


def _usage_record(job: Job, *, joined: bool) -> UsageRecord:
    answer, spent = job.answer, job.answer or job.failure
    finished_at_ms = job.finished_at_ms or job.created_at_ms
    return UsageRecord(
        request_id=job.job_id,
        tenant=job.tenant,
        day=utc_day(finished_at_ms),
        finished_at_ms=finished_at_ms,
        status=job.status,
        source=job.source,
        complexity=job.complexity,
        model=answer.model if answer else job.model,
        arm=job.arm,
        tier=answer.tier if answer else None,
        joined=joined,
        fallback=answer is not None and answer.fallback is not None,
        tokens_estimated=answer is not None and answer.tokens_estimated,
        refusal=job.refusal,
        batch_id=job.delivery.batch_id if job.lane is Lane.BATCH else None,
        input_tokens=answer.input_tokens if answer else 0,
        output_tokens=answer.output_tokens if answer else 0,
        cached_input_tokens=answer.cached_input_tokens if answer else 0,
        busy_ms=spent.busy_ms if spent else 0,
        latency_ms=job.latency_ms,
        actual_nano_usd=spent.actual_nano_usd if spent else 0,
        baseline_nano_usd=answer.baseline_nano_usd if answer else 0,
        reservation=job.reservation,
    )


def feedback_record(job: Job, verdict: FeedbackVerdict, now_ms: int) -> UsageRecord:
    """Return the second record of a request: what was said of its answer, on the day it was said; it used nothing."""
    answered = _usage_record(job, joined=False)
    return UsageRecord(
        request_id=f"{job.job_id}#feedback",
        tenant=job.tenant,
        day=utc_day(now_ms),
        finished_at_ms=now_ms,
        status=job.status,
        source=job.source,
        complexity=job.complexity,
        model=answered.model,
        arm=job.arm,
        tier=answered.tier,
        verdict=verdict,
    )


def leader_of(store: JobStore, job: Job) -> Job:
    """Return the request whose answer this one waits for: itself where it joined none, or that one is gone."""
    if job.status is not JobStatus.QUEUED:  # somebody is at work on itself, or was
        return job
    leader = store.leader(job)
    if leader is None or leader == job.job_id:
        return job
    try:
        return store.get(leader)
    except NotFoundError:
        return job  # that one was never begun, and expired before this one


def settle(store: JobStore, leader: Job, clock: Clock) -> str | None:
    """Finish every request that joined a finished one, with the same outcome, then end the joining.

    May be repeated after a crash at any point: finishing twice changes nothing, and the flight is closed only when
    nobody has joined since it was read.

    Returns:
        The next leader, which the caller has to get going, when this one was cancelled, nobody else's wish, or set
        aside, so that those who still ask need not wait for the operator.
    """
    is_alone = ended_alone(leader)
    closed = leader.flight is None
    told: set[str] = set()
    while not closed:
        followers = store.followers(leader)
        if is_alone and (heir := store.hand_over(leader)) is not None:
            return heir
        # Who still waits after that has been handed over by somebody else in between.
        for job_id in () if is_alone else followers:
            if job_id not in told:
                tell(store, job_id, leader, clock)
        told.update(followers)
        closed = store.close_flight(leader, followers=followers)
    return None


def ended_alone(leader: Job) -> bool:
    """Whether a request ended in a way that those who joined it do not share."""
    return leader.status is JobStatus.CANCELLED or is_set_aside(leader)


def utc_day(epoch_ms: int) -> str:
    """Return the UTC day, `YYYY-MM-DD`."""
    return datetime.fromtimestamp(epoch_ms / 1000, tz=UTC).date().isoformat()


def tell(store: JobStore, job_id: str, leader: Job, clock: Clock) -> None:
    """Finish one request that joined a finished one; changes nothing when it has ended before, or has expired."""
    try:
        follower = store.get(job_id)
    except NotFoundError:
        return  # it joined a leader that died a day ago, and has expired since
    if not follower.status.finished:
        outcome = _shared_outcome(leader, follower, clock())
        store.finish(outcome, usage_record(outcome, joined=True))


def _shared_outcome(leader: Job, follower: Job, now_ms: int) -> Job:
    """Return the follower with the leader's end: the same answer, but the box worked only once."""
    if leader.answer is None:
        failure = leader.failure or Failure(code="model_error", message="the request this one joined has no answer")
        return failed(follower, replace(failure, busy_ms=0, actual_nano_usd=0), now_ms)
    return succeeded(follower, replace(leader.answer, busy_ms=0, actual_nano_usd=0), now_ms)
