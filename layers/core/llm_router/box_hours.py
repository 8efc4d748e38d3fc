"""In which minutes the box ran, as the probe saw it, and what they cost."""

from enum import StrEnum

from msgspec import Struct


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
