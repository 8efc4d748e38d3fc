"""What reports on 100,000 requests of 90 days take by themselves, without the twin's stand-in for DynamoDB."""

import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from analytics.figures import Baselines
from analytics.full_costs import LoadedReader
from analytics.queries import ReportQuery
from analytics.reading import Reader
from analytics.reports import Reports
from infra.local.twin import Twin
from llm_router import bootstrap
from llm_router.accounting.platform_prices import platform_prices
from llm_router.accounting.prices import price_book
from llm_router.accounting.usage import Rollup
from llm_router.adapters.dynamodb_rollups import DynamoRollupStore
from tests.builders import make_query
from tests.fakes import FakeBoxHours
from tests.ninety_days import DAYS, RECORDS, fill, today

ROOT: Final = Path(__file__).parents[2]
RUNS: Final = 3


class MeteredRollups(DynamoRollupStore):
    """The table, and how long this process, without the threads that serve it, computed over what it returned."""

    cpu_s = 0.0

    def day(self, tenant: str, day: str) -> Sequence[Rollup]:
        """Return the rows of a day; another thread than that of the report reads them."""
        started_s = time.thread_time()
        rows = super().day(tenant, day)
        self.cpu_s += time.thread_time() - started_s
        return rows


def rows() -> list[tuple[str, str]]:
    """Fill the twin's table, make reports, and return pairs of a name and a readable value."""
    with (ROOT / ".build" / "reports.log").open("w") as log, Twin(ROOT / "template.yaml", log=log) as twin:
        client, table = twin.client("dynamodb"), twin.tables["RollupTable"]
        fill(client, table, today())
        store = MeteredRollups(client, table, bootstrap.now_ms)
        reports = Reports(
            reader=Reader(store, bootstrap.now_ms),
            baselines=Baselines("gpt-4", price_book()),
            loaded=LoadedReader(store, FakeBoxHours(), platform_prices()),
        )
        made = {"costs": reports.costs, "daily": reports.daily}
        return [(name, _measure(store, make)) for name, make in made.items()]


def _measure(store: MeteredRollups, make: Callable[[ReportQuery], Any]) -> str:
    query = make_query(DAYS, now_ms=bootstrap.now_ms())
    seconds = []
    for _ in range(RUNS):
        store.cpu_s, started_s = 0.0, time.thread_time()
        report = make(query)
        seconds.append(store.cpu_s + time.thread_time() - started_s)
    items = getattr(report, "items_read", None)
    if items is not None and report.totals.requests != RECORDS:
        raise RuntimeError(f"not all of the requests: {report.totals}")
    return f"p50 {statistics.median(seconds):.2f} s of CPU" + (f", {items:,} items read" if items else "")
