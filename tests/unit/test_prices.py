import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

import llm_router.accounting.prices
from llm_router.accounting.prices import ListPrice, PriceBook, PriceSource, price_book, problems
from llm_router.costs import REPORTED_BASELINES
from llm_router.errors import ConfigError

DAY = "2026-11-23"
FILE = Path(llm_router.accounting.prices.__file__).with_name("prices.json")
TOKENS = st.integers(0, 10_000_000)
USAGES = st.tuples(TOKENS, TOKENS, st.integers(0, 100)).map(
    lambda drawn: (drawn[0], drawn[1], drawn[0] * drawn[2] // 100)
)
"""Tokens in and out, and how many of those in were cached."""


def make_price(**fields: Any) -> ListPrice:
    """Return a price: 1 dollar per million tokens in, 0.1 for cached ones, 2 for those out."""
    usual: dict[str, Any] = {
        "model": "some",
        "provider": "there",
        "input_usd_per_million_tokens": Decimal(1),
        "cached_input_usd_per_million_tokens": Decimal("0.1"),
        "output_usd_per_million_tokens": Decimal(2),
        "source": "list",
    }
    return ListPrice(**usual | fields)


def make_book(*prices: ListPrice, **fields: Any) -> PriceBook:
    """Return a price book with one provider and one source."""
    usual: dict[str, Any] = {
        "providers": {"there": "https://example.com/pricing"},
        "sources": {"list": PriceSource("https://example.com/list", DAY)},
    }
    return PriceBook(prices=prices or (make_price(),), **usual | fields)


@pytest.mark.parametrize(
    ("model", "nano"),
    [
        # 1000 tokens in, 500 out, at the dollars per million tokens of the price file
        ("gpt-4", 1000 * 30_000 + 500 * 60_000),
        ("gpt-3.5-turbo", 1000 * 500 + 500 * 1_500),
        ("gpt-4o", 1000 * 2_500 + 500 * 10_000),
        ("gpt-4o-mini", 1000 * 150 + 500 * 600),
        ("claude-opus-5-5", 1000 * 4_000 + 500 * 20_000),
        ("gemini-2.5-flash", 1000 * 300 + 500 * 2_500),
        ("llama-3.3-70b-versatile", 1000 * 590 + 500 * 790),
    ],
)
def test_cost(model: str, nano: int) -> None:
    """Tokens cost what the price list says, to the nano-dollar."""
    assert nano == price_book().price(model, DAY).cost_nano_usd(1000, 500)


def test_cached_input() -> None:
    """Cached tokens cost their own price, and that of all input where no lower one is known."""
    discount = make_price()
    none = make_price(cached_input_usd_per_million_tokens=None)

    assert 30 * 1000 + 70 * 100 + 5 * 2000 == discount.cost_nano_usd(100, 5, 70)
    assert 100 * 1000 + 5 * 2000 == none.cost_nano_usd(100, 5, 70) == none.cost_nano_usd(100, 5)


@pytest.mark.parametrize(("tokens", "nano"), [(0, 0), (1, 1), (2, 1), (3, 2), (4, 2)])
def test_cost_rounds_half_up(tokens: int, nano: int) -> None:
    """At half a nano-dollar a token, an odd one rounds up."""
    assert nano == make_price(input_usd_per_million_tokens=Decimal("0.0005")).cost_nano_usd(tokens, 0)


@given(st.sampled_from(price_book().prices), USAGES, USAGES)
def test_splitting_tokens(price: ListPrice, one: tuple[int, int, int], other: tuple[int, int, int]) -> None:
    """At any price of the file, two costs added differ from the cost of the sum by a nano-dollar at most."""
    apart = price.cost_nano_usd(*one) + price.cost_nano_usd(*other)
    together = price.cost_nano_usd(*(mine + theirs for mine, theirs in zip(one, other, strict=True)))

    assert isinstance(apart, int)
    assert abs(apart - together) <= 1


@given(st.sampled_from(price_book().prices), USAGES)
def test_cache_never_costs_more(price: ListPrice, usage: tuple[int, int, int]) -> None:
    """With some of its input cached, nothing costs more than without, and nothing costs less than all of it cached."""
    input_tokens, output_tokens, cached = usage
    costs = [price.cost_nano_usd(input_tokens, output_tokens, tokens) for tokens in (input_tokens, cached, 0)]

    assert sorted(costs) == costs


@pytest.mark.parametrize(
    ("day", "dollars"),
    [("2026-07-09", "1"), ("2026-07-29", "1"), ("2026-07-30", "0.2"), ("2026-11-23", "0.2")],
)
def test_price_of_the_day(day: str, dollars: str) -> None:
    """A change of price leaves the days before it as they were."""
    assert Decimal(dollars) == price_book().price("gpt-5.6-luna", day).input_usd_per_million_tokens


def test_price_without_a_beginning() -> None:
    """A price of which no beginning is known is the one before every change."""
    assert ["10", "10", "2"] == [
        str(price_book().price("o3", day).input_usd_per_million_tokens)
        for day in ("2025-04-16", "2025-06-09", "2025-06-10")
    ]


@pytest.mark.parametrize(("model", "day"), [("gpt-9", DAY), ("gpt-5.6-luna", "2026-07-08"), ("cloud/gpt-4o", DAY)])
def test_unknown_price(model: str, day: str) -> None:
    """A model that has no price, or none yet, gets nobody else's; the error tells the like and how many there are."""
    known = len(price_book().in_force(day))
    with pytest.raises(
        ConfigError, match=rf"for '{model}' on {day}; {known} models have one, among them gpt-"
    ) as caught:
        price_book().price(model, day)

    assert model not in str(caught.value).partition("among them")[2].split(", ")


def test_nothing_like_it() -> None:
    """A name that no other is like is told how many models have a price."""
    with pytest.raises(ConfigError, match=r"no list price is known for 'x' on 2026-11-23; 1 models have one$"):
        make_book().price("x", DAY)


def test_file_is_in_order() -> None:
    """Nothing is wrong with the price file, it holds nothing twice, and it has the baselines that are always shown."""

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        assert len(pairs) == len(dict(pairs))
        return dict(pairs)

    json.loads(FILE.read_bytes(), object_pairs_hook=once)

    assert [] == problems(price_book())
    assert set(REPORTED_BASELINES) < set(price_book().in_force(DAY))
    assert 30 <= len(price_book().in_force(DAY)) <= 60


def test_good_book() -> None:
    """A book of a price without a beginning and a later one is in order."""
    assert [] == problems(make_book(make_price(), make_price(effective_from="2026-07-30")))


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"provider": "elsewhere"}, "some from the beginning: the provider 'elsewhere' is not listed"),
        ({"effective_from": "20260730"}, "some from 20260730: that is not a day"),
        ({"effective_from": "soon"}, "some from soon: that is not a day"),
        ({"input_usd_per_million_tokens": Decimal(0)}, "some from the beginning: an amount is not positive"),
        ({"output_usd_per_million_tokens": Decimal(-1)}, "some from the beginning: an amount is not positive"),
        ({"output_usd_per_million_tokens": Decimal("NaN")}, "some from the beginning: an amount is not positive"),
        ({"cached_input_usd_per_million_tokens": Decimal(0)}, "some from the beginning: an amount is not positive"),
        (
            {"cached_input_usd_per_million_tokens": Decimal("1.1")},
            "some from the beginning: cached input costs more than other input",
        ),
    ],
)
def test_bad_price(changes: dict[str, Any], problem: str) -> None:
    """Whatever is wrong with a price is said."""
    assert [problem] == problems(make_book(make_price(**changes)))


