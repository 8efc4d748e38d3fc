"""What is counted of a key: its minute, and its budget of a month.

A key's minute begins with the first request after the one before has ended, and its bucket is full then; it is not
refilled in between. So no minute has more than the limit, however many ask at once, while two that follow each other
may have all of theirs close together.
"""

from typing import Final

from msgspec import Struct

MINUTE_MS: Final = 60_000


class Minute(Struct, frozen=True, kw_only=True):
    """A minute of a key, and what was taken in it."""

    ends_at_ms: int
    requests: int = 0
    tokens: int = 0

    def is_over(self, now_ms: int) -> bool:
        """Whether the next request begins another one."""
        return self.ends_at_ms <= now_ms


class Reservation(Struct, frozen=True, kw_only=True, order=True):
    """What a request holds of its key's budget until it has ended and counts for what it cost."""

    key_id: str
    month: str
    """UTC month, `YYYY-MM`, that it is charged to, whenever it ends."""
    nano_usd: int


class Balance(Struct, frozen=True, kw_only=True):
    """What has become of a key's budget in a month."""

    committed_nano_usd: int = 0
    """Spent, or reserved."""
    spent_nano_usd: int = 0
    """By requests that have ended."""
    is_announced: bool = False
    """Whether somebody was told that it runs low."""
    opening: frozenset[str] = frozenset()
    """Names of reservations whose requests may not have been stored."""


class BudgetAlert(Struct, frozen=True, kw_only=True):
    """Tells that a key has nearly used up its budget of a month."""

    key_id: str
    tenant: str
    month: str
    budget_nano_usd: int
    committed_nano_usd: int
    spent_nano_usd: int
