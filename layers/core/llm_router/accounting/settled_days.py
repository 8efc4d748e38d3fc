"""Days of UTC: of which every record is there, and to which nothing is added any more."""

from calendar import monthrange
from datetime import UTC, datetime
from typing import Final

from llm_router.accounting.prices import is_day
from llm_router.errors import InvalidRequestError
from llm_router.jobs import utc_day

_HOUR_MS: Final = 3_600_000
_DAY_MS: Final = 24 * _HOUR_MS
SETTLED_AFTER_MS: Final = 25 * _HOUR_MS
"""How long after its end a day may be added to: the stream keeps a record for a day, which an hour more is for writing
after it was finished, for the index, and for the aggregator that has just read it."""
RECORDED_DAYS: Final = 394
"""Of how many days before today every record is still there."""


def is_settled(day: str, now_ms: int) -> bool:
    """Whether a UTC day has been over for so long that no record of it is on its way to be counted."""
    return _start_ms(day) + _DAY_MS + SETTLED_AFTER_MS <= now_ms


def last_settled_day(now_ms: int) -> str:
    """Return the last UTC day that is settled: the day before yesterday, and one more in the first hour of a day."""
    return utc_day(now_ms - _DAY_MS - SETTLED_AFTER_MS)


def check_recorded(day: str, now_ms: int) -> None:
    """Do nothing when every record of a UTC day is still there.

    Raises:
        InvalidRequestError: there is no such day, it has not begun, or its records may have expired.
    """
    if not is_day(day):
        raise InvalidRequestError("must be a date, YYYY-MM-DD", field="day")
    start_ms = _start_ms(day)
    if start_ms > now_ms:
        raise InvalidRequestError("must not be in the future", field="day")
    if start_ms < now_ms - RECORDED_DAYS * _DAY_MS:
        raise InvalidRequestError(f"must not be more than {RECORDED_DAYS} days ago", field="day")


def _start_ms(day: str) -> int:
    return int(datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp()) * 1000


def days_of_month(day: str) -> list[str]:
    """Return all days of a day's month."""
    year, month = map(int, day.split("-")[:2])
    return [f"{day[:7]}-{number:02}" for number in range(1, monthrange(year, month)[1] + 1)]
