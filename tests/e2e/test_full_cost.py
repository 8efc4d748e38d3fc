"""The bill in all: what requests use of the platform is in their records, and what those add up to in the reports."""

from typing import Any

import pytest

from infra.local.ollama_exchange import Behaviour
from llm_router.accounting.platform_prices import platform_prices
from llm_router.accounting.quantities import QUANTITIES


def usage_of(router: Any, request_id: str) -> dict[str, int]:
    """Return the quantities in a usage record."""
    found = router.twin.client("dynamodb").get_item(
        TableName=router.twin.tables["UsageTable"], Key={"request_id": {"S": request_id}}
    )["Item"]
    return {name: int(found[name]["N"]) for name in QUANTITIES}


def nano_usd(router: Any, request_id: str, day: str) -> int:
    """Return what the platform costs a request."""
    prices = platform_prices().in_force(day)
    return sum(prices[name].cost_nano_usd(amount) for name, amount in usage_of(router, request_id).items())


@pytest.fixture
def asked(router: Any) -> dict[str, str]:
    """Ask a question that takes 3 s, and twice again, in the same words and in others; return the requests."""
    router.box.next_behaviours.append(Behaviour(load_delay_s=3.0))
    answers = {
        "miss": router.answer("Why is the sky blue?"),
        "exact": router.answer("Why is the sky blue?"),
        "semantic": router.answer("why's the sky blue"),
    }
    assert [None, "exact", "semantic"] == [answer["cache_tier"] for answer in answers.values()]
    return {name: answer["request_id"] for name, answer in answers.items()}


def test_bill(router: Any, asked: dict[str, str]) -> None:
    """Hits cost something and less than the miss, and the report's items are the records' quantities at their price."""
    summary = router.summary()
    day = summary["period"]["last_day"]
    loaded = summary["fully_loaded"]
    costs = {name: nano_usd(router, request_id, day) for name, request_id in asked.items()}
    used = [usage_of(router, request_id) for request_id in asked.values()]
    sums = {name: sum(each[name] for each in used) for name in QUANTITIES}
    prices = platform_prices().in_force(day)

    assert 0 < min(costs["exact"], costs["semantic"])
    assert max(costs["exact"], costs["semantic"]) < costs["miss"]
    assert {"gateway_requests": 3, "lambda_requests": 4, "queue_requests": 3}.items() <= sums.items()
    # The miss's entry was written after its record; that is in the next one.
    assert all(amount for name, amount in sums.items() if name != "vector_write_bytes")
    assert loaded["lambda_nano_usd"] == sum(
        prices[name].cost_nano_usd(sums[name]) for name in ("lambda_mb_ms", "lambda_requests")
    )
    assert loaded["dynamodb_nano_usd"] == sum(
        prices[name].cost_nano_usd(sums[name])
        for name in ("read_request_milliunits", "write_request_milliunits", "vector_search_bytes", "vector_write_bytes")
    )
    assert (3000, 1200) == (loaded["gateway_nano_usd"], loaded["queue_nano_usd"])
    assert summary["actual_nano_usd"] == loaded["marginal_nano_usd"]


def test_probe_has_looked(router: Any) -> None:
    """Whoever asked bears the minutes in which the box was seen to run, less what it was busy for him."""
    router.twin.invoke("ProbeFunction", {})
    loaded = router.summary()["fully_loaded"]

    assert loaded["observed_hours"] == loaded["billed_hours"] > 0
    assert loaded["box_idle_nano_usd"] > 0
    assert loaded["total_nano_usd"] == sum(
        loaded[f"{item}_nano_usd"] for item in ("marginal", "box_idle", "lambda", "dynamodb", "gateway", "queue")
    )
