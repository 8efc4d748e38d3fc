from decimal import Decimal
from typing import Any

import pytest
from msgspec.structs import replace

from llm_router.accounting.platform_prices import PlatformPrice, PlatformPrices, platform_prices, problems
from llm_router.accounting.prices import PriceSource
from llm_router.accounting.quantities import QUANTITIES

DAY = "2026-11-23"


def make_price(quantity: str = "queue_requests", **fields: Any) -> PlatformPrice:
    """Return a price of 40 cents a million."""
    usual: dict[str, Any] = {"usd": Decimal("0.4"), "per": 1_000_000, "unit": "million", "source": "list"}
    return PlatformPrice(quantity=quantity, **usual | fields)


def make_book(*prices: PlatformPrice) -> PlatformPrices:
    """Return a book with a price of everything but what has some here, and one source."""
    named = {price.quantity for price in prices}
    others = [make_price(name) for name in QUANTITIES if name not in named]
    return PlatformPrices("us-east-1", {"list": PriceSource("https://example.com/list", DAY)}, (*prices, *others))


def test_file() -> None:
    """The pinned file has nothing wrong with it."""
    assert [] == problems(platform_prices())


@pytest.mark.parametrize(
    ("quantity", "amount", "nano_usd"),
    [
        # 1,769 MB for 3 s: 1769/1024 GB x 3 s x 16,666.7 nano-dollars = 86,377.1
        ("lambda_mb_ms", 1769 * 3000, 86_377),
        ("lambda_requests", 1, 200),
        # half a unit at 125 nano-dollars
        ("read_request_milliunits", 500, 63),
        ("write_request_milliunits", 1000, 625),
        # 14,000 bytes at 0.002 nano-dollars
        ("vector_search_bytes", 14_000, 28),
        ("vector_write_bytes", 3000, 1560),
        ("gateway_requests", 1, 1000),
        ("queue_requests", 3, 1200),
    ],
)
def test_cost(quantity: str, amount: int, nano_usd: int) -> None:
    """Every amount has today's list price in nano-dollars, rounded half up."""
    assert nano_usd == platform_prices().in_force(DAY)[quantity].cost_nano_usd(amount)


@pytest.mark.parametrize(("day", "usd"), [("2024-10-31", "1.25"), ("2024-11-01", "0.625")])
def test_history(day: str, usd: str) -> None:
    """A price holds from its first day on, and the one before until then."""
    assert Decimal(usd) == platform_prices().in_force(day)["write_request_milliunits"].usd


@pytest.mark.parametrize(
    ("price", "problem"),
    [
        (make_price("coffee"), "coffee from the beginning: nothing of this name is metered"),
        (make_price(source="hearsay"), "queue_requests from the beginning: the source 'hearsay' is not listed"),
        (make_price(effective_from="soon"), "queue_requests from soon: that is not a day"),
        (make_price(usd=Decimal(0)), "queue_requests from the beginning: an amount is not positive"),
        (make_price(usd=Decimal("NaN")), "queue_requests from the beginning: an amount is not positive"),
        (make_price(per=0), "queue_requests from the beginning: an amount is not positive"),
    ],
)
def test_problem(price: PlatformPrice, problem: str) -> None:
    """What is wrong with a price is put in a sentence."""
    assert [problem] == problems(make_book(price))


def test_order() -> None:
    """Prices of one amount follow each other by their days."""
    book = make_book(make_price(effective_from=DAY), make_price())

    assert ["queue_requests: its prices do not follow each other by their days"] == problems(book)


def test_missing() -> None:
    """An amount that is metered and has no price is told, and so is a source nobody cites."""
    book = replace(make_book(), prices=())

    assert [
        "source list: no price is from there",
        *(f"{name}: has no price" for name in QUANTITIES),
    ] == problems(book)
