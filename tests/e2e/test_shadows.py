"""A shadow model: it gets the questions that were answered when nobody waits, and nobody sees what it says."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from infra.local.ollama_exchange import Behaviour
from tests.e2e.conftest import Router, stack

TINY, LLAMA = "ollama/tinyllama", "ollama/llama3.2"
LIMIT = 3


@pytest.fixture
def router(tmp_path: Path) -> Iterator[Router]:
    """A stack of its own for each test, whose simple questions a larger model gets to see, too."""
    with stack(tmp_path, {"SHADOW_MODEL": LLAMA, "SHADOW_DAILY_LIMIT": str(LIMIT)}) as router:
        yield router


def rows(router: Router, table: str) -> dict[str, dict[str, Any]]:
    """Return the items of a table by their key."""
    items = router.twin.client("dynamodb").scan(TableName=router.twin.tables[table])["Items"]
    return {(item.get("request_id") or item.get("job_id"))["S"]: item for item in items}


def shadows(router: Router) -> dict[str, dict[str, Any]]:
    """Return the shadows in the job table."""
    return {name: item for name, item in rows(router, "JobTable").items() if name.startswith("shadow#")}


def models_asked(router: Router) -> list[str]:
    """Return the models of the questions that the box got, in their order."""
    return [f"ollama/{call.model}".removesuffix(":latest") for call in router.box.calls]


def test_shadow(router: Router) -> None:
    """The shadow runs after the answer, is kept, costs money, and is in no answer, cache or other figure."""
    answer = router.answer("What is a quill?")
    router.twin.drain()
    again = router.answer("what's a quill")
    looked_up = router.http.post("/api/v1/cache/lookup", json={"message": "What is a quill?", "force_model": LLAMA})
    (name, shadow), *others = shadows(router).items()
    unseen = router.http.get(f"/api/v1/requests/{name.replace('#', '%23')}")
    request = router.http.get(f"/api/v1/requests/{answer['request_id']}")
    records, summary = rows(router, "UsageTable"), router.summary()

    assert [TINY, LLAMA] == models_asked(router)
    assert (f"shadow#{answer['request_id']}", []) == (name, others)
    assert ("succeeded", True) == (shadow["status"]["S"], "quill" in shadow["answer"]["S"])
    assert (f"{TINY}+stand-in", "default") == (answer["model_used"], answer["arm"])
    assert (True, answer["response"]) == (again["was_cached"], again["response"])
    assert not looked_up.json()["hit"]
    assert (404, answer) == (unseen.status_code, request.json())
    assert {"shadow", "default"} == {record["arm"]["S"] for record in records.values()}
    cost = int(records[name]["actual_nano_usd"]["N"])
    assert cost > 0
    assert (2, 1, 50.0, {"default": 2}, {f"{TINY}+stand-in": 2}) == (
        summary["total_requests"],
        summary["cache_hits"],
        summary["cache_hit_rate"],
        summary["requests_by_arm"],
        summary["requests_by_model"],
    )
    assert (1, cost / 1e9) == (summary["shadow_requests"], summary["shadow_cost"])
    assert summary["actual_nano_usd"] == cost + int(records[answer["request_id"]]["actual_nano_usd"]["N"])


def test_only_answers_of_models(router: Router) -> None:
    """Hits, joined requests and what the shadow model answers itself make no shadow, and redelivery makes no second."""
    router.box.behaviour = Behaviour(token_delay_s=0.02)
    first, joined = (router.accepted("What is an anvil?") for _ in range(2))
    for address in (first, joined):
        router.wait_for(address, "succeeded")
    router.box.behaviour = Behaviour()
    router.twin.drain()
    router.answer("What is an anvil?")
    router.answer("What is a bellows?", force_model=LLAMA)
    sqs, body = router.twin.client("sqs"), f'{{"job_id": "{first.rpartition("/")[2]}"}}'
    for _ in range(2):
        sqs.send_message(QueueUrl=router.twin.queue_url("InferenceQueue"), MessageBody=body)
    router.twin.drain()

    assert 1 == len(shadows(router))
    assert [TINY, LLAMA, LLAMA] == models_asked(router)


def test_daily_limit(router: Router) -> None:
    """Of a crowd of questions no more than the day's share have shadows, whoever answers them, and all are answered."""
    addresses = [router.accepted(f"What is thing number {number}?") for number in range(8)]
    for address in addresses:
        router.wait_for(address, "succeeded")
    router.twin.drain()
    router.answer("What is a chisel?")
    router.twin.drain()

    assert LIMIT == len(shadows(router))
    assert LIMIT == models_asked(router).count(LLAMA)
    assert 9 == router.summary()["total_requests"]


def test_shadow_gives_way(router: Router) -> None:
    """A request stops the shadow that runs, is answered long before it would have ended, and its own shadow follows."""
    router.box.next_behaviours.extend([Behaviour(), Behaviour(token_delay_s=0.5)])
    router.answer("What is a dibber?")
    give_up = time.monotonic() + 20
    while LLAMA not in models_asked(router) and time.monotonic() < give_up:
        time.sleep(0.05)
    address = router.accepted("What is an etching?")
    router.wait_for(address, "succeeded")
    router.twin.drain()
    states = sorted(item["status"]["S"] for item in shadows(router).values())

    assert [TINY, LLAMA, TINY, LLAMA] == models_asked(router)
    assert ["cancelled", "succeeded"] == states
    assert 1 == len(router.box.aborted)
