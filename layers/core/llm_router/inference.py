"""Runs a job on its model, or on one of its fallbacks, and writes down what came of it."""

from collections.abc import Callable
from contextlib import AbstractContextManager, closing, suppress
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from llm_router.costs import Costs
from llm_router.errors import ConflictError, ModelError, ModelUnavailableError, StoreError
from llm_router.estimates import Pace
from llm_router.fallback import cloud_target, home, is_cloud, successor
from llm_router.jobs import (
    CANCELLED,
    SET_ASIDE,
    answer_from_cache,
    cancelled,
    failed,
    is_set_aside,
    settle,
    succeeded,
    usage_record,
)
from llm_router.metering import Meter
from llm_router.models import Answer, CacheTier, Failure, Generation, Job, JobStatus, Spent, Target
from llm_router.ports import CacheEntry, CacheStore, Clock, JobStore, LanguageModel, StatusStore
from llm_router.prompt import canonicalise
from llm_router.semantic_cache import MS_PER_HOUR, Hit
from llm_router.work import CancelledError, EscalatedError, Work

PROGRESS_EVERY_MS: Final = 1000
LEASE_MS: Final = 30_000
"""A worker that has not been heard of for so long is taken for dead."""
MAX_STARTS: Final = 5
"""How many workers may die over a job before it is taken for their killer."""
_SET_ASIDE: Final = Failure(code=SET_ASIDE, message="the request could not be worked on; it is kept for the operator")

Heartbeat = Callable[[Work], AbstractContextManager[object]]
"""Renews the lease of the work's job while the model is silent."""


