from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import asdict

from llm_router.accounting.box_hours import BoxHour
from llm_router.accounting.full_cost import FullCost, full_cost, share
from llm_router.accounting.platform_prices import PlatformPrice, PlatformPrices, platform_prices
from llm_router.accounting.prices import PriceSource
from llm_router.accounting.rollups import counters
from tests.builders import make_usage

DAY = "2026-11-23"
PRICE = 360_000_000
"""Nano-dollars an hour: 100 a millisecond."""
HOUR = frozenset(range(60))
# Nano-dollars: 16,666.7 a GB-second, 200 a request to Lambda, 125 a read and 625 a write request unit, 0.002 a byte
# searched, 0.52 a byte of the index written, 1,000 a request to the gateway, 400 one to the queue.
HIT = {
    # 1,024 MB for 20 ms
    "lambda_mb_ms": 20_480,
    "lambda_requests": 1,
    "read_request_milliunits": 2500,
    "write_request_milliunits": 8000,
    "vector_search_bytes": 14_000,
    "gateway_requests": 1,
}
MISS = {
    # chat: 1,024 MB for 3 s; infer: 256 MB for 4 s
    "lambda_mb_ms": 1024 * 3000 + 256 * 4000,
    "lambda_requests": 2,
    "read_request_milliunits": 12_000,
    "write_request_milliunits": 40_000,
    "vector_search_bytes": 14_000,
    "vector_write_bytes": 3000,
    "gateway_requests": 1,
    "queue_requests": 3,
    "busy_ms": 2500,
    "actual_nano_usd": 250_000,
}
JOINED = {
    "lambda_mb_ms": 1024 * 3000,
    "lambda_requests": 1,
    "read_request_milliunits": 11_000,
    "write_request_milliunits": 10_000,
    "gateway_requests": 1,
}
CLOUD = {
    # infer 256 MB for 1 s, the box having worked for half a one; infer_cloud 256 MB for 2 s; chat 1,024 MB for 3 s
    "lambda_mb_ms": 256 * 1000 + 256 * 2000 + 1024 * 3000,
    "lambda_requests": 3,
    "read_request_milliunits": 12_000,
    "write_request_milliunits": 40_000,
    "gateway_requests": 1,
    "queue_requests": 3,
    "busy_ms": 500,
    "actual_nano_usd": 50_000 + 7_000,
}


def cost(*records: dict[str, int], day: str = DAY, hours: Sequence[BoxHour] = ()) -> FullCost:
    """Return the cost of a day with the requests of these quantities."""
    sums: dict[str, int] = {"requests": len(records)}
    for record in records:
        for name, amount in record.items():
            sums[name] = sums.get(name, 0) + amount
    return full_cost({day: sums}, hours, platform_prices())


def make_hour(hour: int = 0, day: str = DAY, **fields: Any) -> BoxHour:
    """Return an hour in which the box was up."""
    return BoxHour(**{"day": day, "hour": hour, "nano_usd_per_hour": PRICE, "up": HOUR, **fields})


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        # Lambda 0.02 GB-s x 16,666.7 = 333 + 200; DynamoDB 2.5 x 125 = 313 (half up) + 8 x 625 = 5,000 + 28; 1,000
        (HIT, (0, 533, 5341, 1000, 0, 6874)),
        # Lambda 4 GB-s = 66,667 + 400; DynamoDB 12 x 125 + 40 x 625 + 28 + 1,560; 1,000; 3 x 400
        (MISS, (250_000, 67_067, 1500 + 25_000 + 28 + 1560, 1000, 1200, 347_355)),
        # Lambda 3 GB-s = 50,000 + 200; DynamoDB 11 x 125 + 10 x 625; 1,000
        (JOINED, (0, 50_200, 1375 + 6250, 1000, 0, 58_825)),
        # Lambda 3.75 GB-s = 62,500 + 600; DynamoDB 12 x 125 + 40 x 625; 1,000; 3 x 400
        (CLOUD, (57_000, 63_100, 26_500, 1000, 1200, 148_800)),
    ],
    ids=["hit", "miss", "joined", "cloud"],
)
def test_request(record: dict[str, int], expected: tuple[int, ...]) -> None:
    """A request costs its marginal price and what it used of the platform; idle hours come on top."""
    found = cost(record)

    assert expected == (
        found.marginal_nano_usd,
        found.lambda_nano_usd,
        found.dynamodb_nano_usd,
        found.gateway_nano_usd,
        found.queue_nano_usd,
        found.total_nano_usd,
    )
    assert (1, found.total_nano_usd, 0) == (found.requests, found.nano_usd_per_request, found.box_idle_nano_usd)


def test_idle_day() -> None:
    """A day on which nobody asks costs the hours of the box, whole, and nothing by the request."""
    found = full_cost({}, [make_hour(hour) for hour in range(24)], platform_prices())

    # 24 h x 0.36 dollars
    assert (8_640_000_000, 8_640_000_000, None) == (
        found.box_idle_nano_usd,
        found.total_nano_usd,
        found.nano_usd_per_request,
    )
    assert (24.0, 24.0) == (found.observed_hours, found.billed_hours)