@pytest.mark.parametrize(
    ("days", "is_good"),
    [
        ((None, "2026-07-30"), True),
        (("2026-07-29", "2026-07-30"), True),
        (("2026-07-30", "2026-07-29"), False),
        (("2026-07-30", "2026-07-30"), False),
        (("2026-07-30", None), False),
        ((None, None), False),
    ],
)
def test_order_of_a_history(days: tuple[str | None, str | None], *, is_good: bool) -> None:
    """Prices of a model follow each other by their days, each day once, whatever stands between them."""
    first, second = (make_price(effective_from=day) for day in days)
    found = problems(make_book(first, make_price(model="other"), second))

    assert ([] if is_good else ["some: its prices do not follow each other by their days"]) == found


def test_two_providers() -> None:
    """A name that two providers have a price for would be billed at either's."""
    book = make_book(make_price(), make_price(provider="here", effective_from=DAY))

    assert ["some: more than one provider has a price"] == problems(
        replace(book, providers=book.providers | {"here": "https://example.org"})
    )


@pytest.mark.parametrize(
    ("sources", "found"),
    [
        ({}, ["some from the beginning: the source 'list' is not listed"]),
        ({"list": PriceSource("a friend", DAY)}, ["source list: has no address"]),
        ({"list": PriceSource("https://example.com", "today")}, ["source list: 'today' is not a day"]),
        (
            {name: PriceSource("https://example.com", DAY) for name in ("list", "more")},
            ["source more: no price is from there"],
        ),
    ],
)
def test_sources(sources: dict[str, PriceSource], found: list[str]) -> None:
    """Every price has a source with an address and a day, and every source a price."""
    assert found == problems(make_book(sources=sources))
