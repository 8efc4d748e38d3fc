"""What a report is asked for: the period, its time zone and whose requests, from the parameters of a query."""

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from importlib.resources import files
from typing import Final
from zoneinfo import ZoneInfo

from msgspec import Struct

from analytics.periods import SLOT_MINUTES, is_midnight, is_slot, starts
from llm_router.access.keys import Role
from llm_router.errors import ForbiddenError, InvalidRequestError
from llm_router.query_parameters import only_known, whole_number
from llm_router.report_responses import Period

MAX_DAYS: Final = 366
DEFAULT_DAYS: Final = 30
EARLIEST: Final = date(2020, 1, 1)
"""No request is older, and no time zone's arithmetic leaves the calendar."""
SLOT_DAYS: Final = 398
"""How far back half hours can be read; they are kept for 400 days."""
DIMENSIONS: Final = ("model", "complexity", "arm", "source", "tenant")
PERIOD_PARAMETERS: Final = frozenset({"days", "from", "to", "tz", "tenant"})
COSTS_PARAMETERS: Final = PERIOD_PARAMETERS | {"by"}
_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


class ReportQuery(Struct, frozen=True, kw_only=True):
    """Which requests a report is about."""

    tenant: str
    """`all` are everybody's."""
    first_day: date
    last_day: date
    zone: ZoneInfo
    by: str = "model"
    """One of DIMENSIONS: what a report on costs has a row for each of."""


def parse_query(
    given: Mapping[str, str],
    tenant: str,
    role: Role,
    now_ms: int,
    known: frozenset[str] = PERIOD_PARAMETERS,
) -> ReportQuery:
    """Return what the query parameters of a caller of some role ask for about a tenant.

    Raises:
        InvalidRequestError: one of them is not `known`, or breaks its rule.
        ForbiddenError: only an admin may ask that.
    """
    only_known(given, known)
    zone = _zone(given.get("tz", "UTC"))
    today = datetime.fromtimestamp(now_ms / 1000, tz=UTC).astimezone(zone).date()
    first_day, last_day = _days(given, today)
    _check_slots(first_day, last_day, zone, today)
    return ReportQuery(
        tenant=tenant,
        first_day=first_day,
        last_day=last_day,
        zone=zone,
        by=_dimension(given.get("by", "model"), role),
    )


def period(query: ReportQuery) -> Period:
    """Return the period as reports show it."""
    return Period(query.first_day.isoformat(), query.last_day.isoformat(), query.zone.key)


def days_of(query: ReportQuery) -> list[str]:
    """Return the days of the period, the oldest first."""
    count = (query.last_day - query.first_day).days + 1
    return [(query.first_day + timedelta(days=number)).isoformat() for number in range(count)]


def _zone(name: str) -> ZoneInfo:
    if name not in _zone_names():
        raise InvalidRequestError("must be a name of the IANA time zone database, such as Europe/Berlin", field="tz")
    return ZoneInfo(name)


@lru_cache
def _zone_names() -> frozenset[str]:
    return frozenset((files("tzdata") / "zones").read_text(encoding="utf-8").split())


def _days(given: Mapping[str, str], today: date) -> tuple[date, date]:
    if "from" not in given and "to" not in given:
        days = whole_number(given, "days", least=1, most=MAX_DAYS, default=DEFAULT_DAYS)
        return today - timedelta(days=days - 1), today
    if "days" in given:
        raise InvalidRequestError("is given instead of from and to, not with them", field="days")
    first_day, last_day = (_date(given, name) for name in ("from", "to"))
    if first_day < EARLIEST:
        raise InvalidRequestError(f"must be {EARLIEST} or later", field="from")
    if last_day > today + timedelta(days=MAX_DAYS):
        raise InvalidRequestError(f"must not be more than {MAX_DAYS} days from now", field="to")
    if not 0 <= (last_day - first_day).days < MAX_DAYS:
        raise InvalidRequestError(f"must be from 0 to {MAX_DAYS - 1} days after `from`", field="to")
    return first_day, last_day


def _date(given: Mapping[str, str], name: str) -> date:
    try:
        if _DATE.fullmatch(given.get(name, "")):
            return date.fromisoformat(given[name])
    except ValueError:
        pass  # such as 30 February
    raise InvalidRequestError("must be a date, YYYY-MM-DD; `from` and `to` come together", field=name)


def _check_slots(first_day: date, last_day: date, zone: ZoneInfo, today: date) -> None:
    moments = starts(first_day, last_day, zone)
    if not all(map(is_slot, moments)):
        raise InvalidRequestError(f"must be a multiple of {SLOT_MINUTES} minutes from UTC on these days", field="tz")
    if not all(map(is_midnight, moments)) and first_day < today - timedelta(days=SLOT_DAYS):
        raise InvalidRequestError(f"must be at most {SLOT_DAYS} days ago, except in UTC", field="from")


def _dimension(by: str, role: Role) -> str:
    if by not in DIMENSIONS:
        raise InvalidRequestError(f"must be one of {', '.join(DIMENSIONS)}", field="by")
    if by == "tenant" and role is not Role.ADMIN:
        raise ForbiddenError("only an admin may compare tenants", field="by")
    return by
