from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_router.costs import Costs, nano_usd, usd
from llm_router.errors import ConfigError
from tests.fakes import TODAY

COSTS = Costs.of("0.145", "gpt-4", TODAY)
TOKENS = st.integers(0, 10_000_000)
BUSY_NS = st.integers(0, 10**15)


def test_box_hour() -> None:
    """A busy hour costs the instance's hourly price, and ten seconds a 360th of it."""
    assert 145_000_000 == COSTS.box_nano_usd(3_600_000_000_000)
    assert 402_778 == COSTS.box_nano_usd(10_000_000_000)


def test_baseline() -> None:
    """The baseline is the list price of the same tokens."""
    assert 21 * 30_000 + 80 * 60_000 == COSTS.baseline_nano_usd(21, 80, TODAY)


@pytest.mark.parametrize(("busy_ns", "nano"), [(0, 0), (4_999, 0), (5_000, 1), (14_999, 1), (15_000, 2)])
def test_box_rounds_half_up(busy_ns: int, nano: int) -> None:
    """At 100 nano-dollars a millisecond, 5 microseconds are half a nano-dollar and round up."""
    assert nano == Costs.of("0.36", "gpt-4", TODAY).box_nano_usd(busy_ns)


@given(BUSY_NS, BUSY_NS)
def test_splitting_busy_time(one: int, other: int) -> None:
    """Two costs added differ from the cost of the sum by the rounding of one nano-dollar at most."""
    apart = COSTS.box_nano_usd(one) + COSTS.box_nano_usd(other)

    assert isinstance(apart, int)
    assert abs(apart - COSTS.box_nano_usd(one + other)) <= 1


@given(TOKENS, TOKENS, TOKENS, TOKENS)
def test_splitting_tokens(one: int, two: int, three: int, four: int) -> None:
    """Whole nano-dollars per token add up exactly."""
    apart = COSTS.baseline_nano_usd(one, two, TODAY) + COSTS.baseline_nano_usd(three, four, TODAY)

    assert apart == COSTS.baseline_nano_usd(one + three, two + four, TODAY)


@given(st.decimals(0, 1000, places=12))
def test_nano_usd(dollars: Decimal) -> None:
    """Dollars become the nearest whole number of nano-dollars, halves upwards."""
    error = nano_usd(dollars) - dollars * 1_000_000_000

    assert Decimal("-0.5") < error <= Decimal("0.5")


def test_usd() -> None:
    """Nano-dollars are shown as dollars."""
    assert 0.00543 == usd(5_430_000)


def test_baseline_of_the_day() -> None:
    """The same tokens cost what the baseline model's price was on the day."""
    costs = Costs.of("0.145", "gpt-5.6-luna", "2026-11-23")

    assert [1000 * 1000, 1000 * 200] == [costs.baseline_nano_usd(1000, 0, day) for day in ("2026-07-29", "2026-07-30")]


def test_unknown_model() -> None:
    """A baseline without a price cannot be configured."""
    with pytest.raises(ConfigError, match="no list price is known for 'gpt-9'"):
        Costs.of("0.145", "gpt-9", TODAY)
