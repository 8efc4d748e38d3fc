"""How long a report on 100,000 requests of 90 days takes in the twin, and how much it reads."""

import json
import statistics
import time
from pathlib import Path
from typing import Any, Final

from infra.local.twin import Twin
from tests.loading import load_event
from tests.ninety_days import DAYS, RECORDS, fill, today

ROOT: Final = Path(__file__).parents[2]
RUNS: Final = 10


def rows() -> list[tuple[str, str]]:
    """Fill the twin's table, ask for reports, and return pairs of a name and a readable value."""
    with (ROOT / ".build" / "reports.log").open("w") as log, Twin(ROOT / "template.yaml", log=log) as twin:
        fill(twin.client("dynamodb"), twin.tables["RollupTable"], today())
        return [(name, _measure(twin, name)) for name in ("summary", "costs", "daily", "savings-report")]


def _measure(twin: Twin, name: str) -> str:
    event = load_event(f"analytics-{name}") | {"queryStringParameters": {"days": str(DAYS)}}
    event["headers"] |= {"accept": "application/json", "accept-encoding": "identity"}
    seconds = []
    for _ in range(RUNS):
        started = time.perf_counter()
        body = json.loads(twin.invoke("AnalyticsFunction", event).json()["body"])
        seconds.append(time.perf_counter() - started)
    return f"p50 {statistics.median(seconds):.2f} s, most {max(seconds):.2f} s{_read(body)}"


def _read(body: dict[str, Any]) -> str:
    if "items_read" not in body:
        return ""
    if body["totals"]["requests"] != RECORDS:
        raise RuntimeError(f"not all of the requests: {body['totals']}")
    return f", {body['items_read']:,} items"
