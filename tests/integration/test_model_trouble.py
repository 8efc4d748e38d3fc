"""A box in trouble, through retries, circuit breaker and client at once: the stand-in over HTTP, the table in moto."""

import time
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from moto import mock_aws

from infra.local.ollama_exchange import Behaviour, Fault
from infra.local.ollama_stand_in import OllamaStandIn
from llm_router.adapters.circuit_breaker import DynamoBreaker
from llm_router.adapters.ollama import OllamaClient
from llm_router.breaker import GuardedModel
from llm_router.errors import ModelUnavailableError, StoreError
from llm_router.models import Generation, ModelCall
from llm_router.retrying import RetryingModel, RetryPolicy
from tests.fakes import SettableClock

CALL = ModelCall(model="ollama/tinyllama", prompt="What is Python?", max_tokens=500)
OPEN_MS = 30_000


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def no_trouble_expected(error: StoreError) -> None:
    raise AssertionError from error


@pytest.fixture(name="box")
def running_stand_in() -> Iterator[OllamaStandIn]:
    with OllamaStandIn() as box:
        yield box


@pytest.fixture(name="dynamodb")
def dynamodb_with_table(monkeypatch: pytest.MonkeyPatch, clean_environ: None) -> Iterator[Any]:
    with mock_aws():
        client = boto3.client("dynamodb", region_name="us-east-1")
        client.create_table(
            TableName="status",
            AttributeDefinitions=[{"AttributeName": "name", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "name", "KeyType": "HASH"}],
            BillingMode="PAY_PER_REQUEST",
        )
        yield client


@pytest.fixture(name="clock")
def clock_of_the_breaker() -> SettableClock:
    return SettableClock()


@pytest.fixture(name="model")
def guarded_model(box: OllamaStandIn, dynamodb: Any, clock: SettableClock) -> RetryingModel:
    guarded = GuardedModel(
        model=OllamaClient(box.base_url, clock=now_ms),
        breaker=DynamoBreaker(dynamodb, "status", server="ollama", clock=clock, probe_lease_ms=300_000),
        on_store_error=no_trouble_expected,
    )
    policy = RetryPolicy(max_attempts=3, base_ms=1)
    return RetryingModel(model=guarded, policy=policy, clock=now_ms, sleep=time.sleep, random=lambda: 1.0)


def ask(model: RetryingModel) -> Generation:
    last = list(model.generate(CALL, deadline_ms=now_ms() + 10_000))[-1]
    assert isinstance(last, Generation)
    return last


def test_busy_box_is_asked_again(box: OllamaStandIn, model: RetryingModel) -> None:
    """Two refusals for being busy are an answer in the end."""
    box.next_behaviours.extend([Behaviour(fault=Fault.BUSY)] * 2)

    assert ask(model).done_reason == "stop"
    assert len(box.calls) == 3


def test_answer_that_breaks_off_is_not_asked_for_again(box: OllamaStandIn, model: RetryingModel) -> None:
    """After the first text the box is not made to begin anew."""
    box.next_behaviours.append(Behaviour(fault=Fault.RESET, after_tokens=3))

    with pytest.raises(ModelUnavailableError, match="broke off"):
        ask(model)

    assert len(box.calls) == 1


def test_dead_box_is_left_alone_until_a_probe_finds_it_back(
    box: OllamaStandIn, model: RetryingModel, clock: SettableClock
) -> None:
    """Two requests of three tries open the circuit; the box, though back, is not asked until the pause is over."""
    with box.refusing():
        for _ in range(2):
            with pytest.raises(ModelUnavailableError):
                ask(model)
    with pytest.raises(ModelUnavailableError) as caught:
        ask(model)
    asked_meanwhile = len(box.calls)
    clock.advance(OPEN_MS)

    assert (caught.value.retry_after_ms, asked_meanwhile) == (OPEN_MS, 0)
    assert ask(model).done_reason == "stop"
    assert ask(model).done_reason == "stop"
    assert len(box.calls) == 2
