"""Shadows: questions that a model has answered, asked of another model when nobody wants the box.

A shadow waits in a lane of its own in the job table's line, and never has a message: a worker that has answered its own
message looks whether nothing waits or runs for anybody, and then runs the oldest. It stops a shadow about a second
after a request appears, and drops those that found no time in WAITS_MS. One worker at a time runs shadows,
so that the other one is free for the next message. What comes of a shadow stays in its own item of the job table: it
has no flight, no place in the cache, and an id that no caller can ask for.
"""

from collections.abc import Callable
from contextlib import suppress
from typing import Final

from msgspec import Struct

from infer.scheduling import OWN_TIME_MS
from infer.spare_time import LOOKED_AT, is_wanted
from llm_router.arms import SHADOW_ARM
from llm_router.box import fits, same_model
from llm_router.conversations import fitting
from llm_router.errors import ConflictError, NotFoundError, StoreError
from llm_router.jobs import CANCELLED, cancelled, usage_record
from llm_router.models import Failure, Job, JobStatus, Lane
from llm_router.ports import Clock, JobStore
from llm_router.request_bodies import CacheQuestion

WAITS_MS: Final = 3_600_000
BEFORE_SHADOWS: Final = (Lane.INTERACTIVE, Lane.BATCH)
"""Whose jobs somebody wants."""
_DROPPED: Final = Failure(code=CANCELLED, message="there was no time for it")


class Shadows(Struct, frozen=True, kw_only=True):
    """Makes shadows of answered requests, and runs them in idle time."""

    jobs: JobStore
    model: str
    """Who is asked."""
    daily_limit: int
    """How many shadows are made in a UTC day, by all workers together."""
    run_job: Callable[[str, int], Job]
    """Runs a job until a deadline in epoch milliseconds, and returns it as it ended."""
    clock: Clock
    on_error: Callable[[StoreError], object]
    """Told what went wrong: a shadow is worth no caller's answer."""

    def follow(self, job: Job) -> None:
        """Make the shadow of a request, once, if its own model has just answered it and the day's are not used up."""
        shadow = self._shadow(job)
        if shadow is None:
            return
        try:
            self.jobs.open_shadow(shadow, daily_limit=self.daily_limit)
        except StoreError as error:
            self.on_error(error)

    def run_waiting(self, after: str, *, deadline_ms: int) -> None:
        """Run shadows, the oldest first and then that of request `after`, while nobody wants the box.

        None after a request without an answer: the box may be in trouble, and the circuit breaker, which counts all
        failures in a row, would shut callers out for those of shadows.
        """
        try:
            if not self._is_answered(after):
                return
            line = self.jobs.line(limit=LOOKED_AT, lane=Lane.SHADOW)
            for job_id in dict.fromkeys([*(each.job_id for each in line), _id_of(after)]):
                with suppress(NotFoundError):
                    if not self._take(self.jobs.get(job_id), deadline_ms):
                        return
        except ConflictError:
            return  # another worker has just begun it
        except StoreError as error:
            self.on_error(error)

    def _is_answered(self, request_id: str) -> bool:
        with suppress(NotFoundError):
            return self.jobs.get(request_id).answer is not None
        return False

    def _shadow(self, job: Job) -> Job | None:
        answer = job.answer
        is_generated = answer is not None and answer.tier is None and answer.fallback is None
        if not is_generated or same_model(job.model, self.model):
            return None
        history = fitting(job.history, self.model, CacheQuestion(message=job.prompt, system_prompt=job.system_prompt))
        shadow = Job(
            job_id=_id_of(job.job_id),
            tenant=job.tenant,
            status=JobStatus.QUEUED,
            source=job.source,
            created_at_ms=self.clock(),
            complexity=job.complexity,
            model=self.model,
            arm=SHADOW_ARM,
            prompt=job.prompt,
            system_prompt=job.system_prompt,
            history=history,
            max_tokens=job.max_tokens,
            temperature=job.temperature,
            sampling=job.sampling,
            namespace="",
            entry_id=job.entry_id,
            no_store=True,
        )
        return shadow if fits(self.model, shadow.prompt_chars) else None

    def _take(self, shadow: Job, deadline_ms: int) -> bool:
        """Run a shadow or drop it; return whether to go on with the next."""
        now_ms = self.clock()
        if shadow.status.finished:
            return True
        is_abandoned = shadow.is_abandoned(now_ms)
        if shadow.status is JobStatus.RUNNING and not is_abandoned:
            return False
        if is_abandoned or now_ms - shadow.created_at_ms > WAITS_MS:
            dropped = cancelled(shadow, _DROPPED, now_ms)
            return self.jobs.finish(dropped, usage_record(dropped))
        if deadline_ms - now_ms < OWN_TIME_MS or is_wanted(self.jobs, now_ms, *BEFORE_SHADOWS):
            return False
        return self.run_job(shadow.job_id, deadline_ms).answer is not None


def _id_of(request_id: str) -> str:
    """Return the id of a request's shadow, which is no id of a request."""
    return f"shadow#{request_id}"
