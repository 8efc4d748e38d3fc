from zoneinfo import ZoneInfo

import pytest

from analytics.figures import Baselines
from analytics.full_costs import LoadedReader
from analytics.queries import ReportQuery
from analytics.reading import Reader
from analytics.reports import Reports
from llm_router.accounting.box_hours import BoxMinute
from llm_router.accounting.platform_prices import platform_prices
from llm_router.accounting.prices import price_book
from llm_router.accounting.rollups import usage_event
from tests.builders import make_query, make_usage
from tests.fakes import NOW_MS, FakeBoxHours, FakeRollupStore, SettableClock

PRICE = 360_000_000
"""Nano-dollars an hour: 6,000,000 a minute, 100 a millisecond."""
MINUTE_MS = 60_000
# Lambda 1 GB-s = 16,667 + 200; DynamoDB 8 x 625; the gateway 1,000; in November 2023 8 x 1,250.
USED = {"lambda_mb_ms": 1_024_000, "lambda_requests": 1, "write_request_milliunits": 8000, "gateway_requests": 1}
PLATFORM = 16_867 + 10_000 + 1000


def world(*, minutes: int = 0, before_ms: int = 0) -> Reports:
    """Return reports on two tenants, of whom `default` kept the box busy for 3 s of 4, and some minutes of the box.

    The first minute is `before_ms` before now, 22:13 UTC on 2023-11-14.
    """
    store, hours = FakeRollupStore(), FakeBoxHours()
    for minute in range(minutes):
        hours.note(NOW_MS - before_ms + minute * MINUTE_MS, BoxMinute.UP, PRICE)
    store.add(
        [
            usage_event(make_usage("1", busy_ms=3000, actual_nano_usd=300_000, **USED)),
            usage_event(make_usage("2", tenant="acme", busy_ms=1000, actual_nano_usd=100_000, **USED)),
        ]
    )
    return Reports(
        reader=Reader(store, SettableClock()),
        baselines=Baselines("gpt-4", price_book()),
        loaded=LoadedReader(store, hours, platform_prices()),
    )


def query(tenant: str = "default", zone: str = "UTC") -> ReportQuery:
    """Ask for the day of 2023-11-14."""
    asked = make_query(1)
    return ReportQuery(tenant=tenant, first_day=asked.first_day, last_day=asked.last_day, zone=ZoneInfo(zone))


def test_everybody() -> None:
    """For all tenants the box's hours are whole: 10 minutes, less the 4 s in which it was busy."""
    loaded = world(minutes=10).summary(query("all")).fully_loaded

    assert (400_000, 60_000_000 - 400_000) == (loaded.marginal_nano_usd, loaded.box_idle_nano_usd)
    # 2 GB-s are 33,333.4, rounded once
    assert 60_000_000 + 2 * PLATFORM - 1 == loaded.total_nano_usd
    assert 30_000_000 + PLATFORM == loaded.nano_usd_per_request
    assert (10 / 60, 10 / 60) == (loaded.observed_hours, loaded.billed_hours)


def test_tenants() -> None:
    """Tenants bear the box's hours as it was busy for them, so that together they bear all of them."""
    reports = world(minutes=10)
    totals = [reports.summary(query(tenant)).fully_loaded.total_nano_usd for tenant in ("default", "acme")]

    assert [45_000_000 + PLATFORM, 15_000_000 + PLATFORM] == totals


def test_net_savings() -> None:
    """What is saved is told on both bases; loaded with idle hours it can be a loss."""
    summary = world(minutes=10).summary(query())

    # gpt-4: 10 x 30,000 + 20 x 60,000
    assert 1_500_000 - 300_000 == summary.net_savings_nano_usd
    assert 1_500_000 - 45_000_000 - PLATFORM == summary.fully_loaded.net_savings_nano_usd


def test_same_in_costs() -> None:
    """The costs show the same as the summary, and count what was read for it."""
    reports, unseen = world(minutes=10), world()

    assert reports.summary(query()).fully_loaded == reports.costs(query()).fully_loaded
    # one item of the box, and two tenants of the month
    assert unseen.costs(query()).items_read + 3 == reports.costs(query()).items_read
    assert unseen.costs(query("all")).items_read + 1 == reports.costs(query("all")).items_read


def test_unknown_baseline() -> None:
    """Without a price of the baseline its costs are known, and what is saved is not."""
    reports = world()
    reports.baselines.model = "nobody's"
    loaded = reports.summary(query()).fully_loaded

    assert (300_000 + PLATFORM, None, None) == (loaded.total_nano_usd, loaded.net_savings, loaded.net_savings_nano_usd)


@pytest.mark.parametrize(
    ("zone", "minutes"),
    [("UTC", 120), ("Europe/Berlin", 60), ("Asia/Kolkata", 30), ("America/New_York", 120)],
)
def test_zones(zone: str, minutes: int) -> None:
    """A day of another zone has the minutes of the box that are in it: of 18:00 to 20:00 UTC or 22:00 to midnight."""
    start_ms = 13 * MINUTE_MS + 20_000 + (4 * 60 if zone == "Asia/Kolkata" else 0) * MINUTE_MS
    reports = world(minutes=120, before_ms=start_ms)

    # the day ends at 23:00 UTC in Berlin, and at 18:30 in Kolkata
    assert minutes == round(reports.summary(query("all", zone)).fully_loaded.billed_hours * 60)