def test_busy_hour() -> None:
    """Idle is what is left of the hours that ran: 1 h less 2.5 s for the miss."""
    found = cost(MISS, hours=[make_hour()])

    # 3,600,000 ms - 2,500 ms at 100 nano-dollars
    assert 359_750_000 == found.box_idle_nano_usd
    assert 359_750_000 + 347_355 == found.total_nano_usd


def test_busier_than_seen() -> None:
    """Where the probe saw less of the box than it was busy, nothing was idle."""
    assert 0 == cost(MISS | {"busy_ms": 61_000}, hours=[make_hour(up=frozenset({7}))]).box_idle_nano_usd


def test_minutes() -> None:
    """An instance that hangs is billed, one that sleeps is not, and a minute seen as both up and asleep ran."""
    hour = make_hour(up=frozenset({0, 1, 2}), silent=frozenset({2, 3}), asleep=frozenset({3, 4, 5}))
    found = cost(hours=[hour])

    # minutes 0 to 3 at 6,000,000 nano-dollars
    assert (24_000_000, 0.1, 4 / 60) == (found.box_idle_nano_usd, found.observed_hours, found.billed_hours)


def test_price_change() -> None:
    """In a range over a change of prices each day has its own, of the platform and of the box."""
    days = {
        "2024-10-31": {"requests": 1, "write_request_milliunits": 8000, "busy_ms": 60_000},
        "2024-11-01": {"requests": 1, "write_request_milliunits": 8000, "busy_ms": 60_000},
    }
    hours = [make_hour(day="2024-10-31"), make_hour(day="2024-11-01", nano_usd_per_hour=2 * PRICE)]

    found = full_cost(days, hours, platform_prices())

    # 8 x 1,250, then 8 x 625; 59 minutes at 6,000,000, then at 12,000,000
    assert (15_000, 59 * 18_000_000) == (found.dynamodb_nano_usd, found.box_idle_nano_usd)


def test_rounding() -> None:
    """An amount is rounded once for each day: half a read unit is 62.5 nano-dollars, on two days 63 and 63."""
    half = {"read_request_milliunits": 500}
    found = full_cost({"2026-11-22": half, DAY: half}, [], platform_prices())

    assert 126 == found.dynamodb_nano_usd
    assert 125 == cost(half, half).dynamodb_nano_usd


def test_unknown_price() -> None:
    """Without a price of something used, its item and the total are unknown, and the others are not."""
    price = PlatformPrice(quantity="queue_requests", usd=Decimal("0.4"), per=1_000_000, unit="million", source="list")
    prices = PlatformPrices("us-east-1", {"list": PriceSource("https://example.com", DAY)}, (price,))

    found = full_cost({DAY: {"requests": 1, "queue_requests": 3, "gateway_requests": 1}}, [], prices)

    assert (1200, None, None, None, 0) == (
        found.queue_nano_usd,
        found.gateway_nano_usd,
        found.total_nano_usd,
        found.nano_usd_per_request,
        found.lambda_nano_usd,
    )


def test_vector_index_before_there_was_one() -> None:
    """A price that begins later than the day is none."""
    assert cost(HIT, day="2026-08-04").dynamodb_nano_usd is None


@pytest.mark.parametrize(
    ("month", "expected"),
    [
        ({"a": {"busy_ms": 300, "requests": 1}, "b": {"busy_ms": 100, "requests": 9}}, Fraction(3, 4)),
        ({"a": {"requests": 1}, "b": {"requests": 4}}, Fraction(1, 5)),
        ({"b": {"busy_ms": 1, "requests": 1}}, Fraction(0)),
        ({}, Fraction(0)),
    ],
    ids=["busy", "never busy", "no request of his", "nobody asked"],
)
def test_share(month: dict[str, dict[str, int]], expected: Fraction) -> None:
    """A tenant's share of the box goes by its busy time, by requests where it had none, and is none without any."""
    assert expected == share("a", month)


def test_tenants_share() -> None:
    """Of an hour a tenant with three quarters of the month's busy time bears three quarters, less his own busy time."""
    found = full_cost(
        {DAY: {"busy_ms": 3000}}, [make_hour()], platform_prices(), {"2026-11": Fraction(3, 4), "2026-10": Fraction(1)}
    )

    # 270,000,000 - 300,000; all tenants together, who were busy for 4 s: 360,000,000 - 400,000, of which 3/4
    assert 269_700_000 == found.box_idle_nano_usd == (PRICE - 400_000) * 3 // 4


@given(st.lists(st.sampled_from([HIT, MISS, JOINED, CLOUD]), max_size=20), st.integers(0, 24))
def test_sum(records: list[dict[str, int]], hours: int) -> None:
    """The total is the sum of its items, and none of them is negative."""
    found = asdict(cost(*records, hours=[make_hour(hour) for hour in range(hours)]))
    items = [amount for name, amount in found.items() if name.endswith("_nano_usd") and not name.startswith("total")]

    assert found["total_nano_usd"] == sum(items)
    assert min(items) >= 0


def test_counters() -> None:
    """What a record used is counted under the names that are priced, of shadows too, and of feedback nothing."""
    used = {"lambda_mb_ms": 20_480, "queue_requests": 3}

    assert used.items() <= counters(make_usage(**used)).items()
    assert used.items() <= counters(make_usage(arm="shadow", **used)).items()
    assert used.keys().isdisjoint(counters(make_usage(verdict="wrong", **used)))
