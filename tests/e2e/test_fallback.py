"""A box that cannot answer: who answers in its place, what that costs, and what is left behind."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pytest

from infra.local import openai_exchange as cloud_side
from infra.local.ollama_exchange import Behaviour, Fault
from infra.local.ollama_stand_in import OllamaStandIn
from infra.local.openai_stand_in import OpenAIStandIn
from infra.local.twin import Twin
from tests.e2e.conftest import TEMPLATE, Router
from tests.keyed import keyed_client
from tests.loading import load_event

KEY = "sk-of-the-cloud"
CLOUD = "cloud/gpt-4o-mini"
INPUT_NANO_USD, OUTPUT_NANO_USD = 150, 600
"""Of a token of gpt-4o-mini: 0.15 and 0.60 dollars a million."""


@dataclass(frozen=True)
class Stack(Router):
    """The whole stack over a box with two models, and a cloud."""

    cloud: OpenAIStandIn

    def table(self, name: str) -> list[dict[str, Any]]:
        """Return the items of a table."""
        return self.twin.client("dynamodb").scan(TableName=self.twin.tables[name])["Items"]

    def record(self, request_id: str) -> dict[str, Any]:
        """Return the one usage record of a request, once every stream has been read."""
        self.twin.drain()
        (found,) = [item for item in self.table("UsageTable") if item["request_id"]["S"] == request_id]
        return found

    def queued(self) -> list[dict[str, Any]]:
        """Return the jobs that wait for the box."""
        return [item for item in self.table("JobTable") if "lane" in item]

    def close_circuits(self) -> None:
        """Forget all failures."""
        for server in ("ollama", "cloud"):
            key = {"name": {"S": f"breaker#{server}"}}
            self.twin.client("dynamodb").delete_item(TableName=self.twin.tables["StatusTable"], Key=key)

    def open_circuit(self) -> None:
        """Let everybody know for a while that the box is down."""
        item = {"name": {"S": "breaker#ollama"}, "failures": {"N": "5"}, "refused_until_ms": {"N": "99999999999999"}}
        self.twin.client("dynamodb").put_item(TableName=self.twin.tables["StatusTable"], Item=item)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The complex tier's model is missing on the box; tinyllama stands in for it, and a cloud for the box."""
    with (
        (tmp_path_factory.mktemp("twin") / "functions.log").open("w") as log,
        OllamaStandIn(models=("tinyllama", "phi3")) as box,
        OpenAIStandIn(api_key=KEY, model="gpt-4o-mini") as cloud,
        Twin(
            TEMPLATE,
            parameters={
                "OllamaBaseUrl": box.base_url,
                "FallbackModel": "ollama/phi3",
                "CloudModel": "gpt-4o-mini",
                "CloudBaseUrl": cloud.base_url,
                "CloudApiKeySecretArn": "the-cloud-s-key",
            },
            secrets={"the-cloud-s-key": KEY},
            log=log,
        ) as twin,
        keyed_client(twin) as http,
    ):
        yield Stack(twin, http, box, cloud)


@pytest.fixture(autouse=True)
def _well(stack: Stack) -> None:
    """Forget the failures of the case before."""
    stack.close_circuits()
    stack.box.next_behaviours.clear()
    stack.cloud.behaviour = cloud_side.Behaviour()


def test_cloud_answers_while_the_box_is_down(stack: Stack) -> None:
    """The box fails until its circuit opens; every question is answered, by the cloud, which is paid once for each."""
    with stack.box.refusing():
        answers = [stack.answer(f"What is number {number} called in Latin?") for number in range(3)]
        calls = len(stack.cloud.calls)
        again = stack.answer("What is number 0 called in Latin?")
        asked_again = len(stack.cloud.calls) - calls

    for answer in answers:
        cost = answer["input_tokens"] * INPUT_NANO_USD + answer["output_tokens"] * OUTPUT_NANO_USD
        assert (CLOUD + "+stand-in", True, False) == (answer["model_used"], answer["fallback"], answer["was_cached"])
        assert str(cost) == stack.record(answer["request_id"])["actual_nano_usd"]["N"]
        assert cost / 1e9 == pytest.approx(answer["actual_cost"])
    assert (0, "exact", True, 0.0) == (asked_again, again["cache_tier"], again["fallback"], again["actual_cost"])
    assert {"BOOL": True} == stack.record(again["request_id"])["fallback"]


