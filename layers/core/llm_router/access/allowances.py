"""What a request that needs a model takes of its key: a slot, and a share of the month's budget.

The share is reserved before the request is begun, and as large as the request can cost, so that no number of requests
at once spends more than there is. When it has ended, whoever counts its usage record charges what it did cost instead.
"""

from calendar import monthrange
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from llm_router.access.callers import Caller
from llm_router.access.keys import LowBudgetPolicy
from llm_router.access.limits import Balance, BudgetAlert, Reservation
from llm_router.access.worst_case import WorstCase
from llm_router.arms import FORCED_ARM
from llm_router.errors import BudgetExceededError, NotFoundError, RateLimitedError, StoreError
from llm_router.jobs import utc_day
from llm_router.models import Job, Lane
from llm_router.ports import AllowanceStore, Clock

BUDGET: Final = "budget"
"""What an answer had to do without that a cheaper model gave."""
LOW_PERCENT: Final = 80
"""Of a budget: from then on it runs low."""
OPENED_AFTER_MS: Final = 60_000
"""A request has been stored within this time after it took its slot, or never will be."""
LOST_AFTER_MS: Final = 900_000
"""No function runs for longer; what it reserved for a request that is not stored by then, it never stores."""
_KNOWN_MS: Final = 12 * 3_600_000
"""Requests are kept for longer than that: later nobody could tell one that has expired from one that never was."""
_RETRY_MS: Final = 2000
_ATTEMPTS: Final = 4


class LowBudgetError(Exception):
    """The budget runs low, and a cheaper model is to answer."""

    def __init__(self, cheapest: str) -> None:
        super().__init__(cheapest)
        self.cheapest = cheapest


