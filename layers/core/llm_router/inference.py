"""Runs a queued job on a model and writes down what came of it."""

from collections.abc import Callable
from contextlib import AbstractContextManager, closing
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from llm_router.costs import Costs
from llm_router.errors import ConflictError, ModelError, ModelUnavailableError, StoreError
from llm_router.estimates import Pace
from llm_router.jobs import CANCELLED, cancelled, failed, settle, succeeded, usage_record
from llm_router.models import Answer, Failure, Generation, Job, ModelCall
from llm_router.ports import CacheEntry, CacheStore, Clock, JobStore, LanguageModel, StatusStore
from llm_router.prompt import canonicalise
from llm_router.semantic_cache import MS_PER_HOUR

PROGRESS_EVERY_MS: Final = 1000
LEASE_MS: Final = 30_000
"""A worker that has not been heard of for so long is taken for dead."""

Heartbeat = Callable[["Work"], AbstractContextManager[object]]
"""Renews the lease of the work's job while the model is silent."""


class CancelledError(Exception):
    """The caller wants the running job to stop, and nobody else waits for its answer."""


class Work:
    """One generation on its way; its job changes hands when its caller cancels and others wait for the answer."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.first_piece_at_ms: int | None = None
        self.generation: Generation | None = None


class InferenceRunner(Struct, frozen=True, kw_only=True):
    """Takes one job at a time from queued to finished."""

    jobs: JobStore
    cache: CacheStore
    statuses: StatusStore
    model: LanguageModel
    costs: Costs
    clock: Clock
    heartbeat: Heartbeat
    new_worker: Callable[[], str]
    cache_ttl_hours: float
    on_store_error: Callable[[StoreError], None]
    """Told when the figures of a generation are lost, which costs nobody an answer."""
    on_cache_error: Callable[[StoreError], None]
    """Told when the cache does not take an answer; its caller has it all the same."""

    def run(self, job_id: str, *, deadline_ms: int) -> Job:
        """Answer a job and return it as it ended; may be called any number of times for the same one.

        The job's end and its usage record are one transaction; the cache entry, the requests that joined, and the
        end of the joining follow, and are repeated when a crash came between. An answer that the cache does not take
        still reaches everybody who joined.

        Raises:
            ConflictError: another worker is on it.
            NotFoundError: the job has expired.
            StoreError: a table failed; call again.
        """
        job = self.jobs.get(job_id)
        if not job.status.finished:
            job = self._finish(Work(self._start(job_id, self.new_worker())), deadline_ms)
        try:
            self._remember(job)
        finally:
            heir = settle(self.jobs, job, self.clock)
        if heir is not None:  # it joined a request that was cancelled, and has no message of its own
            self.run(heir, deadline_ms=deadline_ms)
        return job

    def _start(self, job_id: str, worker: str) -> Job:
        return self.jobs.start(job_id, worker=worker, lease_until_ms=self.clock() + LEASE_MS)

    def _finish(self, work: Work, deadline_ms: int) -> Job:
        try:
            with self.heartbeat(work):
                work.generation = self._generate(work, deadline_ms)
            finished = succeeded(work.job, self._answer(work.generation), self.clock())
        except CancelledError:
            return work.job
        except ModelError as error:
            finished = failed(work.job, self._failure(work, error.code, str(error)), self.clock())
        except ConflictError:
            ended = self.jobs.get(work.job.job_id)
            if not ended.status.finished:
                raise
            return ended
        if not self.jobs.finish(finished, usage_record(finished)):
            return self.jobs.get(finished.job_id)
        if work.generation is not None:
            self._learn(finished.model, work.generation)
        return finished

    def _learn(self, model: str, generation: Generation) -> None:
        """Let the generation move the model's figures."""
        try:
            pace = self.statuses.pace(model) or Pace(model=model)
            self.statuses.put_pace(pace.learn(generation, self.clock()))
        except StoreError as error:
            self.on_store_error(error)

    def _generate(self, work: Work, deadline_ms: int) -> Generation:
        call = ModelCall(
            model=work.job.model,
            prompt=work.job.prompt,
            system_prompt=work.job.system_prompt,
            history=work.job.history,
            max_tokens=work.job.max_tokens,
            temperature=work.job.temperature,
        )
        text = ""
        written_at_ms = self.clock()
        # Leaving early, for whatever reason, closes the stream, and that stops the box.
        with closing(self.model.generate(call, deadline_ms=deadline_ms)) as stream:
            for piece in stream:
                if isinstance(piece, Generation):
                    return piece
                text += piece
                work.first_piece_at_ms = work.first_piece_at_ms or self.clock()
                if self.clock() - written_at_ms >= PROGRESS_EVERY_MS:
                    self._show(work, text)
                    written_at_ms = self.clock()
        raise ModelUnavailableError("the model's answer broke off")

    def _show(self, work: Work, text: str) -> None:
        """Write the text so far, and learn whether it is still wanted."""
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
        """Return why there is no answer, and what the box wrote in vain, as far as is known: from its first piece."""
        busy_ms = self.clock() - work.first_piece_at_ms if work.first_piece_at_ms else 0
        cost_nano_usd = self.costs.box_nano_usd(busy_ms * 1_000_000)
        return Failure(code=code, message=message, busy_ms=busy_ms, actual_nano_usd=cost_nano_usd)

    def _answer(self, generation: Generation) -> Answer:
        return Answer(
            text=generation.text,
            model=generation.model,
            input_tokens=generation.input_tokens,
            output_tokens=generation.output_tokens,
            done_reason=generation.done_reason,
            busy_ms=generation.busy_ns // 1_000_000,
            actual_nano_usd=self.costs.box_nano_usd(generation.busy_ns),
            baseline_nano_usd=self.costs.baseline_nano_usd(generation.input_tokens, generation.output_tokens),
        )

    def _remember(self, job: Job) -> None:
        """Store the answer, unless its caller forbids it, or it is cut or empty and must not be given twice."""
        answer = job.answer
        if job.no_store or answer is None or answer.tier is not None:
            return
        if answer.done_reason != "stop" or not answer.text.strip():
            return
        now_ms = job.finished_at_ms or self.clock()
        ttl_hours = min(self.cache_ttl_hours, job.cache_ttl_hours or self.cache_ttl_hours)
        entry = CacheEntry(
            namespace=job.namespace,
            entry_id=job.entry_id,
            prompt=canonicalise(job.prompt),
            answer=answer.text,
            model=answer.model,
            input_tokens=answer.input_tokens,
            output_tokens=answer.output_tokens,
            created_at_ms=now_ms,
            expires_at=int((now_ms + ttl_hours * MS_PER_HOUR) // 1000),
        )
        try:
            self.cache.put(entry, job.embedding)
        except StoreError as error:
            self.on_cache_error(error)
            raise
