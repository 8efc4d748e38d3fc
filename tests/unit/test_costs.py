from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_router.costs import REPORTED_BASELINES, Costs, ListPrice, nano_usd, price_book, usd
from llm_router.errors import ConfigError

COSTS = Costs.of("0.145", "gpt-4")
TOKENS = st.integers(0, 10_000_000)
BUSY_NS = st.integers(0, 10**15)


@pytest.mark.parametrize(
    ("model", "nano"),
    [
        # 1000 tokens in, 500 out, at the dollars per million tokens of the price file
        ("gpt-4", 1000 * 30_000 + 500 * 60_000),
        ("gpt-3.5-turbo", 1000 * 500 + 500 * 1_500),
        ("gpt-4o", 1000 * 2_500 + 500 * 10_000),
        ("gpt-4o-mini", 1000 * 150 + 500 * 600),
    ],
)
def test_list_price(model: str, nano: int) -> None:
    """Tokens cost what the price list says, to the nano-dollar."""
    assert nano == price_book().price(model).cost_nano_usd(1000, 500)


def test_box_hour() -> None:
    """A busy hour costs the instance's hourly price, and ten seconds a 360th of it."""
    assert 145_000_000 == COSTS.box_nano_usd(3_600_000_000_000)
    assert 402_778 == COSTS.box_nano_usd(10_000_000_000)


def test_baseline() -> None:
    """The baseline is the list price of the same tokens."""
    assert 21 * 30_000 + 80 * 60_000 == COSTS.baseline_nano_usd(21, 80)


@pytest.mark.parametrize(("busy_ns", "nano"), [(0, 0), (4_999, 0), (5_000, 1), (14_999, 1), (15_000, 2)])
def test_box_rounds_half_up(busy_ns: int, nano: int) -> None:
    """At 100 nano-dollars a millisecond, 5 microseconds are half a nano-dollar and round up."""
    assert nano == Costs.of("0.36", "gpt-4").box_nano_usd(busy_ns)


@pytest.mark.parametrize(("tokens", "nano"), [(0, 0), (1, 1), (2, 1), (3, 2), (4, 2)])
def test_list_price_rounds_half_up(tokens: int, nano: int) -> None:
    """At half a nano-dollar a token, an odd one rounds up."""
    assert nano == ListPrice(Decimal("0.0005"), Decimal(0)).cost_nano_usd(tokens, 0)


@given(BUSY_NS, BUSY_NS)
def test_splitting_busy_time(one: int, other: int) -> None:
    """Two costs added differ from the cost of the sum by the rounding of one nano-dollar at most."""
    apart = COSTS.box_nano_usd(one) + COSTS.box_nano_usd(other)

    assert isinstance(apart, int)
    assert abs(apart - COSTS.box_nano_usd(one + other)) <= 1


@given(TOKENS, TOKENS, TOKENS, TOKENS)
def test_splitting_tokens(one: int, two: int, three: int, four: int) -> None:
    """Whole nano-dollars per token add up exactly."""
    apart = COSTS.baseline_nano_usd(one, two) + COSTS.baseline_nano_usd(three, four)

    assert apart == COSTS.baseline_nano_usd(one + three, two + four)


@given(st.decimals(0, 1000, places=12))
def test_nano_usd(dollars: Decimal) -> None:
    """Dollars become the nearest whole number of nano-dollars, halves upwards."""
    error = nano_usd(dollars) - dollars * 1_000_000_000

    assert Decimal("-0.5") < error <= Decimal("0.5")


def test_usd() -> None:
    """Nano-dollars are shown as dollars."""
    assert 0.00543 == usd(5_430_000)


def test_unknown_model() -> None:
    """A model without a price has none, and the error says which are known."""
    with pytest.raises(ConfigError, match=r"no list price is known for 'gpt-9'; known: gpt-3\.5-turbo, gpt-4, gpt-4o"):
        Costs.of("0.145", "gpt-9")


def test_reported_baselines_have_prices() -> None:
    """Every baseline that is always reported is in the price file, which carries its date."""
    assert set(REPORTED_BASELINES) < set(price_book().models)
    assert "2026-11-22" == price_book().retrieved
