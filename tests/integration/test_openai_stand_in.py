"""The client of OpenAI-compatible APIs and the stand-in over real HTTP."""

import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from infra.local.openai_exchange import Behaviour, Fault
from infra.local.openai_stand_in import OpenAIStandIn
from llm_router.adapters.openai_compatible import OpenAICompatibleClient
from llm_router.errors import (
    ModelError,
    ModelNotFoundError,
    ModelTimeoutError,
    ModelUnavailableError,
    PromptTooLongError,
)
from llm_router.models import Generation, ModelCall
from tests.fakes import FakeSecret
from tests.patience import eventually

KEY = "sk-right"
MODEL = "gpt-4o-mini"
PATIENCE_S = 10.0


@pytest.fixture(name="cloud")
def running_stand_in() -> Iterator[OpenAIStandIn]:
    with OpenAIStandIn(api_key=KEY, model=MODEL) as cloud:
        yield cloud


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def client(cloud: OpenAIStandIn, **options: Any) -> OpenAICompatibleClient:
    usual: dict[str, Any] = {"api_key": FakeSecret(KEY), "model": MODEL, "clock": now_ms}
    return OpenAICompatibleClient(cloud.base_url, **usual | options)


def call(prompt: str = "What is Python?", max_tokens: int = 500) -> ModelCall:
    return ModelCall(model="ollama/llama3.2", prompt=prompt, max_tokens=max_tokens)


def ask(
    cloud: OpenAIStandIn, question: ModelCall | None = None, *, seconds: float = PATIENCE_S, **options: Any
) -> list[Any]:
    return list(client(cloud, **options).generate(question or call(), deadline_ms=now_ms() + int(seconds * 1000)))


def test_answer_streams_and_says_who_answers(cloud: OpenAIStandIn) -> None:
    """An answer comes in pieces, with its tokens counted, and nobody can take it for a model's."""
    *pieces, last = ask(cloud)

    assert isinstance(last, Generation)
    assert len(pieces) == last.output_tokens
    assert "".join(pieces) == last.text
    assert (last.model, last.done_reason, last.input_tokens, last.busy_ns) == (
        "cloud/gpt-4o-mini+stand-in",
        "stop",
        12,
        0,
    )
    assert "stand-in for a cloud API" in last.text
    assert "Ollama" not in last.text


@pytest.mark.parametrize("limit_field", ["max_tokens", "max_completion_tokens"])
def test_answer_stops_at_its_limit(cloud: OpenAIStandIn, limit_field: str) -> None:
    """Under either name, the bound cuts the answer, which says so."""
    last = ask(cloud, call(max_tokens=5), limit_field=limit_field)[-1]

    assert (last.output_tokens, last.done_reason) == (5, "length")


def test_questions_are_recorded(cloud: OpenAIStandIn) -> None:
    """The stand-in remembers what it was asked, as the client sent it."""
    ask(
        cloud, ModelCall(model="ollama/llama3.2", prompt="Hi", system_prompt="Be brief.", max_tokens=8, temperature=0.0)
    )
    (question,) = cloud.calls

    assert question.contents == ["Be brief.", "Hi"]
    assert (question.model, question.max_tokens, question.temperature) == (MODEL, 8, 0.0)
    assert question.stream_options.include_usage


@pytest.mark.parametrize(
    ("options", "prompt", "error"),
    [
        ({"api_key": FakeSecret("sk-wrong")}, "Hi", ModelError),
        ({"model": "gpt-9"}, "Hi", ModelNotFoundError),
        ({}, "word " * 8200, PromptTooLongError),
    ],
    ids=["wrong key", "unknown model", "too long"],
)
def test_refusals_have_their_error(
    cloud: OpenAIStandIn, options: dict[str, Any], prompt: str, error: type[ModelError]
) -> None:
    """A wrong key, an unknown model and a prompt that does not fit are told apart."""
    with pytest.raises(ModelError) as caught:
        ask(cloud, call(prompt), **options)

    assert error is caught.type


