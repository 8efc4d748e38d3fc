"""Money, in integer nano-dollars: what an answer cost and what it would have cost elsewhere."""

from decimal import Decimal
from functools import lru_cache
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from llm_router.errors import ConfigError

NANO_USD_PER_USD: Final = 1_000_000_000
_NS_PER_HOUR: Final = 3_600_000_000_000
REPORTED_BASELINES: Final = ("gpt-3.5-turbo", "gpt-4o", "gpt-4o-mini")
"""Always reported beside the configured baseline, so that a flattering choice shows."""


class ListPrice(Struct, frozen=True):
    """Price of a model by the token; dollars per million tokens are thousands of nano-dollars per token."""

    input_usd_per_million_tokens: Decimal
    output_usd_per_million_tokens: Decimal

    def cost_nano_usd(self, input_tokens: int, output_tokens: int) -> int:
        """Return the price of so many tokens, rounded half up to the nano-dollar."""
        micro_usd = (
            self.input_usd_per_million_tokens * input_tokens + self.output_usd_per_million_tokens * output_tokens
        )
        return int((micro_usd * 1000 + Decimal("0.5")) // 1)


class PriceBook(Struct, frozen=True):
    """Dated list prices of the models we compare with."""

    retrieved: str
    source: str
    models: dict[str, ListPrice]

    def price(self, model: str) -> ListPrice:
        """Return a model's list price.

        Raises:
            ConfigError: the model has no known price; another model's is never used instead.
        """
        try:
            return self.models[model]
        except KeyError:
            known = ", ".join(sorted(self.models))
            raise ConfigError([f"no list price is known for {model!r}; known: {known}"]) from None


@lru_cache
def price_book() -> PriceBook:
    """Return the pinned price file."""
    return msgspec.json.decode(Path(__file__).with_name("prices.json").read_bytes(), type=PriceBook, strict=False)


class Costs(Struct, frozen=True):
    """Prices one installation calculates with."""

    instance_nano_usd_per_hour: int
    baseline: ListPrice

    @classmethod
    def of(cls, instance_usd_per_hour: str, baseline_model: str) -> "Costs":
        """Build from the settings' instance price and baseline model.

        Raises:
            ConfigError: the baseline model has no known price.
        """
        return cls(nano_usd(Decimal(instance_usd_per_hour)), price_book().price(baseline_model))

    def box_nano_usd(self, busy_ns: int) -> int:
        """Return what the box costs for the time it was busy: busy time x hourly price, rounded half up."""
        return (busy_ns * self.instance_nano_usd_per_hour + _NS_PER_HOUR // 2) // _NS_PER_HOUR

    def baseline_nano_usd(self, input_tokens: int, output_tokens: int) -> int:
        """Return the list price of the same number of tokens on the baseline model."""
        return self.baseline.cost_nano_usd(input_tokens, output_tokens)


def nano_usd(usd: Decimal) -> int:
    """Return dollars as integer nano-dollars, rounded half up."""
    return int((usd * NANO_USD_PER_USD + Decimal("0.5")) // 1)


def usd(nano: int) -> float:
    """Return nano-dollars as dollars, for showing; never add such figures up."""
    return nano / NANO_USD_PER_USD
