"""Conversations: the model gets the turns before the question, and one request is on its way at a time."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx

from infra.local.ollama_exchange import Behaviour, Fault
from llm_router.box import answer_limit_tokens, context_tokens
from llm_router.conversations import message_tokens
from llm_router.prompt import sha256_hex
from tests.builders import TINY

SLOW = Behaviour(token_delay_s=0.2)
"""About ten seconds for an answer: what is to happen meanwhile happens meanwhile."""


def heard(router: Any) -> list[tuple[str, str]]:
    """Return what the box was sent last, by role."""
    return [(each.role, each.content) for each in router.box.calls[-1].messages]


def turn(question: str, answer: dict[str, Any]) -> list[tuple[str, str]]:
    """Return how a turn is sent to the box."""
    return [("user", question), ("assistant", answer["response"])]


def refusal(response: httpx.Response) -> tuple[int, str, str]:
    """Return status, code and field of an error."""
    error = response.json()["error"]
    return response.status_code, error["code"], error["field"]


def accepted(router: Any, message: str, conversation_id: str) -> str:
    """Ask a question that takes its time, without waiting, and return where its answer will be once it is begun."""
    router.box.next_behaviours.append(SLOW)
    response = router.chat(message, conversation_id=conversation_id, wait_seconds=0)
    assert response.status_code == 202, response.text
    address: str = response.headers["location"]
    router.wait_for(address, "running")
    return address


def forget(router: Any, conversation_id: str) -> None:
    """Let a conversation expire."""
    digest = sha256_hex(f"default\0{conversation_id}".encode())
    key = {"job_id": {"S": f"conversation#{digest}"}}
    old = router.twin.client("dynamodb").delete_item(
        TableName=router.twin.tables["JobTable"], Key=key, ReturnValues="ALL_OLD"
    )
    assert "Attributes" in old


def test_later_turns_carry_the_earlier_ones(router: Any) -> None:
    """The model sees every turn before the question, after the instruction; their tokens are counted."""
    first = router.answer("What is a canoe?", conversation_id="boats", system_prompt="Be brief.")
    second = router.answer("Who builds them?", conversation_id="boats", system_prompt="Be brief.")
    third = router.answer("Where?", conversation_id="boats", system_prompt="Be brief.")
    turns = turn("What is a canoe?", first) + turn("Who builds them?", second)

    assert [("system", "Be brief."), *turns, ("user", "Where?")] == heard(router)
    assert third["input_tokens"] > first["output_tokens"] + second["output_tokens"]


def test_turns_of_the_caller(router: Any) -> None:
    """Whoever keeps his own history sends it along: the model sees it, and only the same turns share an answer."""
    turns = [["What is a dinghy?", "A small boat."]]
    calls = len(router.box.calls)
    first, again = (router.answer("What is it for?", history=turns) for _ in range(2))
    seen = heard(router)
    router.answer("What is it for?", history=[["What is an oar?", "A long paddle."]])
    both = router.chat("What is it for?", history=turns, conversation_id="dinghy")

    assert [("user", turns[0][0]), ("assistant", turns[0][1]), ("user", "What is it for?")] == seen
    assert (False, True) == (first["was_cached"], again["was_cached"])
    assert calls + 2 == len(router.box.calls)
    assert (422, "invalid_request", "history") == refusal(both)


def test_another_conversation_does_not_see_it(router: Any) -> None:
    """Neither another conversation nor a single question gets the turns, or an answer that was given after them."""
    router.answer("What is a kayak?", conversation_id="kayak")
    router.answer("How long is it?", conversation_id="kayak")
    for fields in ({"conversation_id": "Kayak"}, {}):
        elsewhere = router.answer("How long is it?", **fields)

        assert elsewhere["cache_tier"] is None
        assert [("user", "How long is it?")] == heard(router)


def test_interleaved_request_is_refused(router: Any) -> None:
    """While a request is on its way the next one is a conflict that leaves no trace, and is accepted afterwards."""
    address = accepted(router, "Describe the history of the raft", "raft")
    jobs, calls = router.items("JobTable"), len(router.box.calls)
    refused = router.chat("And of the float?", conversation_id="raft")
    looked = router.http.post("/api/v1/cache/lookup", json={"message": "And?", "conversation_id": "raft"})
    left = router.items("JobTable"), len(router.box.calls)
    first = router.wait_for(address, "succeeded")
    router.answer("And of the float?", conversation_id="raft")

    assert (409, "conflict", "conversation_id") == refusal(refused) == refusal(looked)
    assert address.rpartition("/")[2] in refused.json()["error"]["message"]
    assert (jobs, calls) == left
    assert [*turn("Describe the history of the raft", first), ("user", "And of the float?")] == heard(router)


def test_eight_at_once(router: Any) -> None:
    """Of eight who ask at the same moment one is accepted, and the others are told why not; one record is left."""
    records = router.items("UsageTable")
    router.box.next_behaviours.append(SLOW)

    def ask(number: int) -> httpx.Response:
        response: httpx.Response = router.chat(f"What is sail {number}?", conversation_id="sails", wait_seconds=0)
        return response

    with ThreadPoolExecutor(8) as pool:
        responses = list(pool.map(ask, range(8)))
    (first,) = [response for response in responses if response.status_code == 202]
    router.wait_for(first.headers["location"], "succeeded")
    router.twin.drain()

    assert [(409, "conflict", "conversation_id")] * 7 == [
        refusal(response) for response in responses if response is not first
    ]
    assert records + 1 == router.items("UsageTable")


def test_failed_request_is_left_out(router: Any) -> None:
    """A question that came to nothing is no turn, and does not hold the conversation up."""
    first = router.answer("What is an anchor?", conversation_id="anchor")
    router.box.next_behaviours.append(Behaviour(fault=Fault.CUT))
    failed = router.chat("What is it made of?", conversation_id="anchor")
    router.answer("How heavy is it?", conversation_id="anchor")

    assert 503 == failed.status_code
    assert [*turn("What is an anchor?", first), ("user", "How heavy is it?")] == heard(router)


def test_cancelled_request_is_left_out(router: Any) -> None:
    """A question that was cancelled is no turn, and the next one is accepted as soon as it has ended."""
    address = accepted(router, "Describe the history of the rudder", "rudder")
    router.http.delete(address)
    router.wait_for(address, "cancelled")
    router.answer("What is a rudder?", conversation_id="rudder")

    assert [("user", "What is a rudder?")] == heard(router)


def test_same_question_in_two_conversations(router: Any) -> None:
    """The same question after the same turns is generated for each conversation."""
    calls = len(router.box.calls)
    for conversation_id in ("left", "right"):
        router.answer("What is a mast?", conversation_id=conversation_id)
        router.answer("How tall is it?", conversation_id=conversation_id)

    assert calls + 4 == len(router.box.calls)


def test_hit_is_a_turn(router: Any) -> None:
    """An answer that a conversation finds in the cache is a turn like one of the model's; a lookup tells beforehand."""
    router.answer("What is a hull?", conversation_id="hull")
    forget(router, "hull")
    found = router.http.post("/api/v1/cache/lookup", json={"message": "What is a hull?", "conversation_id": "hull"})
    hit = router.answer("What is a hull?", conversation_id="hull")
    router.answer("What is it for?", conversation_id="hull")
    again = router.http.post("/api/v1/cache/lookup", json={"message": "What is a hull?", "conversation_id": "hull"})

    assert (True, "exact") == (found.json()["hit"], hit["cache_tier"])
    assert [*turn("What is a hull?", hit), ("user", "What is it for?")] == heard(router)
    assert not again.json()["hit"]  # it would now be asked after two turns


