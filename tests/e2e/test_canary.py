"""A word that is said in every place where a caller can say one, while everything fails that can fail."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from infra.local.ollama_exchange import Behaviour, Fault
from infra.local.ollama_stand_in import OllamaStandIn
from infra.local.twin import Twin
from tests.canary import CANARY
from tests.e2e.conftest import TEMPLATE, Router
from tests.keyed import keyed_client

CHAT = "/api/v1/chat"
SAID = {"message": f"Tell me about the {CANARY}", "system_prompt": f"You are a {CANARY}", "metadata": {CANARY: CANARY}}
HEADERS = {"x-note": CANARY, "user-agent": CANARY, "idempotency-key": CANARY, "x-request-id": CANARY, "cookie": CANARY}


@pytest.fixture(scope="module")
def log_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the functions log."""
    return tmp_path_factory.mktemp("twin") / "functions.log"


@pytest.fixture(scope="module")
def router(log_path: Path) -> Iterator[Router]:
    """A stack whose log can be read while it runs."""
    with (
        log_path.open("w") as log,
        OllamaStandIn() as box,
        Twin(TEMPLATE, environment_overrides={"OLLAMA_BASE_URL": box.base_url}, log=log) as twin,
        keyed_client(twin) as http,
    ):
        yield Router(twin, http, box)


def answered(router: Router) -> None:
    """Ask, ask again, complain, look, and be in a batch."""
    answer = router.answer(**SAID)
    router.answer(**SAID)
    verdict = {"request_id": answer["request_id"], "verdict": "wrong", "comment": f"no {CANARY} at all"}
    assert router.http.post("/api/v1/feedback", json=verdict).status_code == 200
    openai = {"model": "auto", "messages": [{"role": "user", "content": f"Sing, {CANARY}"}], "user": CANARY}
    assert router.http.post("/v1/chat/completions", json=openai, headers=HEADERS).status_code == 200
    line = SAID | {"custom_id": CANARY}
    batch = router.http.post("/api/v1/batches", json={"requests": [line, {"custom_id": CANARY, CANARY: CANARY}]})
    assert batch.status_code == 202
    router.twin.drain()
    assert CANARY in router.http.get(f"{batch.headers['location']}/results").text
    for table in ("UsageTable", "RollupTable", "StatusTable"):
        items = scan(router, router.twin.tables[table])
        assert items
        assert CANARY not in str(items)


def refused(router: Router) -> None:
    """Break every rule with it."""
    for body in ({CANARY: 1}, SAID | {"force_model": CANARY}, SAID | {"temperature": CANARY}, {"message": [CANARY]}):
        assert router.http.post(CHAT, json=body, headers=HEADERS).status_code == 422
    for text in (f'{{"message": "{CANARY}"', f'{{"{CANARY}": 1, "{CANARY}": 2}}', f'{{"message": "{CANARY}\\ud800"}}'):
        assert router.http.post(CHAT, content=text, headers={"content-type": "application/json"}).status_code in {
            400,
            422,
        }
    assert router.http.post("/api/v1/batches", json={"s3_uri": f"s3://{CANARY}/{CANARY}"}).status_code == 422
    assert router.http.post("/v1/responses", json={"model": CANARY, "input": CANARY}).status_code == 404
    assert router.http.get(f"/api/v1/analytics/summary?{CANARY}={CANARY}").status_code == 422
    assert router.http.get("/api/v1/models", headers={"authorization": f"Bearer {CANARY}"}).status_code == 403
    for path in (f"/{CANARY}", f"/api/v1/requests/{CANARY}", f"/v1/models/{CANARY}", f"/api/v1/cache/{CANARY}"):
        assert router.http.get(path).status_code == 404


def queued(router: Router) -> None:
    """Send what is no prompt, and what is not to be believed."""
    queue = router.twin.queue_url("PromptQueue")
    for body in (CANARY, json.dumps({CANARY: CANARY}), json.dumps(SAID | {"tenant": CANARY}), json.dumps(SAID)):
        router.twin.client("sqs").send_message(QueueUrl=queue, MessageBody=body)
    router.twin.drain()


def broken_box(router: Router) -> None:
    """Have the model server fail in all its ways."""
    for fault in (Fault.CUT, Fault.ERROR_LINE, Fault.GARBAGE, Fault.RESET, Fault.FAILURE, Fault.BUSY):
        router.box.next_behaviours.extend([Behaviour(fault=fault)] * 4)
        response = router.http.post(CHAT, json=SAID | {"message": f"Why is the {CANARY} {fault}?"})
        assert response.status_code >= 500, response.text
        router.box.next_behaviours.clear()
        forget_failures(router)
    assert router.chat(f"{CANARY} " * 2_500).status_code == 422


def failing_tables(router: Router) -> None:
    """Take the tables away, one after the other."""
    for table in ("CacheTable", "UsageTable", "StatusTable", "JobTable"):
        router.twin.client("dynamodb").delete_table(TableName=router.twin.tables[table])
        router.http.post(CHAT, json=SAID | {"message": f"Where is the {CANARY} of {table}?", "wait_seconds": 3})
        router.http.post("/api/v1/cache/lookup", json={"message": f"Where is the {CANARY} of {table}?"})
    assert router.http.post(CHAT, json=SAID, headers=HEADERS).status_code == 503
    assert router.http.post("/api/v1/batches", json={"requests": [SAID]}).status_code == 503


def forget_failures(router: Router) -> None:
    """Close the circuit."""
    key = {"name": {"S": "breaker#ollama"}}
    router.twin.client("dynamodb").delete_item(TableName=router.twin.tables["StatusTable"], Key=key)


def scan(router: Router, table: str) -> list[Any]:
    """Return all items of a table."""
    pages = router.twin.client("dynamodb").get_paginator("scan").paginate(TableName=table)
    return [item for page in pages for item in page["Items"]]


@pytest.mark.parametrize("happens", [answered, refused, queued, broken_box, failing_tables])
def test_nothing_that_is_said_is_logged(router: Router, log_path: Path, happens: Callable[[Router], None]) -> None:
    """No log line, metric or stack trace has a word of a prompt, an answer, a name, a header, a query or a path."""
    before = len(log_path.read_text())
    happens(router)

    written = log_path.read_text()[before:]
    assert [] == [line for line in written.splitlines() if CANARY in line.lower()]
