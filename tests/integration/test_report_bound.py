from datetime import datetime

from analytics.figures import Baselines
from analytics.full_costs import LoadedReader
from analytics.reading import Reader
from analytics.reports import Reports
from llm_router.accounting.platform_prices import platform_prices
from llm_router.accounting.prices import price_book
from llm_router.accounting.rollups import total
from llm_router.adapters.dynamodb_rollups import DynamoRollupStore
from tests.builders import make_query, usage_at
from tests.fakes import FakeBoxHours, SettableClock
from tests.integration.conftest import Cloud
from tests.ninety_days import COMBINATIONS, DAYS, RECORDS, fill

LAST_DAY = datetime(2026, 11, 22)  # noqa: DTZ001 - the builder of records makes it UTC


def test_items_of_a_report(cloud: Cloud) -> None:
    """A report on 100,000 requests of 90 days reads one item for each day and combination, and counts them all."""
    clock = SettableClock(usage_at("2026-11-22T12:00").finished_at_ms)
    store = DynamoRollupStore(cloud.dynamodb, "RollupTable", clock)
    sums = total(fill(cloud.dynamodb, "RollupTable", LAST_DAY).values())
    reports = Reports(
        reader=Reader(store, clock),
        baselines=Baselines("gpt-4", price_book()),
        loaded=LoadedReader(store, FakeBoxHours(), platform_prices()),
    )
    costs = reports.costs(make_query(DAYS, now_ms=clock()))

    assert (90, 36, 3240) == (DAYS, len(COMBINATIONS), costs.items_read)
    assert (RECORDS, sums["input_tokens"], sums["output_tokens"], sums["actual_nano_usd"]) == (
        costs.totals.requests,
        costs.totals.input_tokens,
        costs.totals.output_tokens,
        costs.totals.actual_nano_usd,
    )
    assert 30_000 * sums["input_tokens"] + 60_000 * sums["output_tokens"] == costs.totals.baseline_nano_usd
    assert costs.totals.net_savings_nano_usd == sum(row.net_savings_nano_usd or 0 for row in costs.rows)