def test_long_conversation_stays_within_the_context(router: Any) -> None:
    """However long a conversation gets, the newest turns are sent, whole and as many as fit, and nothing is refused."""
    questions = [f"What does sailor number {number} do? {'Aye, captain. ' * 40}" for number in range(10)]
    turns: list[tuple[str, str]] = []
    for question in questions:
        turns += turn(question, router.answer(question, conversation_id="crew", force_model=TINY))
    router.answer("And the cook?", conversation_id="crew", force_model=TINY)
    *sent, asked = heard(router)

    assert ("user", "And the cook?") == asked
    assert 2 <= len(sent) < len(turns)
    assert turns[-len(sent) :] == sent
    assert sum(message_tokens(text) for _, text in [*sent, asked]) <= context_tokens(TINY) - answer_limit_tokens(TINY)


def test_same_idempotency_key(router: Any) -> None:
    """Asking again under the same key is the same request, while it is on its way and after, and no second turn."""
    body = {"message": "Describe the history of the compass", "conversation_id": "compass"}

    def post(**fields: Any) -> httpx.Response:
        response: httpx.Response = router.http.post(
            "/api/v1/chat", json=body | fields, headers={"Idempotency-Key": "compass-1"}
        )
        return response

    router.box.next_behaviours.append(Behaviour(token_delay_s=0.1))
    first = post(wait_seconds=0)
    meanwhile = post(wait_seconds=0)
    answer = post().json()
    again = post().json()
    router.answer("And of the sextant?", conversation_id="compass")

    assert [202, 202] == [first.status_code, meanwhile.status_code]
    assert first.headers["location"] == meanwhile.headers["location"]
    assert answer == again
    assert [*turn(body["message"], answer), ("user", "And of the sextant?")] == heard(router)
