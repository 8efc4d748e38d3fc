"""In which minutes the box ran, as the probe saw it, and what they cost."""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

MINUTES: Final = 60


class BoxMinute(StrEnum):
    """How the box was found in a minute."""

    UP = "up"
    SILENT = "silent"
    """It did not answer; an instance that hangs is billed like any other."""
    ASLEEP = "asleep"
    """It is known to be stopped, and not billed."""


class BoxHour(Struct, frozen=True, kw_only=True):
    """Minutes of one UTC hour, 0 to 59, by how the box was found in them; unknown are those without a look."""

    day: str
    """UTC day, `YYYY-MM-DD`."""
    hour: int
    nano_usd_per_hour: int
    """Price of the box at the last look."""
    up: frozenset[int] = frozenset()
    silent: frozenset[int] = frozenset()
    asleep: frozenset[int] = frozenset()

    @property
    def billed_minutes(self) -> int:
        """How many minutes the box ran."""
        return len(self.up | self.silent)

    @property
    def observed_minutes(self) -> int:
        """How many minutes are known."""
        return len(self.up | self.silent | self.asleep)

    def between(self, first: datetime, end: datetime) -> "BoxHour":
        """Return the hour without the minutes before `first`, and without those from `end` on."""
        begin = datetime.fromisoformat(f"{self.day}T{self.hour:02}:00+00:00")
        if first <= begin and begin + timedelta(hours=1) <= end:
            return self
        kept = {minute for minute in range(MINUTES) if first <= begin + timedelta(minutes=minute) < end}
        return replace(self, up=self.up & kept, silent=self.silent & kept, asleep=self.asleep & kept)
