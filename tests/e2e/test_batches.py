"""Batches from the first line to the last result, on a stack of their own."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from infra.local.ollama_exchange import Behaviour
from infra.local.ollama_stand_in import OllamaStandIn
from infra.local.twin import Twin
from tests.batch_load import deliver_again, load, look, records, results, submit, wait
from tests.e2e.conftest import TEMPLATE, Router
from tests.keyed import keyed_client

BUCKET = "prompts"


@pytest.fixture
def router(tmp_path: Path) -> Iterator[Router]:
    """A stack of its own for each test, so that everything in its tables is the test's."""
    with (
        (tmp_path / "functions.log").open("w") as log,
        OllamaStandIn() as box,
        Twin(
            TEMPLATE,
            environment_overrides={"OLLAMA_BASE_URL": box.base_url, "BATCH_INPUT_BUCKET": BUCKET},
            max_environments=4,
            log=log,
        ) as twin,
        keyed_client(twin) as http,
    ):
        yield Router(twin, http, box)


def sums(items: list[dict[str, Any]]) -> dict[str, int]:
    """Add up what usage records say."""
    names = ("input_tokens", "output_tokens", "actual_nano_usd", "baseline_nano_usd")
    return {name: sum(int(item[name]["N"]) for item in items) for name in names}


def test_a_night(router: Router) -> None:
    """Every line has its result, no question is generated twice, the books agree, and a caller need not wait for it."""
    night = load(60, seed=5)
    taken = submit(router.http, night.body, **{"idempotency-key": "night"})
    batch_id = taken["batch_id"]
    wait(router.http, batch_id, seconds=60, answers=5)
    asked = len(router.box.calls)
    router.answer("Where was the first zeppelin seen?")
    answered_after, meanwhile = len(router.box.calls) - asked, look(router.http, batch_id)
    state = wait(router.http, batch_id, seconds=240)
    rows = list(results(router.http, batch_id, limit=25))
    kept = records(router.twin, batch_id)

    assert (60, 59, 1, 1) == (taken["lines"], taken["accepted"], taken["invalid"], len(taken["errors"]))
    assert answered_after <= 4  # what was under way, and what was begun before it was seen
    assert meanwhile["pending"] > 10
    assert ("completed", 59, 0, 0, 1.0, 0) == tuple(
        state[name] for name in ("status", "succeeded", "failed", "cancelled", "progress", "estimated_ms")
    )
    assert list(range(1, 61)) == [row["line"] for row in rows]
    assert [None if message is None else f"q{line}" for line, message in enumerate(night.messages, 1)] == [
        row["custom_id"] for row in rows
    ]
    assert [message is None for message in night.messages] == [row["error"] is not None for row in rows]
    assert [row["response"] and row["response"]["request_id"] for row in rows] == [
        None if message is None else row["request_id"] for row, message in zip(rows, night.messages, strict=True)
    ]
    asked_texts = Counter(call.messages[-1].content for call in router.box.calls)
    assert 1 == max(asked_texts.values())
    # A rewording is generated, too, when its original is being generated at that moment.
    assert len(night.originals) <= len(asked_texts) - 1 <= len(night.originals) + 3
    assert state["hits"] == sum(row["response"] is not None and row["response"]["was_cached"] for row in rows)
    assert 59 == len(kept)
    assert sums(kept) == {name: state[name] for name in sums(kept)}
    assert batch_id == submit(router.http, night.body, **{"idempotency-key": "night"})["batch_id"]


def test_killed_and_delivered_twice(router: Router) -> None:
    """Workers that are killed and messages that come twice change nothing: one result and one record for each line."""
    night = load(16, seed=6)
    router.box.next_behaviours.extend([Behaviour(token_delay_s=0.02)] * 10)
    batch_id = submit(router.http, night.body)["batch_id"]
    router.twin.crash("RouteBatchFunction")
    deliver_again(router.twin, batch_id, night)
    wait(router.http, batch_id, seconds=60, answers=3)
    router.twin.crash("InferFunction")
    deliver_again(router.twin, batch_id, night)
    state = wait(router.http, batch_id, seconds=240)
    rows = list(results(router.http, batch_id, limit=1000))
    kept = records(router.twin, batch_id)

    assert ("completed", 16, 0, 0, 0) == tuple(
        state[name] for name in ("status", "succeeded", "failed", "cancelled", "invalid")
    )
    assert [f"q{line}" for line in range(1, 17)] == [row["custom_id"] for row in rows]
    assert {row["request_id"] for row in rows} == {item["request_id"]["S"] for item in kept}
    assert 16 == len(kept)
    assert sums(kept) == {name: state[name] for name in sums(kept)}


def test_cancelled(router: Router) -> None:
    """What has not begun when a batch is cancelled never does, and every line says how it ended."""
    night = load(14, seed=7)
    router.box.next_behaviours.extend([Behaviour(token_delay_s=0.05)] * 20)
    batch_id = submit(router.http, night.body)["batch_id"]
    wait(router.http, batch_id, seconds=60, answers=1)
    cancelled = router.http.delete(f"/api/v1/batches/{batch_id}")
    state = wait(router.http, batch_id, seconds=120)
    again = router.http.delete(f"/api/v1/batches/{batch_id}")
    rows = list(results(router.http, batch_id, limit=1000))

    assert (202, 202) == (cancelled.status_code, again.status_code)
    assert cancelled.json()["status"] in {"cancelling", "cancelled"}
    assert state == again.json()
    assert ("cancelled", 0) == (state["status"], state["pending"])
    assert state["cancelled"] > 4
    assert state["succeeded"] + state["cancelled"] == state["accepted"] == len(records(router.twin, batch_id))
    assert state["cancelled"] == sum(row["status"] == "cancelled" for row in rows)


def test_file(router: Router) -> None:
    """A file in the bucket is read by itself, and its lines are answered like any others."""
    night = load(4, seed=8)
    router.twin.client("s3").put_object(Bucket=BUCKET, Key="night.jsonl", Body=night.body)
    taken = router.http.post("/api/v1/batches", json={"s3_uri": f"s3://{BUCKET}/night.jsonl"})
    state = wait(router.http, taken.json()["batch_id"], seconds=60)

    assert (202, "reading_input") == (taken.status_code, taken.json()["status"])
    assert ("completed", 4, 4) == (state["status"], state["lines"], state["succeeded"])


def test_refused(router: Router) -> None:
    """A batch of the wrong kind, without a line to ask, or too large is refused; others' batches are not seen."""
    lines = {"content-type": "application/jsonl"}
    answers = [
        router.http.post("/api/v1/batches", content=b"{}", headers={"content-type": "text/csv"}),
        router.http.post("/api/v1/batches", content=b"{}\n{}", headers=lines),
        router.http.post("/api/v1/batches", content=b"x" * 4_500_001, headers=lines),
        router.http.post("/api/v1/batches", content=b'{"requests": ', headers={"content-type": "application/json"}),
    ]
    batch_id = submit(router.http, b'{"message": "Hello"}')["batch_id"]
    with keyed_client(router.twin, tenant="other") as other:
        seen = [other.get(f"/api/v1/batches/{batch_id}{rest}") for rest in ("", "/results")]
        seen.append(other.delete(f"/api/v1/batches/{batch_id}"))

    assert [415, 422, 413, 400] == [answer.status_code for answer in answers]
    assert [404] * 3 == [answer.status_code for answer in seen]
