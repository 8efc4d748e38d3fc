"""When the box is awake, by the hours it keeps."""

import re
from datetime import datetime, time, timedelta
from typing import Annotated, Final, Protocol, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from msgspec import Meta, Struct

from llm_router.errors import ConfigError

_DAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_DAY: Final = f"({'|'.join(_DAYS)})"
_TIME: Final = "([01][0-9]|2[0-3]):[0-5][0-9]"
PATTERN: Final = rf"^{_DAY}(-{_DAY})? {_TIME}-{_TIME} [A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+)*$"
BoxHoursText = Annotated[str, Meta(pattern=PATTERN)]
"""Days, hours and time zone, such as `Mon-Fri 07:00-19:00 Europe/Berlin`."""


class Schedule(Protocol):
    """When the box is awake."""

    def wakes_in_ms(self, now_ms: int) -> int | None:
        """Return how long the box still sleeps; None while it is awake."""
        ...


class BoxSchedule(Struct, frozen=True, kw_only=True):
    """The same hours on some days of every week."""

    days: frozenset[int]
    """Monday is 0."""
    starts: time
    stops: time
    zone: ZoneInfo

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Read hours of the form of `BoxHoursText`; None where there are none, and the box never sleeps.

        Raises:
            ConfigError: they are no hours of one day, or the time zone is unknown.
        """
        if not text:
            return None
        if not re.match(PATTERN, text):
            raise ConfigError(["BOX_HOURS: must be like Mon-Fri 07:00-19:00 Europe/Berlin"])
        days, hours, zone = text.split(" ")
        first, last = (_DAYS.index(day) for day in (days[:3], days[-3:]))
        starts, stops = map(time.fromisoformat, hours.split("-"))
        if starts >= stops:
            raise ConfigError(["BOX_HOURS: must end later on the day that they begin"])
        try:
            found = ZoneInfo(zone)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise ConfigError([f"BOX_HOURS: no time zone is called {zone}"]) from error
        week = len(_DAYS)
        kept = frozenset((first + day) % week for day in range((last - first) % week + 1))
        return cls(days=kept, starts=starts, stops=stops, zone=found)

    def wakes_in_ms(self, now_ms: int) -> int | None:
        """Return how long the box still sleeps; None while it is awake."""
        now = datetime.fromtimestamp(now_ms / 1000, self.zone)
        if now.weekday() in self.days and self.starts <= now.time() < self.stops:
            return None
        starts = (datetime.combine(now + timedelta(days=day), self.starts, self.zone) for day in range(8))
        wakes = min(start.timestamp() for start in starts if start.weekday() in self.days and start > now)
        return max(1, round(wakes * 1000) - now_ms)
