"""A box that cannot answer: who answers in its place, what that costs, and what is left behind."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from infra.local import openai_exchange as cloud_side
from infra.local.ollama_stand_in import OllamaStandIn
from infra.local.openai_stand_in import OpenAIStandIn
from infra.local.twin import Twin
from tests.e2e.conftest import TEMPLATE, Router

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
        httpx.Client(base_url=twin.url, timeout=40) as http,
    ):
        yield Stack(twin, http, box, cloud)


@pytest.fixture(autouse=True)
def _well(stack: Stack) -> None:
    """Forget the failures of the case before."""
    for server in ("ollama", "cloud"):
        stack.twin.client("dynamodb").delete_item(
            TableName=stack.twin.tables["StatusTable"], Key={"name": {"S": f"breaker#{server}"}}
        )
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
