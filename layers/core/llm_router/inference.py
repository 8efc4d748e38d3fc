"""Runs a queued job on a model and writes down what came of it."""

from contextlib import closing, suppress
from typing import Final

from msgspec import Struct

from llm_router.costs import Costs
from llm_router.errors import ConflictError, ModelError, ModelUnavailableError, StoreError
from llm_router.jobs import failed, settle, succeeded, usage_record
from llm_router.models import Answer, Failure, Generation, Job, ModelCall
from llm_router.ports import CacheEntry, CacheStore, Clock, JobStore, LanguageModel
from llm_router.prompt import canonicalise
from llm_router.semantic_cache import MS_PER_HOUR

PROGRESS_EVERY_MS: Final = 1000


class InferenceRunner(Struct, frozen=True, kw_only=True):
    """Takes one job at a time from queued to finished."""

    jobs: JobStore
    cache: CacheStore
    model: LanguageModel
    costs: Costs
    clock: Clock
    cache_ttl_hours: float

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
            job = self._finish(self.jobs.start(job_id, lease_until_ms=deadline_ms), deadline_ms)
        try:
            self._remember(job)
        finally:
            settle(self.jobs, job, self.clock)
        return job

    def _finish(self, job: Job, deadline_ms: int) -> Job:
        try:
            finished = succeeded(job, self._answer(self._generate(job, deadline_ms)), self.clock())
        except ModelError as error:
            finished = failed(job, Failure(code=error.code, message=str(error)), self.clock())
        except ConflictError:
            ended = self.jobs.get(job.job_id)
            if not ended.status.finished:
                raise
            return ended
        if not self.jobs.finish(finished, usage_record(finished)):
            return self.jobs.get(job.job_id)
        return finished

    def _generate(self, job: Job, deadline_ms: int) -> Generation:
        call = ModelCall(
            model=job.model,
            prompt=job.prompt,
            system_prompt=job.system_prompt,
            max_tokens=job.max_tokens,
            temperature=job.temperature,
        )
        text = ""
        written_at_ms = self.clock()
        # Leaving early, for whatever reason, closes the stream, and that stops the box.
        with closing(self.model.generate(call, deadline_ms=deadline_ms)) as stream:
            for piece in stream:
                if isinstance(piece, Generation):
                    return piece
                text += piece
                if self.clock() - written_at_ms >= PROGRESS_EVERY_MS:
                    # Text on the way is a courtesy: a table that refuses it must not cost the generation.
                    with suppress(StoreError):
                        self.jobs.write_progress(job.job_id, text)
                    written_at_ms = self.clock()
        raise ModelUnavailableError("the model's answer broke off")

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
        """Store the answer, unless it is cut or empty: such an answer must not be given twice."""
        answer = job.answer
        if answer is None or answer.tier is not None or answer.done_reason != "stop" or not answer.text.strip():
            return
        now_ms = job.finished_at_ms or self.clock()
        entry = CacheEntry(
            namespace=job.namespace,
            entry_id=job.entry_id,
            prompt=canonicalise(job.prompt),
            answer=answer.text,
            model=answer.model,
            input_tokens=answer.input_tokens,
            output_tokens=answer.output_tokens,
            created_at_ms=now_ms,
            expires_at=int((now_ms + self.cache_ttl_hours * MS_PER_HOUR) // 1000),
        )
        self.cache.put(entry, job.embedding)
