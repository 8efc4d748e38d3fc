"""The fully loaded cost: beside what requests cost by themselves, the idle hours of the box and the platform.

Every item is priced and rounded once for each UTC day, half up, at that day's price; sums are sums of those integers.

The hours of the box belong to the installation. A tenant bears the share of them that the box was busy for him of all
its busy time in the UTC month, or his share of the month's requests where it was never busy; so a day on which nobody
asked is borne by those who use the box in that month, and a month in which nobody asked by no tenant.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from typing import Final

from msgspec import Struct

from llm_router.accounting.box_hours import BoxHour
from llm_router.accounting.platform_prices import PlatformPrices

WHOLE: Final = Fraction(1)
_ITEMS: Final = {
    "lambda_nano_usd": ("lambda_mb_ms", "lambda_requests"),
    "dynamodb_nano_usd": (
        "read_request_milliunits",
        "write_request_milliunits",
        "vector_search_bytes",
        "vector_write_bytes",
    ),
    "gateway_nano_usd": ("gateway_requests",),
    "queue_nano_usd": ("queue_requests",),
}
_MINUTES_PER_HOUR: Final = 60
_MS_PER_MINUTE: Final = 60_000


class FullCost(Struct, frozen=True, kw_only=True):
    """What a period's requests cost in all, in integer nano-dollars; None where a price is unknown."""

    requests: int
    marginal_nano_usd: int
    """The box while it was busy, and the cloud's list price: what the requests cost by themselves."""
    box_idle_nano_usd: int
    """The hours in which the box was seen to run, or the tenant's share of them, less its busy time; never negative."""
    lambda_nano_usd: int | None
    """Time and requests of the functions that answer, the waiting of callers included."""
    dynamodb_nano_usd: int | None
    """Read and write request units, and bytes of the vector index."""
    gateway_nano_usd: int | None
    queue_nano_usd: int | None
    total_nano_usd: int | None
    """All of them."""
    nano_usd_per_request: int | None
    """Total by requests, rounded half up; None while there are none."""
    observed_hours: float
    """Of the box, as far as it was looked at; the others are unknown, and not in the cost."""
    billed_hours: float
    """Those of the observed hours in which the box ran, or was not known to be stopped."""


def full_cost(
    days: Mapping[str, Mapping[str, int]],
    hours: Sequence[BoxHour],
    prices: PlatformPrices,
    shares: Mapping[str, Fraction] | None = None,
) -> FullCost:
    """Return the cost of a period.

    Args:
        days: Sums of the counters of each UTC day.
        hours: Those of the box in the period.
        prices: Of the platform.
        shares: Of the box's hours, by UTC month, `YYYY-MM`; all of them by default.
    """
    platform = {item: _platform(days, names, prices) for item, names in _ITEMS.items()}
    marginal = sum(counters.get("actual_nano_usd", 0) for counters in days.values())
    requests = sum(counters.get("requests", 0) for counters in days.values())
    idle = _idle(days, hours, shares)
    known = [cost for cost in platform.values() if cost is not None]
    total = marginal + idle + sum(known) if len(known) == len(platform) else None
    return FullCost(
        requests=requests,
        marginal_nano_usd=marginal,
        box_idle_nano_usd=idle,
        **platform,
        total_nano_usd=total,
        nano_usd_per_request=_rounded(Fraction(total, requests)) if total is not None and requests else None,
        observed_hours=sum(each.observed_minutes for each in hours) / _MINUTES_PER_HOUR,
        billed_hours=sum(each.billed_minutes for each in hours) / _MINUTES_PER_HOUR,
    )


def share(tenant: str, month: Mapping[str, Mapping[str, int]]) -> Fraction:
    """Return a tenant's share of the box's hours of a month, of which these are every tenant's counters."""
    for name in ("busy_ms", "requests"):
        if whole := sum(counters.get(name, 0) for counters in month.values()):
            return Fraction(month.get(tenant, {}).get(name, 0), whole)
    return Fraction(0)


def _platform(days: Mapping[str, Mapping[str, int]], names: Iterable[str], prices: PlatformPrices) -> int | None:
    costs = 0
    for day, counters in days.items():
        in_force = prices.in_force(day)
        for name in names:
            if amount := counters.get(name, 0):
                if name not in in_force:
                    return None
                costs += in_force[name].cost_nano_usd(amount)
    return costs


def _idle(
    days: Mapping[str, Mapping[str, int]], hours: Iterable[BoxHour], shares: Mapping[str, Fraction] | None
) -> int:
    by_day: dict[str, list[BoxHour]] = defaultdict(list)
    for each in hours:
        by_day[each.day].append(each)
    idle = 0
    for day, seen in by_day.items():
        minutes = sum(each.billed_minutes for each in seen)
        cost = Fraction(sum(each.billed_minutes * each.nano_usd_per_hour for each in seen), _MINUTES_PER_HOUR)
        busy_ms = days.get(day, {}).get("busy_ms", 0)
        # At the day's mean price: a record does not tell in which hour the box worked for it.
        busy = cost * busy_ms / (minutes * _MS_PER_MINUTE) if minutes else Fraction(0)
        borne = cost * (WHOLE if shares is None else shares.get(day[:7], Fraction(0)))
        idle += _rounded(borne) - _rounded(busy)
    return max(0, idle)


def _rounded(nano_usd: Fraction) -> int:
    return int((nano_usd + Fraction(1, 2)) // 1)
