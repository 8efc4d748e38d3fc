"""List prices of models: what a token costs, where, and since when; the file keeps every price there was."""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from datetime import date
from decimal import Decimal
from difflib import get_close_matches
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

import msgspec
from msgspec import Struct

from llm_router.errors import ConfigError


class PriceSource(Struct, frozen=True, forbid_unknown_fields=True):
    """Where prices were read, and on which day."""

    url: str
    retrieved: str


class ListPrice(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Price of a model from a day on; dollars per million tokens are thousands of nano-dollars per token."""

    model: str
    """Name that the provider's API knows it by, and no other provider's."""
    provider: str
    effective_from: str | None = None
    """First UTC day, `YYYY-MM-DD`; None of a price of which no beginning is known."""
    input_usd_per_million_tokens: Decimal
    cached_input_usd_per_million_tokens: Decimal | None = None
    """Of input that the provider still knew from before; None where no lower price is known for it."""
    output_usd_per_million_tokens: Decimal
    source: str

    def cost_nano_usd(self, input_tokens: int, output_tokens: int, cached_input_tokens: int = 0) -> int:
        """Return the price of so many tokens, rounded half up to the nano-dollar.

        The cached ones are among the input tokens.
        """
        exact = self.exact_nano_usd(input_tokens, output_tokens, cached_input_tokens)
        return int((exact + Decimal("0.5")) // 1)

    def exact_nano_usd(self, input_tokens: int, output_tokens: int, cached_input_tokens: int = 0) -> Decimal:
        """Return the price of so many tokens in nano-dollars, to be added up before it is rounded."""
        cached_usd = self.cached_input_usd_per_million_tokens
        micro_usd = (
            self.input_usd_per_million_tokens * (input_tokens - cached_input_tokens)
            + (self.input_usd_per_million_tokens if cached_usd is None else cached_usd) * cached_input_tokens
            + self.output_usd_per_million_tokens * output_tokens
        )
        return micro_usd * 1000


class PriceBook(Struct, frozen=True, forbid_unknown_fields=True):
    """Every known price; those of a model follow each other by their days."""

    providers: dict[str, str]
    """Address of each provider's own price list."""
    sources: dict[str, PriceSource]
    prices: tuple[ListPrice, ...]

    def in_force(self, day: str) -> dict[str, ListPrice]:
        """Return the prices of a UTC day, `YYYY-MM-DD`, by model; a model without a price on that day is not in it."""
        return {each.model: each for each in self.prices if (each.effective_from or "") <= day}

    def price(self, model: str, day: str) -> ListPrice:
        """Return a model's price on a UTC day.

        Raises:
            ConfigError: the model has no known price on that day; another model's is never used instead.
        """
        known = self.in_force(day)
        if model not in known:
            near = get_close_matches(model, known)
            like = f", among them {', '.join(near)}" if near else ""
            raise ConfigError([f"no list price is known for {model!r} on {day}; {len(known)} models have one{like}"])
        return known[model]


@lru_cache
def price_book() -> PriceBook:
    """Return the pinned price file."""
    return msgspec.json.decode(Path(__file__).with_name("prices.json").read_bytes(), type=PriceBook)


def problems(book: PriceBook) -> list[str]:
    """Return what is wrong with a price book, a sentence each; whoever adds a price asks this before."""
    histories: dict[str, list[ListPrice]] = defaultdict(list)
    for each in book.prices:
        histories[each.model].append(each)
    return [
        *of_sources(book.sources, {each.source for each in book.prices}),
        *(problem for each in book.prices for problem in _of_price(each, book)),
        *(problem for model, history in histories.items() for problem in _of_history(model, history)),
    ]


def of_sources(sources: Mapping[str, PriceSource], cited: Collection[str]) -> Iterator[str]:
    """Yield what is wrong with the sources of prices."""
    for name, source in sources.items():
        if not source.url.startswith("https://"):
            yield f"source {name}: has no address"
        if not is_day(source.retrieved):
            yield f"source {name}: {source.retrieved!r} is not a day"
        if name not in cited:
            yield f"source {name}: no price is from there"


def _of_price(price: ListPrice, book: PriceBook) -> Iterator[str]:
    name = f"{price.model} from {price.effective_from or 'the beginning'}"
    input_usd, cached_usd = price.input_usd_per_million_tokens, price.cached_input_usd_per_million_tokens
    amounts = [input_usd, price.output_usd_per_million_tokens, *([] if cached_usd is None else [cached_usd])]
    if price.provider not in book.providers:
        yield f"{name}: the provider {price.provider!r} is not listed"
    if price.source not in book.sources:
        yield f"{name}: the source {price.source!r} is not listed"
    if price.effective_from is not None and not is_day(price.effective_from):
        yield f"{name}: that is not a day"
    if not all(amount.is_finite() and amount > 0 for amount in amounts):
        yield f"{name}: an amount is not positive"
    elif cached_usd is not None and cached_usd > input_usd:
        yield f"{name}: cached input costs more than other input"


def _of_history(model: str, history: list[ListPrice]) -> Iterator[str]:
    if len({each.provider for each in history}) > 1:
        yield f"{model}: more than one provider has a price"
    days = [each.effective_from or "" for each in history]
    if any(earlier >= later for earlier, later in pairwise(days)):
        yield f"{model}: its prices do not follow each other by their days"


def is_day(text: str) -> bool:
    """Whether a text is a day, `YYYY-MM-DD`."""
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False