def test_conversation_goes_on_in_the_cloud(stack: Stack) -> None:
    """The cloud is sent the turn that the box answered, and its own answers as well."""
    first = stack.answer("What is a lute?", conversation_id="lute")
    with stack.box.refusing():
        second = stack.answer("Who plays it?", conversation_id="lute")
    stack.open_circuit()
    third = stack.answer("Where?", conversation_id="lute")
    talk = ["What is a lute?", first["response"], "Who plays it?", second["response"], "Where?"]

    assert [False, True, True] == [answer["fallback"] for answer in (first, second, third)]
    assert [talk[:3], talk] == [call.contents for call in stack.cloud.calls[-2:]]


def test_open_circuit_sends_questions_straight_to_the_cloud(stack: Stack) -> None:
    """While the box is known to be down it is not asked at all, its waiting line stays empty, and hits are hits."""
    asked = len(stack.box.calls)
    stack.open_circuit()
    answer = stack.answer("What is a tugboat?")
    again = stack.answer("what's a tugboat")

    assert (CLOUD + "+stand-in", True, "simple") == (answer["model_used"], answer["fallback"], answer["complexity"])
    assert (True, True, "semantic") == (again["was_cached"], again["fallback"], again["cache_tier"])
    assert (asked, len(stack.queued())) == (len(stack.box.calls), 0)


def test_answer_of_the_cloud_is_not_the_box_s(stack: Stack) -> None:
    """Once the box is back, its own model is asked: what the cloud said is kept under the cloud's name only."""
    with stack.box.refusing():
        stack.answer("What is a barometer?")
    stack.close_circuits()
    own = stack.answer("What is a barometer?")
    forced = stack.answer("What is a barometer?", force_model=CLOUD)

    assert ("ollama/tinyllama+stand-in", False, False) == (own["model_used"], own["fallback"], own["was_cached"])
    assert (CLOUD + "+stand-in", "exact", False) == (forced["model_used"], forced["cache_tier"], forced["fallback"])


COMPLEX = (
    "Design a distributed, fault-tolerant message queue with sharding and replication. Explain step by step why you "
    "would choose eventual consistency, compare the trade-offs, and analyze how load balancing affects latency."
)


def test_missing_model_is_stood_in_for_by_the_other_one(stack: Stack) -> None:
    """A model that the box does not have is stood in for by the one it has; the cloud is not asked."""
    calls = len(stack.cloud.calls)
    answer = stack.answer(COMPLEX)
    record = stack.record(answer["request_id"])

    assert ("complex", "ollama/phi3+stand-in", True) == (answer["complexity"], answer["model_used"], answer["fallback"])
    assert calls == len(stack.cloud.calls)
    assert ({"BOOL": True}, "ollama/phi3+stand-in") == (record["fallback"], record["model"]["S"])


def test_answer_that_breaks_off_is_begun_anew(stack: Stack) -> None:
    """A model whose answer breaks off is stood in for, in the same request, by a whole answer of another."""
    stack.box.next_behaviours.append(Behaviour(fault=Fault.CUT, after_tokens=3))
    answer = stack.answer("Explain the history of the pyramid")

    assert ("ollama/phi3+stand-in", True, False) == (answer["model_used"], answer["fallback"], answer["truncated"])
    assert answer["response"].startswith("You asked phi3")


def test_both_down(stack: Stack) -> None:
    """Where neither box nor cloud answers, the caller learns why, and one record says the same."""
    stack.cloud.behaviour = cloud_side.Behaviour(fault=cloud_side.Fault.FAILURE)
    with stack.box.refusing():
        response = stack.chat("What is a sextant?")
    error = response.json()["error"]

    assert (503, "model_unavailable", "The cloud API failed.") == (
        response.status_code,
        error["code"],
        error["message"],
    )
    assert "failed" == stack.record(error["request_id"])["status"]["S"]


