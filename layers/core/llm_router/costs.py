"""Money, in integer nano-dollars: what an answer cost and what it would have cost elsewhere."""

from decimal import Decimal
from typing import Final

from msgspec import Struct

from llm_router.accounting.prices import PriceBook, price_book

NANO_USD_PER_USD: Final = 1_000_000_000
_NS_PER_HOUR: Final = 3_600_000_000_000
REPORTED_BASELINES: Final = ("gpt-3.5-turbo", "gpt-4o", "gpt-4o-mini")
"""Always reported beside the configured baseline, so that a flattering choice shows."""


class Costs(Struct, frozen=True):
    """Prices one installation calculates with."""

    instance_nano_usd_per_hour: int
    baseline_model: str
    prices: PriceBook

    @classmethod
    def of(cls, instance_usd_per_hour: str, baseline_model: str, today: str) -> "Costs":
        """Build from the settings' instance price and baseline model.

        Raises:
            ConfigError: the baseline model has no known price today.
        """
        prices = price_book()
        prices.price(baseline_model, today)
        return cls(nano_usd(Decimal(instance_usd_per_hour)), baseline_model, prices)

    def box_nano_usd(self, busy_ns: int) -> int:
        """Return what the box costs for the time it was busy: busy time x hourly price, rounded half up."""
        return (busy_ns * self.instance_nano_usd_per_hour + _NS_PER_HOUR // 2) // _NS_PER_HOUR

    def baseline_nano_usd(self, input_tokens: int, output_tokens: int, day: str) -> int:
        """Return the list price of the same number of tokens on the baseline model that day, nothing being cached."""
        return self.prices.price(self.baseline_model, day).cost_nano_usd(input_tokens, output_tokens)


def nano_usd(usd: Decimal) -> int:
    """Return dollars as integer nano-dollars, rounded half up."""
    return int((usd * NANO_USD_PER_USD + Decimal("0.5")) // 1)


def usd(nano: int) -> float:
    """Return nano-dollars as dollars, for showing; never add such figures up."""
    return nano / NANO_USD_PER_USD