class Allowances(Struct, frozen=True, kw_only=True):
    """Slots and budgets of keys; a key without limits of these kinds costs no call."""

    store: AllowanceStore
    worst_case: WorstCase
    clock: Clock
    announce: Callable[[BudgetAlert], object]
    """Tells that a budget runs low; raises StoreError when it cannot, and is called again later."""
    on_store_error: Callable[[StoreError], object]
    """Told when slots cannot be counted, which keeps nobody from asking, or nobody could be told."""

    def take(self, caller: Caller, job: Job, look: Callable[[str], Job], *, cheaper: Sequence[str]) -> Job:
        """Return a job with what it takes of its caller's key.

        Args:
            caller: Who asks.
            job: A request that is not stored yet.
            look: Reads another request, and gets it going again where it is stuck.
            cheaper: The models that may answer in its place where the budget runs low and its key wants that.

        Raises:
            RateLimitedError: as many requests of the key are on their way as may be.
            BudgetExceededError: the budget does not cover the job.
            LowBudgetError: it runs low, and one of the models named is to answer.
            StoreError: nobody knows what is left of the budget.
        """
        self._take_slot(caller, job, look)
        try:
            return self._reserve(caller, job, look, cheaper)
        except (BudgetExceededError, LowBudgetError, StoreError):
            self._free(caller, [_slot(job)])
            raise

    def give_back(self, caller: Caller, job: Job) -> None:
        """Return what a job took that never came to be; what cannot be returned now may be found later."""
        self._free(caller, [_slot(job)])
        if job.reservation is not None:
            try:
                self.store.release(job.reservation, _name(job, job.reservation))
            except StoreError as error:
                self.on_store_error(error)

    def note_opened(self, job: Job) -> None:
        """Note that a job is stored, whose end gives back what it holds; what fails here shows when it is looked at."""
        if job.reservation is not None:
            try:
                self.store.note_opened(job.reservation, _name(job, job.reservation))
            except StoreError as error:
                self.on_store_error(error)

    def _reserve(self, caller: Caller, job: Job, look: Callable[[str], Job], cheaper: Sequence[str]) -> Job:
        budget = caller.limits.monthly_budget_nano_usd
        if budget is None:
            return job
        # A model that the caller insists on is not replaced, and neither is the one that took another's place.
        spares = caller.limits.low_budget_policy is LowBudgetPolicy.DOWNGRADE and job.arm != FORCED_ARM and cheaper
        low = budget * LOW_PERCENT // 100
        held = Reservation(
            key_id=caller.key_id, month=utc_day(job.created_at_ms)[:7], nano_usd=self.worst_case.nano_usd(job)
        )
        ceiling = low if spares else budget
        is_taken, balance = self.store.reserve(held, ceiling, _name(job, held))
        if not is_taken and self._release_lost(held, balance, look):
            is_taken, balance = self.store.reserve(held, ceiling, _name(job, held))
        if balance.committed_nano_usd >= low > 0 and not balance.is_announced:
            alert = BudgetAlert(
                key_id=held.key_id,
                tenant=caller.tenant,
                month=held.month,
                budget_nano_usd=budget,
                committed_nano_usd=balance.committed_nano_usd,
                spent_nano_usd=balance.spent_nano_usd,
            )
            self._tell(alert, held)
        if not is_taken:
            if spares:
                raise LowBudgetError(min(cheaper, key=partial(self.worst_case.alone_nano_usd, job)))
            message = "what is left of this key's budget of the month does not cover the request"
            # What others have only reserved comes back, mostly, when they have ended.
            is_spent = balance.spent_nano_usd + held.nano_usd > budget
            wait_ms = max(_RETRY_MS, _month_end_ms(held.month) - self.clock()) if is_spent else _RETRY_MS
            raise BudgetExceededError(message, field="monthly_budget_nano_usd", retry_after_ms=wait_ms)
        return replace(job, reservation=held)

    def _release_lost(self, held: Reservation, balance: Balance, look: Callable[[str], Job]) -> bool:
        """Give back what functions reserved that died before they had stored their requests; return if there were any.

        A reservation whose request is there after all is left to its end.
        """
        lost = False
        for name in balance.opening:
            taken_at_ms, job_id, nano_usd = name.split("#")
            if not LOST_AFTER_MS < self.clock() - int(taken_at_ms) < _KNOWN_MS:
                continue
            try:
                is_stored = look(job_id).created_at_ms == int(taken_at_ms)
            except NotFoundError:
                is_stored = False
            if is_stored:
                self.store.note_opened(held, name)
            else:
                self.store.release(replace(held, nano_usd=int(nano_usd)), name)
                lost = True
        return lost

    def _tell(self, alert: BudgetAlert, held: Reservation) -> None:
        try:
            self.announce(alert)
            self.store.note_announced(held)
        except StoreError as error:
            self.on_store_error(error)

    def _take_slot(self, caller: Caller, job: Job, look: Callable[[str], Job]) -> None:
        limit = caller.limits.concurrent_requests
        if limit is None or job.lane is not Lane.INTERACTIVE:
            return
        try:
            for _ in range(_ATTEMPTS):
                taken = self.store.take_slot(caller.key_id, _slot(job), limit, self.clock())
                over = [slot for slot in taken if self._is_over(slot, look)]
                if not taken:
                    return
                if not over:
                    break
                self.store.free_slots(caller.key_id, over)
        except StoreError as error:
            self.on_store_error(error)
            return
        message = f"{limit} requests of this key are on their way, which is as many as may be"
        raise RateLimitedError(message, field="concurrent_requests", retry_after_ms=_RETRY_MS)

    def _is_over(self, slot: str, look: Callable[[str], Job]) -> bool:
        """Whether the request that took a slot has ended, or was never stored."""
        taken_at_ms, _, job_id = slot.partition("#")
        try:
            return look(job_id).status.finished
        except NotFoundError:
            return int(taken_at_ms) + OPENED_AFTER_MS < self.clock()

    def _free(self, caller: Caller, slots: Sequence[str]) -> None:
        if caller.limits.concurrent_requests is not None:
            try:
                self.store.free_slots(caller.key_id, slots)
            except StoreError as error:
                self.on_store_error(error)


def _slot(job: Job) -> str:
    return f"{job.created_at_ms}#{job.job_id}"


def _name(job: Job, held: Reservation) -> str:
    return f"{_slot(job)}#{held.nano_usd}"


def _month_end_ms(month: str) -> int:
    year, number = map(int, month.split("-"))
    start = datetime(year, number, 1, tzinfo=UTC)
    return round(start.timestamp() * 1000) + monthrange(year, number)[1] * 24 * 3600 * 1000
