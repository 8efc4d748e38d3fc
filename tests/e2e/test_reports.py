"""The reports over HTTP: one bill, cut in several ways."""

import csv
import io
from typing import Any

import pytest


@pytest.fixture(scope="module")
def asked(router: Any) -> Any:
    """The router after a miss, a hit and a question to the complex tier, all of them counted."""
    for question in ("What is a volcano?", "What is a volcano?", "Design a fault-tolerant queue with sharding"):
        router.answer(question)
    router.twin.drain()
    return router


def report(router: Any, name: str, **parameters: str) -> dict[str, Any]:
    """Return a report as JSON."""
    response = router.http.get(f"/api/v1/analytics/{name}", params={"days": "2"} | parameters)
    assert response.status_code == 200, response.text
    body: dict[str, Any] = response.json()
    return body


@pytest.mark.parametrize("by", ["model", "complexity", "arm", "source"])
def test_costs_are_the_summary(asked: Any, by: str) -> None:
    """Costs by any property add up to the summary, to the nano-dollar."""
    summary, costs = report(asked, "summary"), report(asked, "costs", by=by)

    for name in ("actual_nano_usd", "baseline_nano_usd", "net_savings_nano_usd", "input_tokens", "output_tokens"):
        assert sum(row[name] for row in costs["rows"]) == costs["totals"][name] == summary[name], name
    assert costs["totals"]["requests"] == summary["total_requests"] == 3
    assert costs["totals"]["cache_hits"] == summary["cache_hits"] == 1


@pytest.mark.parametrize("zone", ["UTC", "Asia/Kolkata"])
def test_days_are_the_summary(asked: Any, zone: str) -> None:
    """Days of any zone add up to the summary of the same days, which has percentiles of the same requests."""
    summary, daily = report(asked, "summary", tz=zone), report(asked, "daily", tz=zone)

    assert len(daily["days"]) == 2
    assert sum(day["requests"] for day in daily["days"]) == summary["total_requests"] == 3
    assert sum(day["actual_nano_usd"] for day in daily["days"]) == summary["actual_nano_usd"]
    assert 0 < summary["latency_p50_ms"] <= summary["latency_p95_ms"] <= summary["latency_p99_ms"]


def test_savings_report_in_every_form(asked: Any) -> None:
    """The same figures come as JSON, as a table and as a page; other forms are refused."""
    path, params = "/api/v1/analytics/savings-report", {"days": "2"}
    savings = report(asked, "savings-report")
    table = asked.http.get(path, params=params, headers={"Accept": "text/csv"})
    page = asked.http.get(path, params=params, headers={"Accept": "text/html,*/*;q=0.8"})
    refused = asked.http.get(path, params=params, headers={"Accept": "image/png"})

    total = list(csv.DictReader(io.StringIO(table.text, newline="")))[-1]
    assert table.headers["content-type"].startswith("text/csv")
    assert float(total["actual_usd"]) == savings["marginal_cost"]
    assert page.headers["content-type"].startswith("text/html")
    assert f"{savings['marginal_cost']:,.9f} USD" in page.text
    assert (savings["requests"], savings["answers"]["exact_hits"]) == (3, 1)
    assert (refused.status_code, refused.json()["error"]["code"]) == (406, "not_acceptable")


@pytest.mark.parametrize(
    ("parameters", "field"),
    [({"tz": "Asia/Kathmandu"}, "tz"), ({"from": "2026-02-30", "to": "2026-03-01"}, "from"), ({"day": "1"}, "day")],
)
def test_what_makes_no_sense_is_refused(asked: Any, parameters: dict[str, str], field: str) -> None:
    """A parameter that breaks its rule, and one that nobody knows, is an error that names it."""
    response = asked.http.get("/api/v1/analytics/daily", params=parameters)

    assert response.status_code == 422
    assert response.json()["error"]["field"] == field
