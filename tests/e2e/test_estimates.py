"""Answers that are not expected in time: told at once how long they take, instead of after a wait for nothing."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from infra.local.ollama_exchange import Behaviour
from llm_router.adapters.dynamodb_status import DynamoStatusStore
from llm_router.estimates import Pace
from tests.builders import TINY
from tests.e2e.conftest import Router, stack

SLOW = Pace(model=TINY, prompt_tokens_per_second=100, output_tokens_per_second=0.5, output_tokens=100)
"""Over three minutes for an answer: longer than anybody may wait."""
DEADLINE_S = 90


@pytest.fixture
def router(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Router]:
    """A stack of its own for each test, so that the box is unknown at first; a parameter gives it other settings."""
    with stack(tmp_path, getattr(request, "param", {})) as router:
        yield router


def statuses(router: Router) -> DynamoStatusStore:
    """Return the status table."""
    return DynamoStatusStore(router.twin.client("dynamodb"), router.twin.tables["StatusTable"])


def test_unknown_box_is_waited_for_and_learned(router: Router) -> None:
    """The first question is waited for; its figures, as the box reported them, are there for the next."""
    before = statuses(router).pace(TINY)
    answer = router.answer("What is an abacus?")
    router.twin.drain()
    learned = statuses(router).pace(TINY)

    assert before is None
    assert learned is not None
    assert answer["output_tokens"] == learned.output_tokens
    assert pytest.approx(25, rel=0.01) == learned.output_tokens_per_second
    assert learned.load_ms is not None
    assert learned.learned_at_ms > 0


def test_answer_that_is_not_expected_in_time(router: Router) -> None:
    """Chat answers 202 although the answer comes within the wait: it goes by what it knows, and does not wait."""
    statuses(router).put_pace(SLOW)
    router.box.next_behaviours.append(Behaviour(token_delay_s=0.1))
    accepted = router.chat("Describe the history of the bassoon", wait_seconds=25)
    body = accepted.json()
    address = accepted.headers["location"]
    running = router.wait_for(address, "running", seconds=DEADLINE_S)
    finished = router.wait_for(address, "succeeded", seconds=DEADLINE_S)
    router.twin.drain()
    learned = statuses(router).pace(TINY)

    assert 202 == accepted.status_code
    assert body["status"] in {"queued", "running"}
    assert "60" == accepted.headers["retry-after"]
    assert 25_000 < body["estimated_ms"] < 300_000
    assert running["waited_ms"] >= body["waited_ms"] >= 0
    assert running["running_ms"] >= 0
    assert 0 <= running["estimated_ms"]
    assert {"waited_ms", "running_ms", "estimated_ms"}.isdisjoint(finished)
    assert learned is not None
    assert learned.output_tokens_per_second > SLOW.output_tokens_per_second


def test_answer_that_is_expected_in_time(router: Router) -> None:
    """With the figures of a fast box chat waits, and answers 200."""
    statuses(router).put_pace(
        Pace(model=TINY, prompt_tokens_per_second=1e6, output_tokens_per_second=1e6, output_tokens=9)
    )

    assert "succeeded" == router.answer("What is a cello?")["status"]


def test_joined_answer_that_is_not_expected_in_time(router: Router) -> None:
    """Who joins a request on its way is told at once, too, and gets its answer later; the box is asked once."""
    statuses(router).put_pace(SLOW)
    router.box.next_behaviours.append(Behaviour(token_delay_s=0.1))
    both = [router.chat("Describe the history of the oboe", wait_seconds=25) for _ in range(2)]
    answers = [router.wait_for(each.headers["location"], "succeeded", seconds=DEADLINE_S) for each in both]

    assert [202, 202] == [each.status_code for each in both]
    assert all(each.json()["estimated_ms"] > 25_000 for each in both)
    assert answers[0]["response"] == answers[1]["response"]
    assert 1 == len(router.box.calls)


@pytest.mark.parametrize("router", [{"PRELOAD_MODELS": "true"}], indirect=True)
def test_preloading(router: Any) -> None:
    """Where it is switched on, the first look at the box loads every tier's model, and the next look sees them."""
    router.twin.drain()
    sighting = statuses(router).box()

    assert ["tinyllama", "llama3.2"] == list(router.box.loads)
    assert sighting is not None
    assert sighting.state is not None
    assert {"tinyllama:latest", "llama3.2:latest"} == {each.name for each in sighting.state.resident}
    assert router.answer("What is a drum?")
    assert 2 == len(router.box.loads)


def test_no_preloading(router: Router) -> None:
    """Where it is not, the box is only looked at."""
    router.twin.drain()

    assert [] == list(router.box.loads)
