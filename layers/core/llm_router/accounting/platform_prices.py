"""List prices of the platform in one region: what a GB-second, a request unit or a message costs, and since when."""

from collections import defaultdict
from collections.abc import Iterator
from decimal import Decimal
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

import msgspec
from msgspec import Struct

from llm_router.accounting.prices import PriceSource, is_day, of_sources
from llm_router.accounting.quantities import QUANTITIES


class PlatformPrice(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Price of one metered amount from a day on: `usd` for `per` of it. Free tiers and volume discounts left out."""

    quantity: str
    """Field of `Quantities`."""
    effective_from: str | None = None
    """First UTC day, `YYYY-MM-DD`; None of a price of which no beginning is known."""
    usd: Decimal
    per: int
    unit: str
    """What `per` are called in the price list."""
    source: str

    def cost_nano_usd(self, amount: int) -> int:
        """Return the price of an amount, rounded half up to the nano-dollar."""
        return int((self.usd * 1_000_000_000 * amount / self.per + Decimal("0.5")) // 1)


class PlatformPrices(Struct, frozen=True, forbid_unknown_fields=True):
    """Every known price; those of an amount follow each other by their days."""

    region: str
    sources: dict[str, PriceSource]
    prices: tuple[PlatformPrice, ...]

    def in_force(self, day: str) -> dict[str, PlatformPrice]:
        """Return the prices of a UTC day, `YYYY-MM-DD`, by amount; one without a price on that day is not in it."""
        return {each.quantity: each for each in self.prices if (each.effective_from or "") <= day}


@lru_cache
def platform_prices() -> PlatformPrices:
    """Return the pinned price file."""
    file = Path(__file__).with_name("platform_prices.json")
    return msgspec.json.decode(file.read_bytes(), type=PlatformPrices)


def problems(book: PlatformPrices) -> list[str]:
    """Return what is wrong with a price file, a sentence each; whoever adds a price asks this before."""
    histories: dict[str, list[PlatformPrice]] = defaultdict(list)
    for each in book.prices:
        histories[each.quantity].append(each)
    return [
        *of_sources(book.sources, {each.source for each in book.prices}),
        *(problem for each in book.prices for problem in _of_price(each, book)),
        *(f"{name}: has no price" for name in QUANTITIES if name not in histories),
        *(
            f"{name}: its prices do not follow each other by their days"
            for name, history in histories.items()
            if any((one.effective_from or "") >= (other.effective_from or "") for one, other in pairwise(history))
        ),
    ]


def _of_price(price: PlatformPrice, book: PlatformPrices) -> Iterator[str]:
    name = f"{price.quantity} from {price.effective_from or 'the beginning'}"
    if price.quantity not in QUANTITIES:
        yield f"{name}: nothing of this name is metered"
    if price.source not in book.sources:
        yield f"{name}: the source {price.source!r} is not listed"
    if price.effective_from is not None and not is_day(price.effective_from):
        yield f"{name}: that is not a day"
    if not (price.usd.is_finite() and price.usd > 0 and price.per > 0):
        yield f"{name}: an amount is not positive"
