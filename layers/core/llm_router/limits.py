"""What is counted of a key.

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
