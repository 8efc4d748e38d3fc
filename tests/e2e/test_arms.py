"""Two arms of a tier: callers are shared out, stay where they are, and are told apart in answers and figures."""

import json
from collections import Counter
from collections.abc import Iterator

import pytest

from llm_router.arms import Arm, chosen, unit_of
from llm_router.classification import Complexity
from tests.e2e.conftest import Router, stack

TINY, LLAMA = "ollama/tinyllama", "ollama/llama3.2"
ARMS = (
    Arm(tier=Complexity.SIMPLE, arm="default", weight=1),
    Arm(tier=Complexity.SIMPLE, arm="large", weight=1, model=LLAMA),
)
MODELS = {"default": TINY, "large": LLAMA}


@pytest.fixture(scope="module")
def router(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Router]:
    """A stack whose simple tier has two arms."""
    arms = json.dumps(
        [{"tier": arm.tier, "arm": arm.arm, "weight": arm.weight, "model": arm.model} for arm in ARMS],
    )
    with stack(tmp_path_factory.mktemp("twin"), {"ROUTING_ARMS": arms}) as router:
        yield router


def test_arms(router: Router) -> None:
    """Conversations get the arm of their hash, each time; answers, the waiting, classify, models and rollups say so."""
    conversations = [f"c-{number}" for number in range(6)]
    expected = [chosen(ARMS, unit_of("default", name)).arm for name in conversations]
    answers = [router.answer("What is a quill?", conversation_id=name) for name in conversations]
    again = [router.answer("What is an anvil?", conversation_id=name) for name in conversations]
    single, repeated = router.answer("What is a bellows?"), router.answer("What is a bellows?")
    graded = router.http.post("/api/v1/classify", json={"messages": ["What is a bellows?", "Hello"]}).json()["results"]
    forced = router.answer("What is a bellows?", force_model=LLAMA)
    pending = router.chat("What is a chisel?", conversation_id="c-0", wait_seconds=0, skip_cache=True).json()
    router.wait_for(f"/api/v1/requests/{pending['request_id']}", "succeeded")
    own = chosen(ARMS, unit_of("default")).arm
    counted = Counter([*expected, *expected, own, own, "forced", expected[0]])

    assert {"default", "large"} == set(expected)
    assert expected == [answer["arm"] for answer in answers] == [answer["arm"] for answer in again]
    assert [f"{MODELS[name]}+stand-in" for name in expected] == [answer["model_used"] for answer in answers]
    assert (own, own, True) == (single["arm"], repeated["arm"], repeated["was_cached"])
    assert [(own, MODELS[own])] * 2 == [(each["arm"], each["recommended_model"]) for each in graded]
    assert "forced" == forced["arm"]
    assert expected[0] == pending["arm"]
    assert counted == router.summary()["requests_by_arm"]
    shown = router.http.get("/api/v1/models").json()["arms"]
    assert [("default", TINY), ("large", LLAMA)] == [(arm["arm"], arm["model"]) for arm in shown]