def test_forced_models(stack: Stack) -> None:
    """The cloud can be forced; a forced model of the box is not stood in for; an unknown one is refused."""
    forced = stack.answer("What is a gyroscope?", force_model=CLOUD)
    stack.box.next_behaviours.append(Behaviour(fault=Fault.CUT, after_tokens=3))
    broken = stack.chat("What is a gyroscope?", force_model="ollama/tinyllama")
    unknown = stack.chat("What is a gyroscope?", force_model="gpt-4")

    assert (CLOUD + "+stand-in", False, False) == (forced["model_used"], forced["fallback"], forced["was_cached"])
    assert (503, "model_unavailable") == (broken.status_code, broken.json()["error"]["code"])
    assert (422, "must be one of cloud/gpt-4o-mini, ollama/llama3.2, ollama/phi3, ollama/tinyllama") == (
        unknown.status_code,
        unknown.json()["error"]["message"],
    )


def test_deliveries_that_come_twice(stack: Stack) -> None:
    """A stream record and a queue message that come again ask neither the cloud nor the box once more."""
    stack.open_circuit()
    answer = stack.answer("What is a metronome?")
    stack.twin.drain()
    calls, asked, records = len(stack.cloud.calls), len(stack.box.calls), stack.items("UsageTable")
    record = load_event("infer-cloud")
    record["Records"][0]["dynamodb"]["Keys"]["job_id"]["S"] = answer["request_id"]
    replayed = stack.twin.invoke("InferCloudFunction", record)
    stack.close_circuits()
    stack.twin.client("sqs").send_message(
        QueueUrl=stack.twin.queue_url("InferenceQueue"), MessageBody=json.dumps({"job_id": answer["request_id"]})
    )
    stack.twin.drain()

    assert {"batchItemFailures": []} == replayed.json()
    assert (calls, asked, records) == (len(stack.cloud.calls), len(stack.box.calls), stack.items("UsageTable"))


def test_equal_questions_share_one_answer_of_the_cloud(stack: Stack) -> None:
    """Callers who ask the same at once while the box is down are all answered, and the cloud is paid once."""
    stack.cloud.behaviour = cloud_side.Behaviour(token_delay_s=0.02)
    stack.open_circuit()
    calls = len(stack.cloud.calls)
    with ThreadPoolExecutor(5) as callers:
        answers = list(callers.map(stack.answer, ["What is a periscope?"] * 5))
    records = [stack.record(answer["request_id"]) for answer in answers]

    assert calls + 1 == len(stack.cloud.calls)
    assert ({CLOUD + "+stand-in"}, {True}) == (
        {answer["model_used"] for answer in answers},
        {answer["fallback"] for answer in answers},
    )
    assert 1 == sum(record["actual_nano_usd"]["N"] != "0" for record in records)


def test_cancelled_in_the_cloud(stack: Stack) -> None:
    """A request that the cloud is answering is cancelled like any other, and the connection is closed."""
    stack.cloud.behaviour = cloud_side.Behaviour(token_delay_s=0.2)
    stack.open_circuit()
    aborted = len(stack.cloud.aborted)
    address = stack.accepted("What is a theodolite?")
    stack.wait_for(address, "running")
    cancelled = stack.http.delete(address)
    ended = stack.wait_for(address, "cancelled", seconds=10)

    assert (202, "cancelled") == (cancelled.status_code, ended["error"]["code"])
    assert aborted + 1 == len(stack.cloud.aborted)


def test_worker_that_is_killed_while_the_cloud_answers(stack: Stack) -> None:
    """Once the lease of a killed worker is over the next look has the cloud asked again, once; the box is not."""
    stack.cloud.behaviour = cloud_side.Behaviour(token_delay_s=0.15)
    stack.open_circuit()
    asked, calls = len(stack.box.calls), len(stack.cloud.calls)
    address = stack.accepted("What is an astrolabe?")
    joined = stack.accepted("What is an astrolabe?")
    stack.wait_for(address, "running")
    stack.close_circuits()
    stack.twin.crash("InferCloudFunction")
    answers = [stack.wait_for(where, "succeeded", seconds=60) for where in (address, joined)]

    assert answers[0]["response"] == answers[1]["response"]
    assert (calls + 2, asked) == (len(stack.cloud.calls), len(stack.box.calls))
    assert [{"BOOL": True}] * 2 == [stack.record(answer["request_id"])["fallback"] for answer in answers]
