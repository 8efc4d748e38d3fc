"""The days of a time zone, and the UTC days and half hours that they are made of."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from msgspec import Struct

SLOT_MINUTES: Final = 30
_DAY: Final = timedelta(days=1)
_MIDNIGHT: Final = "00:00"
_END: Final = "24:00"


class Part(Struct, frozen=True):
    """The half hours of a UTC day that begin at `first` or later, and before `end`; the whole day unless said."""

    day: str
    first: str = _MIDNIGHT
    end: str = _END

    @property
    def is_whole(self) -> bool:
        """Whether this is all of the day."""
        return (self.first, self.end) == (_MIDNIGHT, _END)

    @property
    def is_most(self) -> bool:
        """Whether this is more than half of the day."""
        return _minutes(self.end) - _minutes(self.first) > _minutes(_END) // 2

    @property
    def rest(self) -> Sequence["Part"]:
        """What the day has before and after it."""
        around = ((_MIDNIGHT, self.first), (self.end, _END))
        return [Part(self.day, first, end) for first, end in around if first < end]


def starts(first_day: date, last_day: date, zone: ZoneInfo) -> list[datetime]:
    """Return when each day of a zone begins, and when the last one ends, in UTC."""
    days = (last_day - first_day).days + 1
    # A midnight that does not exist is the moment the clocks are put forward; of one that comes twice it is the first.
    return [datetime.combine(first_day + number * _DAY, time.min, zone).astimezone(UTC) for number in range(days + 1)]


def parts(start: datetime, end: datetime) -> list[Part]:
    """Return what lies between two moments of UTC, on half hours both, cut at midnights of UTC."""
    found = []
    while start < end:
        midnight = datetime.combine(start.date() + _DAY, time.min, UTC)
        stop = min(midnight, end)
        found.append(Part(start.date().isoformat(), _clock(start), _END if stop == midnight else _clock(stop)))
        start = stop
    return found


def is_midnight(moment: datetime) -> bool:
    """Whether a UTC day begins at this moment."""
    return moment.timetz() == time.min.replace(tzinfo=UTC)


def is_slot(moment: datetime) -> bool:
    """Whether a half hour of UTC begins at this moment."""
    return moment.minute % SLOT_MINUTES == moment.second == 0


def _clock(moment: datetime) -> str:
    return f"{moment:%H:%M}"


def _minutes(clock: str) -> int:
    hours, _, minutes = clock.partition(":")
    return 60 * int(hours) + int(minutes)
