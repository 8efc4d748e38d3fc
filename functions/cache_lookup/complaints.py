"""Takes what callers say of their answers, and lets the cache learn from it."""

from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from llm_router.errors import ConflictError, StoreError
from llm_router.feedback import EntryChange, Feedback, change_for, entry_key
from llm_router.jobs import feedback_record
from llm_router.models import Answer, FeedbackVerdict, Job, JobStatus
from llm_router.ports import CacheStore, Clock, FeedbackStore, JobStore
from llm_router.request_bodies import FeedbackRequest
from llm_router.requests import owned

_ATTEMPTS: Final = 4
_ENDS: Final = {JobStatus.FAILED: "it failed", JobStatus.CANCELLED: "it was cancelled"}


class Complaints(Struct, frozen=True, kw_only=True):
    """Writes feedback down, once per request."""

    jobs: JobStore
    cache: CacheStore
    store: FeedbackStore
    clock: Clock

    def take(self, tenant: str, said: FeedbackRequest) -> tuple[Feedback, bool]:
        """Return what came of a verdict, and whether it is new; saying the same again changes nothing.

        Raises:
            NotFoundError: the request is unknown, expired, or another tenant's.
            ConflictError: it has no answer, or the other verdict was given before.
            StoreError: a table failed, or others always changed the entry first; nothing was written.
        """
        job = owned(self.jobs, said.request_id, tenant)
        answer = _answer_of(job)
        for _ in range(_ATTEMPTS):
            earlier = self.store.get(tenant, job.job_id)
            if earlier is not None:
                return _same(earlier, said.verdict), False
            now_ms = self.clock()
            change = self._change(job, answer, said.verdict)
            feedback = _feedback(job, answer, said, change, now_ms)
            if self.store.record(feedback, feedback_record(job, said.verdict, now_ms), change):
                return feedback, True
        raise StoreError("recording feedback failed: the entry never held still")

    def _change(self, job: Job, answer: Answer, verdict: FeedbackVerdict) -> EntryChange | None:
        key = entry_key(job, answer)
        if verdict is FeedbackVerdict.RIGHT or key is None:
            return None
        return change_for(job, answer, key, self.cache.get(*key))


def _answer_of(job: Job) -> Answer:
    if job.answer is None:
        state = _ENDS.get(job.status, f"it is still {job.status}")
        raise ConflictError(f"the request has no answer: {state}", field="request_id")
    return job.answer


def _same(earlier: Feedback, verdict: FeedbackVerdict) -> Feedback:
    if earlier.verdict is not verdict:
        raise ConflictError(f"the answer was called {earlier.verdict} before, and that stands", field="verdict")
    return earlier


def _feedback(job: Job, answer: Answer, said: FeedbackRequest, change: EntryChange | None, now_ms: int) -> Feedback:
    key = entry_key(job, answer)
    plain = Feedback(
        request_id=job.job_id,
        tenant=job.tenant,
        verdict=said.verdict,
        comment=said.comment,
        tier=answer.tier,
        entry_id=".".join(key) if key else None,
        recorded_at_ms=now_ms,
    )
    if change is None:
        return plain
    return replace(
        plain,
        pair_refused=change.refused is not None,
        similarity_floor=change.similarity_floor,
        evicted=change.evict,
    )
