"""Stops asking a box that is dead, and lets one call through from time to time to see whether it is back."""

from collections.abc import Callable, Generator
from contextlib import closing
from typing import Protocol

from msgspec import Struct

from llm_router.box_schedule import Schedule
from llm_router.errors import ModelError, ModelTimeoutError, ModelUnavailableError, StoreError
from llm_router.models import Generation, ModelCall
from llm_router.ports import Clock, LanguageModel


class Admission(Struct, frozen=True):
    """Leave to make one call; its outcome is reported with it."""

    probe: str | None = None
    """Id of the probe that this call is; None while the circuit is closed."""


class Breaker(Protocol):
    """A circuit shared by everybody who calls one server. Every method raises StoreError when the store fails.

    Closed, it lets every call through and counts failures in a row, across all callers. At the limit it opens and
    refuses calls for a while. Then it is half open: exactly one call, the probe, is let through; its success closes
    the circuit, its failure opens it again, and a probe that never reports is replaced when its lease is over.
    """

    def check(self) -> Admission:
        """Return leave to call.

        Raises:
            ModelUnavailableError: the circuit is open, or another call is the probe; `retry_after_ms` is set.
        """

    def succeeded(self, admission: Admission) -> None:
        """Report that the server did its work: the circuit closes and the failures are forgotten."""

    def failed(self, admission: Admission) -> None:
        """Report that the server was not there, or broke off."""

    def abandoned(self, admission: Admission) -> None:
        """Report that the call was given up for a reason of the caller's: the next call may be the probe."""

    def retry_after_ms(self) -> int | None:
        """Return how long calls will be refused, as far as known; None when one would be let through."""


class SleepingBreaker(Struct, frozen=True, kw_only=True):
    """A Breaker that is also open while its server sleeps, whatever state that is in."""

    breaker: Breaker
    schedule: Schedule
    clock: Clock

    def check(self) -> Admission:
        """Return leave to call, while the server is awake; see `Breaker`."""
        wakes_in_ms = self.schedule.wakes_in_ms(self.clock())
        if wakes_in_ms is None:
            return self.breaker.check()
        error = ModelUnavailableError("The model server sleeps.")
        error.retry_after_ms = wakes_in_ms
        raise error

    def succeeded(self, admission: Admission) -> None:
        """Report to the circuit."""
        self.breaker.succeeded(admission)

    def failed(self, admission: Admission) -> None:
        """Report to the circuit, unless the server has gone to sleep over the call."""
        if self.schedule.wakes_in_ms(self.clock()) is None:
            self.breaker.failed(admission)
        else:
            self.breaker.abandoned(admission)

    def abandoned(self, admission: Admission) -> None:
        """Report to the circuit."""
        self.breaker.abandoned(admission)

    def retry_after_ms(self) -> int | None:
        """Return how long the server sleeps, or how long the circuit refuses calls."""
        wakes_in_ms = self.schedule.wakes_in_ms(self.clock())
        return self.breaker.retry_after_ms() if wakes_in_ms is None else wakes_in_ms


class GuardedModel(Struct, frozen=True, kw_only=True):
    """A LanguageModel behind a circuit breaker.

    A breaker whose table fails guards nothing, and is no reason to refuse an answer or to lose one.
    """

    model: LanguageModel
    breaker: Breaker
    on_store_error: Callable[[StoreError], None]
    """Told of a breaker that cannot be read or written, so that somebody hears of it."""

    def generate(self, call: ModelCall, *, deadline_ms: int) -> Generator[str | Generation, None, None]:
        """Yield what the model says, or raise ModelUnavailableError without asking it; see `LanguageModel`."""
        admission = self._check()
        report = self.breaker.abandoned
        try:
            with closing(self.model.generate(call, deadline_ms=deadline_ms)) as stream:
                for piece in stream:
                    if isinstance(piece, Generation):
                        report = self.breaker.succeeded
                    yield piece
        except (ModelUnavailableError, ModelTimeoutError):
            report = self.breaker.failed
            raise
        except ModelError:
            report = self.breaker.succeeded  # a server that refuses a prompt is alive
            raise
        finally:
            self._report(report, admission)

    def _check(self) -> Admission:
        try:
            return self.breaker.check()
        except StoreError as error:
            self.on_store_error(error)
            return Admission()

    def _report(self, report: Callable[[Admission], None], admission: Admission) -> None:
        try:
            report(admission)
        except StoreError as error:
            self.on_store_error(error)
