"""Every way the box can fail: what the caller sees, what is left behind, and how often the box was asked."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from infra.local.ollama_exchange import Behaviour, Fault
from infra.local.ollama_stand_in import OllamaStandIn
from infra.local.twin import Twin
from tests.e2e.conftest import Router
from tests.keyed import keyed_client

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, kw_only=True)
class Trouble:
    """How the box treats the first questions, and what is to come of it."""

    behaviours: tuple[Behaviour, ...] = ()
    refuses: bool = False
    topic: str
    request: dict[str, Any] = field(default_factory=dict)
    status: int
    code: str | None = None
    asked: int
    """How often the box was asked."""


def strikes(fault: Fault, after_tokens: int, *, times: int = 1) -> tuple[Behaviour, ...]:
    """Return so many times the same trouble, after which the box is well."""
    return (Behaviour(fault=fault, after_tokens=after_tokens),) * times


DOWN = {"status": 503, "code": "model_unavailable"}
TRIES = 3
TROUBLES = {
    "connection refused": Trouble(topic="glacier", refuses=True, **DOWN, asked=0),
    "busy once": Trouble(topic="violin", behaviours=strikes(Fault.BUSY, 0), status=200, asked=2),
    "busy always": Trouble(topic="harbour", behaviours=strikes(Fault.BUSY, 0, times=TRIES), **DOWN, asked=TRIES),
    "500 once": Trouble(topic="beekeeping", behaviours=strikes(Fault.FAILURE, 0), status=200, asked=2),
    "500 always": Trouble(topic="cinnamon", behaviours=strikes(Fault.FAILURE, 0, times=TRIES), **DOWN, asked=TRIES),
    "reset before the text": Trouble(topic="telescope", behaviours=strikes(Fault.RESET, 0), status=200, asked=2),
    "reset in the middle": Trouble(topic="chess", behaviours=strikes(Fault.RESET, 3), **DOWN, asked=1),
    "no done before the text": Trouble(topic="pyramid", behaviours=strikes(Fault.CUT, 0), status=200, asked=2),
    "no done in the middle": Trouble(topic="orchid", behaviours=strikes(Fault.CUT, 3), **DOWN, asked=1),
    "error line before the text": Trouble(
        topic="typewriter", behaviours=strikes(Fault.ERROR_LINE, 0), status=200, asked=2
    ),
    "error line in the middle": Trouble(topic="volcano", behaviours=strikes(Fault.ERROR_LINE, 3), **DOWN, asked=1),
    "garbage before the text": Trouble(topic="sourdough", behaviours=strikes(Fault.GARBAGE, 0), status=200, asked=2),
    "garbage in the middle": Trouble(topic="submarine", behaviours=strikes(Fault.GARBAGE, 3), **DOWN, asked=1),
    "stall before the text": Trouble(
        topic="origami", behaviours=strikes(Fault.STALL, 0), status=504, code="model_timeout", asked=1
    ),
    "stall in the middle": Trouble(
        topic="saffron", behaviours=strikes(Fault.STALL, 3), status=504, code="model_timeout", asked=1
    ),
    "model is missing": Trouble(
        topic="lighthouse", request={"force_model": "ollama/llama3.2"}, status=503, code="model_not_found", asked=1
    ),
    "prompt is too long": Trouble(
        topic="falconry",
        request={"force_model": "ollama/tinyllama", "message": "an owl " * 2000},
        status=422,
        code="prompt_too_long",
        asked=1,
    ),
}


@pytest.fixture(scope="module")
def router(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Router]:
    """The stack over a box with one model, and with 6 s for an answer, so that a stall is cut off soon."""
    folder = tmp_path_factory.mktemp("stack")
    for name in ("functions", "layers", ".build"):
        (folder / name).symlink_to(ROOT / name)
    template, timeout = (ROOT / "template.yaml").read_text(), "Timeout: 900\n"
    assert template.count(timeout) == 1
    (folder / "template.yaml").write_text(template.replace(timeout, "Timeout: 16\n"))
    with (
        (folder / "functions.log").open("w") as log,
        OllamaStandIn(models=("tinyllama",)) as box,
        Twin(folder / "template.yaml", environment_overrides={"OLLAMA_BASE_URL": box.base_url}, log=log) as twin,
        keyed_client(twin) as http,
    ):
        yield Router(twin, http, box)


@pytest.fixture(autouse=True)
def _closed_circuit(router: Router) -> None:
    """Forget the failures of the case before: five in a row would open the circuit for 30 s."""
    key = {"name": {"S": "breaker#ollama"}}
    router.twin.client("dynamodb").delete_item(TableName=router.twin.tables["StatusTable"], Key=key)


@pytest.mark.parametrize("name", TROUBLES)
def test_trouble_costs_its_caller_one_clear_answer_and_nobody_else_anything(router: Router, name: str) -> None:
    """The caller learns what happened, one usage record says the same, nothing stays behind, and the box goes on."""
    trouble = TROUBLES[name]
    records, asked = router.items("UsageTable"), len(router.box.calls)
    router.box.next_behaviours.extend(trouble.behaviours)
    refusing: AbstractContextManager[None] = router.box.refusing() if trouble.refuses else nullcontext()
    question = f"Explain the history of {trouble.topic}"

    with refusing:
        response = router.http.post("/api/v1/chat", json={"message": question, **trouble.request})
    router.twin.drain()

    body = response.json()
    assert (trouble.status, trouble.code) == (response.status_code, body.get("error", {}).get("code"))
    assert trouble.asked == len(router.box.calls) - asked
    assert not router.box.next_behaviours
    assert router.items("UsageTable") == records + 1
    request_id = body["request_id"] if trouble.code is None else body["error"]["request_id"]
    outcome = "succeeded" if trouble.code is None else "failed"
    assert outcome == record(router, request_id)["status"]["S"]
    assert not left_behind(router)
    # A failure is not remembered, an answer is.
    again = router.answer(question)
    assert ("exact" if trouble.status == 200 else None) == again["cache_tier"]


def record(router: Router, request_id: str) -> dict[str, Any]:
    """Return the usage record of a request."""
    client, table = router.twin.client("dynamodb"), router.twin.tables["UsageTable"]
    item: dict[str, Any] = client.get_item(TableName=table, Key={"request_id": {"S": request_id}})["Item"]
    return item


def left_behind(router: Router) -> list[str]:
    """Return the jobs that are not finished, and the flights that are not closed."""
    items = router.twin.client("dynamodb").scan(TableName=router.twin.tables["JobTable"])["Items"]
    return [
        item["job_id"]["S"]
        for item in items
        if item["job_id"]["S"].startswith("flight#") or item.get("status", {}).get("S") in {"queued", "running"}
    ]
