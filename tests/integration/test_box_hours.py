from datetime import UTC, datetime

import pytest

from llm_router.accounting.box_hours import BoxHour, BoxMinute
from llm_router.adapters.dynamodb_box_hours import DynamoBoxHours
from llm_router.adapters.dynamodb_rollups import DynamoRollupStore
from llm_router.errors import StoreError
from llm_router.ports import BoxHours
from tests.fakes import FakeBoxHours, SettableClock
from tests.integration.conftest import Cloud

PRICE = 145_000_000
DAY = "2026-11-23"


@pytest.fixture(params=["fake", "dynamodb"])
def hours(request: pytest.FixtureRequest) -> BoxHours:
    """Run the case on the rollup table and on its stand-in."""
    if request.param == "fake":
        return FakeBoxHours()
    cloud: Cloud = request.getfixturevalue("cloud")
    return DynamoBoxHours(cloud.dynamodb, "RollupTable")


def at(text: str) -> int:
    """Return a moment of UTC in epoch milliseconds."""
    return int(datetime.fromisoformat(f"{text}+00:00").timestamp() * 1000)


def test_minutes(hours: BoxHours) -> None:
    """Looks of one hour are one item, by how the box was found; a look that is noted twice is one."""
    for _ in range(2):
        hours.note(at("2026-11-23T07:00:01"), BoxMinute.UP, PRICE)
        hours.note(at("2026-11-23T07:59:59.999"), BoxMinute.UP, PRICE)
        hours.note(at("2026-11-23T07:30:00"), BoxMinute.SILENT, PRICE)
        hours.note(at("2026-11-23T07:31:00"), BoxMinute.ASLEEP, PRICE)
    hour = BoxHour(
        day=DAY,
        hour=7,
        nano_usd_per_hour=PRICE,
        up=frozenset({0, 59}),
        silent=frozenset({30}),
        asleep=frozenset({31}),
    )

    assert [hour] == hours.days(DAY, DAY)
    assert (3, 4) == (hour.billed_minutes, hour.observed_minutes)


def test_price(hours: BoxHours) -> None:
    """An hour has the price of its last look."""
    hours.note(at("2026-11-23T07:00"), BoxMinute.UP, PRICE)
    hours.note(at("2026-11-23T07:01"), BoxMinute.UP, 2 * PRICE)

    assert [2 * PRICE] == [hour.nano_usd_per_hour for hour in hours.days(DAY, DAY)]


def test_days(hours: BoxHours) -> None:
    """Days are read with their first and their last hour, over months and years, oldest first, and no others."""
    looks = ["2026-11-29T23:59", "2026-11-30T00:00", "2026-12-31T23:59", "2027-01-01T00:00", "2027-01-02T00:00"]
    for look in reversed(looks):
        hours.note(at(look), BoxMinute.UP, PRICE)

    assert [("2026-11-30", 0), ("2026-12-31", 23), ("2027-01-01", 0)] == [
        (hour.day, hour.hour) for hour in hours.days("2026-11-30", "2027-01-01")
    ]


def test_between() -> None:
    """Of an hour that a period cuts the minutes from its beginning to before its end are left."""
    every = frozenset(range(60))
    hour = BoxHour(day=DAY, hour=7, nano_usd_per_hour=PRICE, up=every, silent=every, asleep=every)
    left = hour.between(datetime(2026, 11, 23, 7, 30, tzinfo=UTC), datetime(2026, 11, 23, 7, 32, tzinfo=UTC))

    assert {30, 31} == left.up == left.silent == left.asleep
    assert hour == hour.between(datetime(2026, 11, 23, tzinfo=UTC), datetime(2026, 11, 24, tzinfo=UTC))


def test_no_tenants(cloud: Cloud) -> None:
    """Hours are in no tenant's rows, whatever he is called."""
    DynamoBoxHours(cloud.dynamodb, "RollupTable").note(at("2026-11-23T07:00"), BoxMinute.UP, PRICE)
    rollups = DynamoRollupStore(cloud.dynamodb, "RollupTable", SettableClock())

    assert [] == [row for tenant in ("box", "default") for row in rollups.day(tenant, DAY)]
    assert {} == rollups.month("2026-11")


def test_missing_table(cloud: Cloud) -> None:
    """Whatever DynamoDB refuses is a StoreError."""
    store = DynamoBoxHours(cloud.dynamodb, "NoTable")

    with pytest.raises(StoreError):
        store.note(0, BoxMinute.UP, PRICE)
    with pytest.raises(StoreError):
        store.days(DAY, DAY)