class InferenceRunner(Struct, frozen=True, kw_only=True):
    """Takes one job at a time from queued to finished."""

    jobs: JobStore
    cache: CacheStore
    statuses: StatusStore
    model: LanguageModel
    costs: Costs
    meter: Meter
    """Prices what `model` does."""
    clock: Clock
    heartbeat: Heartbeat
    new_worker: Callable[[], str]
    cache_ttl_hours: float
    on_store_error: Callable[[StoreError], None]
    """Told when the figures of a generation are lost, which costs nobody an answer."""
    on_cache_error: Callable[[StoreError], None]
    """Told when the cache does not take an answer; its caller has it all the same."""
    in_cloud: bool = False
    """Whether `model` is the cloud's, and the jobs to run are those left to it."""

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
                failure = self._failure(work, "worker_lost", "every worker that began the request was lost")
                return self._end(failed(work.job, failure, self.clock()))
            return self._finish(work, deadline_ms)
        except StoreError:
            self._leave(work.job if work else job, is_last=is_last)
            raise

    def _leave(self, job: Job, *, is_last: bool) -> None:
        """Leave a job to the next attempt, or to the operator."""
        # Where this fails, too, the job waits for its lease to end, and the next look finds it overdue.
        with suppress(StoreError, ConflictError):
            if is_last:
                self.jobs.set_aside(job, _SET_ASIDE)
            else:
                self.jobs.give_back(job)

    def _begin(self, job_id: str) -> Work:
        job = self._start(job_id, self.new_worker())
        return Work(job, cloud_target(job) if self.in_cloud else None)

    def _start(self, job_id: str, worker: str) -> Job:
        return self.jobs.start(job_id, worker=worker, lease_until_ms=self.clock() + LEASE_MS, in_cloud=self.in_cloud)

    def _finish(self, work: Work, deadline_ms: int) -> Job:
        try:
            with self.heartbeat(work):
                answer = self._answer(work, deadline_ms)
            finished = succeeded(work.job, answer, self.clock())
        except CancelledError:
            return work.job
        except EscalatedError:
            self.jobs.escalate(replace(work.job, spent=work.spent))
            return self.jobs.get(work.job.job_id)
        except ModelError as error:
            finished = failed(work.job, self._failure(work, error.code, str(error)), self.clock())
        except ConflictError:
            return self._ended(work.job)
        ended = self._end(finished)
        if ended is finished and work.generation is not None and not self.in_cloud:
            self._learn(work.asked.model, work.generation)
        return ended

    def _end(self, finished: Job) -> Job:
        """Write a job's end, and return it, or the end that it had before."""
        return finished if self.jobs.finish(finished, usage_record(finished)) else self._ended(finished)

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

    def _answer(self, work: Work, deadline_ms: int) -> Answer:
        """Ask one model after the other, as the rules of the fallbacks say, until one answers.

        Raises:
            CancelledError: nobody wants the answer any more.
            EscalatedError: it is the cloud's turn.
            ModelError: the last one has no answer either.
        """
        if work.job.cancel_requested:
            self._cancel(work)
        while True:
            try:
                return self._stored_answer(work) or self._new_answer(work, deadline_ms)
            except ModelError as error:
                following = self._following(work, error)
                if following is None:
                    raise
                work.spent += self._fragment(work)
                if is_cloud(following.model):
                    raise EscalatedError from error
                work.ask(following)

    def _following(self, work: Work, error: ModelError) -> Target | None:
        """Return who is asked next, for the caller or, where he has cancelled, for the next who waits."""
        if successor(work.job, work.asked.model, error, spoken=bool(work.text)) is None:
            return None
        self._show(work, None)
        return successor(work.job, work.asked.model, error, spoken=bool(work.text))

    def _stored_answer(self, work: Work) -> Answer | None:
        """Return what a fallback answered to the very words before; what the job's own model did is known to be none.

        Whoever passes the cache by wants a new answer.
        """
        if work.fallback is None or work.job.cache_bypass is not None or "cache" in work.job.degraded:
            return None
        with suppress(StoreError):
            entry = self.cache.get(work.asked.namespace, work.job.entry_id)
            if entry is not None and entry.expires_at * 1000 > self.clock():
                hit = Hit(entry, CacheTier.EXACT, 1.0)
                return answer_from_cache(hit, self.costs, fallback=work.fallback, spent=work.spent)
        return None

    def _new_answer(self, work: Work, deadline_ms: int) -> Answer:
        generation = work.generation = self._generate(work, deadline_ms)
        spent = work.spent + self.meter.generation(generation)
        return Answer(
            text=generation.text,
            model=generation.model,
            input_tokens=generation.input_tokens,
            output_tokens=generation.output_tokens,
            done_reason=generation.done_reason,
            fallback=work.fallback,
            tokens_estimated=generation.tokens_estimated,
            busy_ms=spent.busy_ms,
            actual_nano_usd=spent.actual_nano_usd,
            baseline_nano_usd=self.costs.baseline_nano_usd(generation.input_tokens, generation.output_tokens),
        )

    def _generate(self, work: Work, deadline_ms: int) -> Generation:
        written_at_ms = self.clock()
        # Leaving early, for whatever reason, closes the stream, and that stops the box.
        with closing(self.model.generate(work.call, deadline_ms=deadline_ms)) as stream:
            for piece in stream:
                if isinstance(piece, Generation):
                    return piece
                work.text += piece
                work.first_piece_at_ms = work.first_piece_at_ms or self.clock()
                if self.clock() - written_at_ms >= PROGRESS_EVERY_MS:
                    self._show(work, work.text)
                    written_at_ms = self.clock()
        raise ModelUnavailableError("the model's answer broke off")

    def _show(self, work: Work, text: str | None) -> None:
        """Write the text so far, if there is any, and learn whether it is still wanted."""
        try:
            seen = self.jobs.renew(work.job, lease_until_ms=self.clock() + LEASE_MS, partial_text=text)
        except StoreError:
            return  # a table that refuses the text on the way must not cost the generation
        if seen.cancel_requested:
            self._cancel(work)

    def _cancel(self, work: Work) -> None:
        """End the job at its caller's wish; go on in the name of the next request that waits for the same answer."""
        heir = self.jobs.hand_over(work.job)
        spent = self._failure(work, CANCELLED, "the request was cancelled")
        # Whoever gets the answer pays for all of it.
        ended = cancelled(work.job, replace(spent, busy_ms=0, actual_nano_usd=0) if heir else spent, self.clock())
        self.jobs.finish(ended, usage_record(ended))
        worker, work.job = work.job.worker or "", ended
        if heir is None:
            raise CancelledError
        work.job = self._start(heir, worker)

    def _failure(self, work: Work, code: str, message: str) -> Failure:
        """Return why there is no answer, and what was written in vain, by whatever model."""
        spent = work.spent + self._fragment(work)
        return Failure(code=code, message=message, busy_ms=spent.busy_ms, actual_nano_usd=spent.actual_nano_usd)

    def _fragment(self, work: Work) -> Spent:
        """Return what the answer on its way took, as far as is known: from its first piece."""
        writing_ms = self.clock() - work.first_piece_at_ms if work.first_piece_at_ms else 0
        return self.meter.fragment(work.call, work.text, writing_ms=writing_ms)

    def _remember(self, job: Job) -> None:
        """Store the answer, unless its caller forbids it, or it is cut or empty and must not be given twice."""
        answer = job.answer
        if job.no_store or answer is None or answer.tier is not None:
            return
        if answer.done_reason != "stop" or not answer.text.strip():
            return
        namespace = home(job, answer)
        if namespace is None:
            return
        now_ms = job.finished_at_ms or self.clock()
        ttl_hours = min(self.cache_ttl_hours, job.cache_ttl_hours or self.cache_ttl_hours)
        entry = CacheEntry(
            tenant=job.tenant,
            namespace=namespace,
            entry_id=job.entry_id,
            prompt=canonicalise(job.prompt),
            answer=answer.text,
            model=answer.model,
            input_tokens=answer.input_tokens,
            output_tokens=answer.output_tokens,
            # By its beginning: of two generations for one question the later one knows more, however long it took.
            created_at_ms=job.created_at_ms if job.started_at_ms is None else job.started_at_ms,
            expires_at=int((now_ms + ttl_hours * MS_PER_HOUR) // 1000),
        )
        try:
            self.cache.put(entry, job.embedding)
        except StoreError as error:
            self.on_cache_error(error)
