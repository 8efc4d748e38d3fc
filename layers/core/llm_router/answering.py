"""Asks models for a job's answer, one after the other, shows the text as it comes, and hears when nobody wants it."""

from collections.abc import Callable
from contextlib import closing, suppress
from typing import Final

from msgspec import Struct, field
from msgspec.structs import replace

from llm_router.accounting.tally import Tally, unmetered
from llm_router.costs import Costs
from llm_router.errors import ModelError, ModelUnavailableError, StoreError
from llm_router.fallback import is_cloud, successor
from llm_router.jobs import CANCELLED, answer_from_cache, cancelled, usage_record, utc_day
from llm_router.metering import Meter
from llm_router.models import Answer, Failure, Generation, Job, Spent, Target
from llm_router.ports import CacheStore, Clock, JobStore, LanguageModel
from llm_router.stored_answers import Hit, exact_hit
from llm_router.work import LEASE_MS, CancelledError, EscalatedError, Work

PROGRESS_EVERY_MS: Final = 1000


def never(_: Job) -> bool:
    """Give way to nobody."""
    return False


def nothing(_: Job) -> Hit | None:
    """Find nothing."""
    return None


class Answering(Struct, frozen=True, kw_only=True):
    """One server, of the box or of the cloud, and what it takes to have a job answered there."""

    jobs: JobStore
    cache: CacheStore
    model: LanguageModel
    costs: Costs
    meter: Meter
    """Prices what `model` does."""
    clock: Clock
    gives_way: Callable[[Job], bool] = never
    """Whether a running job is to be cancelled for the sake of others; may raise StoreError."""
    look_again: Callable[[Job], Hit | None] = nothing
    """Finds what was stored for a job while it waited."""
    tally: Tally = field(default_factory=unmetered)
    """What this process uses of the platform."""
    in_cloud: bool = False
    """Whether `model` is the cloud's, and the jobs to run are those left to it."""

    def start(self, job_id: str, worker: str) -> Job:
        """Begin a job, or take it over, on this server's side.

        Raises:
            ConflictError: another worker has it, or it is the other side's.
        """
        return self.jobs.start(job_id, worker=worker, lease_until_ms=self.clock() + LEASE_MS, in_cloud=self.in_cloud)

    def answer(self, work: Work, deadline_ms: int) -> Answer:
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
        """Return what was stored while the job waited, or what a fallback answered to the very words before.

        Whoever passes the cache by wants a new answer.
        """
        if work.job.cache_bypass is not None or "cache" in work.job.degraded:
            return None
        hit = self.look_again(work.job) if work.fallback is None else self._words_of(work)
        if hit is None:
            return None
        return answer_from_cache(hit, self.costs, self.clock(), fallback=work.fallback, spent=work.spent)

    def _words_of(self, work: Work) -> Hit | None:
        """Return what is stored for the very words, where the answer of the model that is asked belongs."""
        with suppress(StoreError):
            return exact_hit(self.cache.get(work.asked.namespace, work.job.entry_id), self.clock())
        return None

    def _new_answer(self, work: Work, deadline_ms: int) -> Answer:
        generation = work.generation = self._generate(work, deadline_ms)
        spent = work.spent + self.meter.generation(generation)
        return Answer(
            text=generation.text,
            model=generation.model,
            input_tokens=generation.input_tokens,
            output_tokens=generation.output_tokens,
            cached_input_tokens=generation.cached_input_tokens,
            done_reason=generation.done_reason,
            fallback=work.fallback,
            tokens_estimated=generation.tokens_estimated,
            busy_ms=spent.busy_ms,
            actual_nano_usd=spent.actual_nano_usd,
            baseline_nano_usd=self.costs.baseline_nano_usd(
                generation.input_tokens, generation.output_tokens, utc_day(self.clock())
            ),
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
            is_unwanted = seen.cancel_requested or self.gives_way(seen)
        except StoreError:
            return  # a table that refuses the text on the way must not cost the generation
        if is_unwanted:
            self._cancel(work)

    def _cancel(self, work: Work) -> None:
        """End the job at its caller's wish; go on in the name of the next request that waits for the same answer."""
        heir = self.jobs.hand_over(work.job)
        spent = self.failure(work, CANCELLED, "the request was cancelled")
        # Whoever gets the answer pays for all of it.
        ended = cancelled(work.job, replace(spent, busy_ms=0, actual_nano_usd=0) if heir else spent, self.clock())
        self.jobs.finish(ended, usage_record(ended, used=self.tally.take()))
        worker, work.job = work.job.worker or "", ended
        if heir is None:
            raise CancelledError
        work.job = self.start(heir, worker)

    def failure(self, work: Work, code: str, message: str) -> Failure:
        """Return why there is no answer, and what was written in vain, by whatever model."""
        spent = work.spent + self._fragment(work)
        return Failure(code=code, message=message, busy_ms=spent.busy_ms, actual_nano_usd=spent.actual_nano_usd)

    def _fragment(self, work: Work) -> Spent:
        """Return what the answer on its way took, as far as is known: from its first piece."""
        writing_ms = self.clock() - work.first_piece_at_ms if work.first_piece_at_ms else 0
        return self.meter.fragment(work.call, work.text, writing_ms=writing_ms)
