"""A box whose memory holds one model of two: who waits is answered in an order that saves loads, and starves nobody."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.local.ollama_exchange import Behaviour
from infra.local.ollama_stand_in import OllamaStandIn
from infra.local.twin import Twin
from llm_router.adapters.dynamodb_status import DynamoStatusStore
from llm_router.estimates import Pace
from tests.e2e.conftest import TEMPLATE, Router
from tests.keyed import keyed_client

TINY, LLAMA = "ollama/tinyllama", "ollama/llama3.2"
THINGS = ("anvil", "bellows", "chisel", "dibber", "etching", "flute", "gong", "hoe", "inkwell", "jug", "kiln", "loom")


@pytest.fixture
def router(tmp_path: Path) -> Iterator[Router]:
    """A stack of its own for each test, with a box that holds one model and is known to the router."""
    with (
        (tmp_path / "functions.log").open("w") as log,
        OllamaStandIn(max_loaded=1) as box,
        Twin(TEMPLATE, environment_overrides={"OLLAMA_BASE_URL": box.base_url}, log=log) as twin,
        keyed_client(twin) as http,
    ):
        router = Router(twin, http, box)
        for model in (LLAMA, TINY):
            router.answer("What is a quill?", force_model=model)
        router.twin.drain()
        yield router


def accepted(router: Router, message: str, model: str) -> str:
    """Ask a model without waiting, and return where its answer will be."""
    response = router.chat(message, wait_seconds=0, force_model=model)
    assert response.status_code == 202, response.text
    address: str = response.headers["location"]
    return address


def test_mixed_burst_causes_few_loads(router: Router) -> None:
    """Twelve questions, to two models in turn, are all answered, once, with a few loads instead of twelve."""
    router.box.behaviour = Behaviour(token_delay_s=0.02)
    loads, calls = len(router.box.loads), len(router.box.calls)
    addresses = [
        accepted(router, f"Describe the history of the {thing}", (TINY, LLAMA)[number % 2])
        for number, thing in enumerate(THINGS)
    ]
    answers = [router.wait_for(address, "succeeded") for address in addresses]
    router.twin.drain()

    assert all(thing in answer["response"] for thing, answer in zip(THINGS, answers, strict=True))
    assert len(THINGS) == len(router.box.calls) - calls
    assert 2 + len(THINGS) == router.items("UsageTable")
    assert 4 >= len(router.box.loads) - loads


def test_cancelled_while_waiting(router: Router) -> None:
    """A request that is cancelled in the line is asked of no model; the others are answered."""
    router.box.behaviour = Behaviour(token_delay_s=0.02)
    calls = len(router.box.calls)
    addresses = [
        accepted(router, f"Describe the history of the {thing}", (TINY, LLAMA)[number % 2])
        for number, thing in enumerate(THINGS[:6])
    ]
    gone = router.http.delete(addresses[-1]).json()
    answers = [router.wait_for(address, "succeeded") for address in addresses[:-1]]
    router.twin.drain()

    assert "cancelled" == gone["status"]
    assert 5 == len(answers) == len(router.box.calls) - calls
    assert 2 + 6 == router.items("UsageTable")


def test_worker_dies_while_it_passes_a_request_over(router: Router) -> None:
    """The request it ran is taken up again, and the one it passed over is found in the line, without its message."""
    router.box.behaviour = Behaviour(token_delay_s=0.1)
    alongside = accepted(router, "Describe the history of the anvil", TINY)
    passed_over = accepted(router, "Describe the history of the bellows", LLAMA)
    preferred = accepted(router, "Describe the history of the chisel", TINY)
    router.wait_for(preferred, "running")
    waits = router.http.get(passed_over).json()["status"]
    router.twin.crash("InferFunction")
    router.box.behaviour = Behaviour()
    for model in (LLAMA, TINY):  # the first brings its model into memory, the second is passed over
        router.wait_for(accepted(router, f"Describe the history of {model}", model), "succeeded")
    found = router.http.get(passed_over).json()["status"]
    for address in (alongside, preferred):
        router.wait_for(address, "succeeded")

    assert ("queued", "succeeded") == (waits, found)
    assert 2 + 5 == router.items("UsageTable")


def test_duplicate_messages(router: Router) -> None:
    """Messages that come twice change nothing: each request is asked of its model once."""
    router.box.behaviour = Behaviour(token_delay_s=0.02)
    calls = len(router.box.calls)
    sqs = router.twin.client("sqs")
    addresses = []
    for number, thing in enumerate(THINGS[:4]):
        addresses.append(accepted(router, f"Describe the history of the {thing}", (TINY, LLAMA)[number % 2]))
        body = f'{{"job_id": "{addresses[-1].rpartition("/")[2]}"}}'
        for _ in range(2):
            sqs.send_message(QueueUrl=router.twin.queue_url("InferenceQueue"), MessageBody=body)
    for address in addresses:
        router.wait_for(address, "succeeded")
    router.twin.drain()

    assert 4 == len(router.box.calls) - calls
    assert 2 + 4 == router.items("UsageTable")


def test_place_in_line(router: Router) -> None:
    """Behind a long line chat answers 202 at once, with a place that goes down until it is the request's turn."""
    statuses = DynamoStatusStore(router.twin.client("dynamodb"), router.twin.tables["StatusTable"])
    statuses.put_pace(Pace(model=TINY, prompt_tokens_per_second=1e6, output_tokens_per_second=10, output_tokens=100))
    router.box.behaviour = Behaviour(token_delay_s=0.03)
    for thing in THINGS[:5]:
        accepted(router, f"Describe the history of the {thing}", TINY)
    response = router.chat(f"Describe the history of the {THINGS[5]}", wait_seconds=25, force_model=TINY)
    seen = [response.json()]
    while seen[-1]["status"] != "succeeded":
        seen.append(router.http.get(response.headers["location"]).json())
        time.sleep(0.2)
    places = [body["position"] for body in seen if "position" in body]

    assert 202 == response.status_code
    assert places[0] in {3, 4, 5}  # of five, two workers have begun one each, or are about to
    assert sorted(places, reverse=True) == places
    assert 0 == places[-1]
    assert all("position" not in body for body in seen if body["status"] != "queued")
    assert 10_000 * 4 <= seen[0]["estimated_ms"] <= 10_000 * 6 + 1_000
