"""Requests and tokens a minute: whether a key may still take some, and how its holder is told."""

from collections.abc import Callable
from typing import Final

from msgspec import Struct

from llm_router.access.callers import Caller
from llm_router.access.keys import Limits
from llm_router.access.limits import Minute
from llm_router.box import LONGEST_ANSWER_TOKENS
from llm_router.errors import RateLimitedError, StoreError
from llm_router.metering import estimated_tokens
from llm_router.models import Job
from llm_router.ports import Clock, LimitStore
from llm_router.request_bodies import ChatRequest

_NOTHING_LEFT: Final = "this key has used up its {what} of the minute; they are counted anew in {seconds} s"
_TOO_LARGE: Final = "the question and its longest answer are more tokens than this key may use in a minute"


class Admission(Struct, frozen=True, kw_only=True):
    """A request that was weighed against the limits of its key."""

    limits: Limits = Limits()
    tokens: int = 0
    """How many were taken before anybody knew how many it takes."""
    minute: Minute | None = None
    """None where nothing was counted."""
    refusal: RateLimitedError | None = None

    def headers(self, now_ms: int) -> dict[str, str]:
        """Return what is left of the minute as OpenAI's headers say it; none where nothing was counted."""
        if self.minute is None:
            return {}
        kept = {
            "requests": (self.limits.requests_per_minute, self.minute.requests),
            "tokens": (self.limits.tokens_per_minute, self.minute.tokens),
        }
        reset = _duration(self.minute.ends_at_ms - now_ms)
        return {
            f"x-ratelimit-{name}-{what}": value
            for what, (limit, taken) in kept.items()
            if limit is not None
            for name, value in {"limit": str(limit), "remaining": str(max(0, limit - taken)), "reset": reset}.items()
        }


class RateLimiter(Struct, frozen=True, kw_only=True):
    """Weighs requests against the limits of their keys; a key without limits costs no call.

    Where the store fails, the request goes on: who cannot count must not refuse.
    """

    store: LimitStore
    clock: Clock
    on_store_error: Callable[[StoreError], object]

    def admit(self, caller: Caller, tokens: int = 0) -> Admission:
        """Take a request, and the tokens it may need, of the caller's minute; the admission says if there were any."""
        limits = caller.limits
        if limits.requests_per_minute is None and limits.tokens_per_minute is None:
            return Admission()
        if limits.tokens_per_minute is not None and tokens > limits.tokens_per_minute:
            return Admission(limits=limits, refusal=RateLimitedError(_TOO_LARGE, field="tokens_per_minute"))
        now_ms = self.clock()
        try:
            is_taken, minute = self.store.take(caller.key_id, limits, tokens, now_ms)
        except StoreError as error:
            self.on_store_error(error)
            return Admission()
        refusal = None if is_taken else _refusal(limits, minute, now_ms)
        return Admission(limits=limits, tokens=tokens, minute=minute, refusal=refusal)

    def settle(self, caller: Caller, admission: Admission, job: Job | None) -> None:
        """Let a finished job count for the tokens that a model read and wrote for it, instead of those it might have.

        An answer from the cache takes none, nor does what was refused, which has no job. One that is still on its way
        counts with what it might take; by the time it is finished its minute is mostly over.
        """
        if admission.minute is None or caller.limits.tokens_per_minute is None or (job and not job.status.finished):
            return
        surplus = (tokens_taken(job) if job else 0) - admission.tokens
        if surplus:
            try:
                self.store.settle(caller.key_id, admission.minute.ends_at_ms, surplus)
            except StoreError as error:
                self.on_store_error(error)


def tokens_wanted(request: ChatRequest) -> int:
    """Return how many tokens a request may take, before it is known which model answers, if any has to."""
    return estimated_tokens(request.chars) + (request.max_tokens or LONGEST_ANSWER_TOKENS)


def tokens_taken(job: Job) -> int:
    """Return how many tokens a finished request took: none, where no model was asked for it or none answered."""
    answer = job.answer
    return 0 if answer is None or answer.tier is not None else answer.input_tokens + answer.output_tokens


def _refusal(limits: Limits, minute: Minute, now_ms: int) -> RateLimitedError:
    are_requests = limits.requests_per_minute is not None and minute.requests >= limits.requests_per_minute
    what = "requests" if are_requests else "tokens"
    left_ms = max(1, minute.ends_at_ms - now_ms)
    message = _NOTHING_LEFT.format(what=what, seconds=-(-left_ms // 1000))
    return RateLimitedError(message, field=f"{what}_per_minute", retry_after_ms=left_ms)


def _duration(left_ms: int) -> str:
    """Return a time as Go writes it, like OpenAI."""
    return f"{max(0, left_ms)}ms" if left_ms < 1000 else f"{left_ms / 1000:g}s"  # noqa: PLR2004 - a second
