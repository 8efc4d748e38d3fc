"""The bill once more, from its records: equal to what was counted live, and put right after somebody tampered."""

import json
from typing import Any

from llm_router.bootstrap import now_ms
from llm_router.jobs import utc_day
from tests.e2e.conftest import Router

DAYS_AGO_MS = 3 * 24 * 3_600_000


def recompute(router: Router, **wish: Any) -> dict[str, Any]:
    """Invoke the function as an operator does."""
    result = router.twin.invoke("RecomputeFunction", wish)
    assert not result.is_error, result.payload
    answer: dict[str, Any] = json.loads(result.payload)
    return answer


def test_recompute(router: Router) -> None:
    """A day of misses, hits and feedback is what its records say; a counter that is gone is found and comes back."""
    answers = [router.answer(question) for question in ("What is an owl?", "What is an owl?", "What is a tern?")]
    said = router.http.post("/api/v1/feedback", json={"request_id": answers[1]["request_id"], "verdict": "right"})
    router.twin.drain()
    today = recompute(router, day=utc_day(now_ms()))

    assert said.status_code < 300, said.text
    assert (False, 0) == (today["settled"], today["differing_rows"])
    assert today["rows"] > 0

    day = utc_day(now_ms() - DAYS_AGO_MS)
    client, tables = router.twin.client("dynamodb"), router.twin.tables
    usage, rollups = tables["UsageTable"], tables["RollupTable"]
    for item in client.scan(TableName=usage)["Items"]:
        moved = {
            "request_id": {"S": f"{item['request_id']['S']}-then"},
            "day": {"S": day},
            "finished_at_ms": {"N": str(int(item["finished_at_ms"]["N"]) - DAYS_AGO_MS)},
        }
        client.put_item(TableName=usage, Item=item | moved)
    router.twin.drain()
    counted = recompute(router, day=day)
    row = next(
        item
        for item in client.scan(TableName=rollups)["Items"]
        if item["tenant_day"]["S"] == f"default#{day}" and "baseline_nano_usd" in item
    )
    key = {name: row[name] for name in ("tenant_day", "dimensions")}
    client.update_item(TableName=rollups, Key=key, UpdateExpression="REMOVE baseline_nano_usd")
    found, repaired, again = (recompute(router, day=day, repair=repair) for repair in (False, True, False))

    assert (True, 0) == (counted["settled"], counted["differing_rows"])
    assert [("baseline_nano_usd", 0, int(row["baseline_nano_usd"]["N"]))] == [
        (each["counter"], each["live"], each["rebuilt"]) for each in found["differences"]
    ]
    assert (1, True, 0) == (repaired["differing_rows"], repaired["repaired"], again["differing_rows"])
    assert row["baseline_nano_usd"] == client.get_item(TableName=rollups, Key=key)["Item"]["baseline_nano_usd"]
