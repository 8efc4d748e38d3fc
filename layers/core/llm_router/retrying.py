"""Asks a model again when that can help, and only then.

Only ModelUnavailableError passes by itself: a refused or reset connection, a server that is busy or crashed. A prompt
that is too long, a missing model or a rejected request stays what it is, and after ModelTimeoutError no time is left.
Once the first piece of text has come there is no second try either: the text may have been shown, a second answer
would contradict it, and the box would do its longest work, which has just failed, all over again. What happens then
is for the queue and the fallback chain to decide.
"""

from collections.abc import Callable, Generator
from contextlib import closing

from msgspec import Struct

from llm_router.errors import ModelUnavailableError
from llm_router.models import Generation, ModelCall
from llm_router.ports import Clock, LanguageModel


class RetryPolicy(Struct, frozen=True, kw_only=True):
    """How often and when to try again: exponential backoff with full jitter.

    The waits are drawn evenly from 0 to the bound, so that callers who failed together do not return together;
    https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/ compares it with its alternatives.
    """

    max_attempts: int = 3
    """Tries in all, the first one included."""
    base_ms: int = 500
    """Bound of the first wait; each further one's is twice as large."""
    longest_wait_ms: int = 5_000
    """A worker that waits longer is better used for something else."""

    def delay_ms(
        self, attempt: int, error: ModelUnavailableError, *, remaining_ms: int, random: Callable[[], float]
    ) -> int | None:
        """Return how long to wait after a failed try; None to give up.

        Args:
            attempt: Which try has failed, from 1.
            error: Why; what it says of `retry_after_ms` is kept.
            remaining_ms: Time until the deadline; a wait as long as that is useless.
            random: Returns numbers evenly from 0 to 1.
        """
        if attempt >= self.max_attempts:
            return None
        bound_ms = min(self.longest_wait_ms, self.base_ms * 2 ** (attempt - 1))
        delay_ms = (error.retry_after_ms or 0) + int(random() * bound_ms)
        return delay_ms if delay_ms <= self.longest_wait_ms and delay_ms < remaining_ms else None


class RetryingModel(Struct, frozen=True, kw_only=True):
    """A LanguageModel that asks another one, again where that can help."""

    model: LanguageModel
    policy: RetryPolicy
    clock: Clock
    sleep: Callable[[float], None]
    """Waits for some seconds."""
    random: Callable[[], float]
    """Returns numbers evenly from 0 to 1."""

    def generate(self, call: ModelCall, *, deadline_ms: int) -> Generator[str | Generation, None, None]:
        """Yield what the model says; raises what its last try raised. See `LanguageModel`."""
        attempt = 0
        while True:
            attempt += 1
            spoken = False
            try:
                with closing(self.model.generate(call, deadline_ms=deadline_ms)) as stream:
                    for piece in stream:
                        spoken = True
                        yield piece
            except ModelUnavailableError as error:
                delay_ms = None if spoken else self._delay_ms(attempt, error, deadline_ms)
                if delay_ms is None:
                    raise
            else:
                return
            self.sleep(delay_ms / 1000)

    def _delay_ms(self, attempt: int, error: ModelUnavailableError, deadline_ms: int) -> int | None:
        remaining_ms = deadline_ms - self.clock()
        return self.policy.delay_ms(attempt, error, remaining_ms=remaining_ms, random=self.random)