@pytest.mark.parametrize(
    ("behaviour", "words", "retry_after_ms"),
    [
        (Behaviour(fault=Fault.RATE_LIMITED), "busy", 1000),
        (Behaviour(fault=Fault.FAILURE), "failed", None),
        (Behaviour(fault=Fault.CUT, after_tokens=0), "broke off", None),
        (Behaviour(fault=Fault.CUT), "broke off", None),
    ],
)
def test_misbehaviour_is_an_unavailable_model_once(
    cloud: OpenAIStandIn, behaviour: Behaviour, words: str, retry_after_ms: int | None
) -> None:
    """Each fault strikes one question; the next one is answered."""
    cloud.next_behaviours.append(behaviour)
    with pytest.raises(ModelUnavailableError, match=words) as caught:
        ask(cloud)

    assert caught.value.retry_after_ms == retry_after_ms
    assert ask(cloud)[-1].done_reason == "stop"
    assert len(cloud.calls) == 2


@pytest.mark.parametrize("after_tokens", [0, 3])
def test_deadline_ends_a_stall(cloud: OpenAIStandIn, after_tokens: int) -> None:
    """At the deadline a silent connection is closed, and the server hears of it."""
    cloud.next_behaviours.append(Behaviour(fault=Fault.STALL, after_tokens=after_tokens))

    with pytest.raises(ModelTimeoutError):
        ask(cloud, seconds=1.5)

    assert eventually(lambda: len(cloud.aborted) == 1)


def test_silence_is_an_unavailable_model(cloud: OpenAIStandIn) -> None:
    """A server silent for too long is given up before the deadline."""
    cloud.behaviour = Behaviour(fault=Fault.STALL)

    with pytest.raises(ModelUnavailableError, match="silent"):
        ask(cloud, silence_s=0.2)


def test_closing_the_answer_stops_the_server(cloud: OpenAIStandIn) -> None:
    """Closing the iterator closes the connection in the middle of an answer."""
    cloud.behaviour = Behaviour(token_delay_s=0.02)
    answer = client(cloud).generate(call("Why? " * 80), deadline_ms=now_ms() + 10_000)
    next(answer)

    answer.close()

    assert eventually(lambda: len(cloud.aborted) == 1)


def test_refused_connection_is_an_unavailable_model(cloud: OpenAIStandIn) -> None:
    """Nobody listens for a while; then the same address answers again."""
    with cloud.refusing(), pytest.raises(ModelUnavailableError, match="cloud API cannot be reached"):
        ask(cloud)

    assert ask(cloud)[-1].done_reason == "stop"


@pytest.mark.parametrize(
    ("body", "words"),
    [("{", "truncated"), ('{"model": "gpt-4o-mini", "messages": []}', "only streams")],
)
def test_what_it_cannot_answer_is_refused(cloud: OpenAIStandIn, body: str, words: str) -> None:
    """An error has OpenAI's shape: one object with a message and a code."""
    headers = {"Authorization": f"Bearer {KEY}"}
    answer = httpx.post(f"{cloud.base_url}/chat/completions", content=body, headers=headers, trust_env=False)

    assert answer.status_code == 400
    assert words in answer.json()["error"]["message"]
    assert answer.json()["error"]["code"] == "invalid_request_error"


def test_stand_in_runs_by_itself() -> None:
    """As a module it takes the key it is given, says where, and ends quietly when terminated."""
    command = [sys.executable, "-m", "infra.local.openai_stand_in", "--port", "0", "--key", "sk-other"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            address = process.stdout.readline().split()[-1]
            cloud = OpenAICompatibleClient(address, api_key=FakeSecret("sk-other"), model=MODEL, clock=now_ms)
            *_, last = cloud.generate(call(), deadline_ms=now_ms() + int(PATIENCE_S * 1000))
        finally:
            process.terminate()
        _, errors = process.communicate(timeout=PATIENCE_S)

    assert isinstance(last, Generation)
    assert last.done_reason == "stop"
    assert (process.returncode, errors) == (0, "")
