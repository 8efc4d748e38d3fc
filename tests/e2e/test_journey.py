"""One person's way through the API, from the first question to the bill."""

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from infra.local.ollama_exchange import Behaviour

COMPLEX = (
    "Design a distributed cache system for a social media platform that handles 10 million requests per second"
    " with high availability"
)


def nano_usd(cost_usd: float) -> int:
    return round(cost_usd * 1_000_000_000)


def test_first_question_is_answered_by_the_model(router: Any) -> None:
    """A question nobody asked before goes to the simple tier's model and says so in every field."""
    calls = len(router.box.calls)

    answer = router.answer("What is Python?")

    assert len(router.box.calls) == calls + 1
    assert router.box.calls[-1].model == "tinyllama"
    assert answer["model_used"] == "ollama/tinyllama+stand-in"
    assert answer["complexity"] == "simple"
    assert answer["was_cached"] is False
    assert answer["cache_tier"] is None
    assert answer["cache_similarity"] is None
    assert answer["status"] == "succeeded"
    assert answer["degraded"] == []
    assert answer["input_tokens"] > 0
    assert answer["output_tokens"] > 0
    assert answer["actual_cost"] > 0
    assert answer["baseline_cost"] == pytest.approx(
        (answer["input_tokens"] * 30 + answer["output_tokens"] * 60) / 1_000_000
    )
    assert answer["request_id"].startswith("req_")
    assert answer["latency_ms"] > 0


def test_same_words_come_from_the_exact_tier(router: Any) -> None:
    """The same words, spaced differently, are answered from the exact tier without the model."""
    first = router.answer("Who wrote Romeo and Juliet?")
    calls = len(router.box.calls)

    again = router.answer("  Who wrote   Romeo and Juliet? ")

    assert len(router.box.calls) == calls
    assert again["cache_tier"] == "exact"
    assert again["was_cached"] is True
    assert again["cache_similarity"] == 1.0
    assert again["response"] == first["response"]
    assert again["actual_cost"] == 0
    assert again["request_id"] != first["request_id"]


def test_other_words_come_from_the_semantic_tier(router: Any) -> None:
    """A rewording is answered from the semantic tier with the first answer and a similarity of 0.85 or more."""
    first = router.answer("What is Python?")
    calls = len(router.box.calls)

    again = router.answer("what's Python")

    assert len(router.box.calls) == calls
    assert again["cache_tier"] == "semantic"
    assert 0.85 <= again["cache_similarity"] < 1
    assert again["response"] == first["response"]


def test_unrelated_question_is_no_hit(router: Any) -> None:
    """A question about something else is not answered from the cache."""
    router.answer("What is Python?")

    answer = router.answer("How tall is Mount Everest?")

    assert answer["cache_tier"] is None


def test_complex_prompt_goes_to_the_complex_model(router: Any) -> None:
    """A system-design question is graded complex and answered by the complex tier's model."""
    answer = router.answer(COMPLEX)

    assert answer["complexity"] == "complex"
    assert answer["model_used"] == "ollama/llama3.2+stand-in"
    assert router.box.calls[-1].model == "llama3.2"


def test_no_wait_gives_an_address_and_the_result_later(router: Any) -> None:
    """With wait_seconds 0 the answer is 202 with an address, where the same body as chat's appears later."""
    accepted = router.chat("Who painted the Mona Lisa?", wait_seconds=0)

    assert accepted.status_code == 202
    body = accepted.json()
    assert body["status"] in {"queued", "running"}
    assert accepted.headers["location"] == f"/api/v1/requests/{body['request_id']}"
    assert int(accepted.headers["retry-after"]) > 0
    router.twin.drain()
    finished = router.http.get(accepted.headers["location"])
    assert finished.status_code == 200
    assert finished.json()["status"] == "succeeded"
    assert finished.json()["request_id"] == body["request_id"]
    assert finished.json().keys() == router.answer("Who painted the Mona Lisa?").keys()


def test_prefer_respond_async_does_not_wait(router: Any) -> None:
    """`Prefer: respond-async` is answered 202 whatever wait_seconds says."""
    body = {"message": "Who composed The Magic Flute?", "wait_seconds": 25}

    response = router.http.post("/api/v1/chat", json=body, headers={"Prefer": "respond-async"})

    assert response.status_code == 202


def test_summary_counts_exactly_these_requests(router: Any) -> None:
    """Once the stream has been read, the summary has grown by exactly what the answers said they used."""
    before = router.summary()

    answers = [
        router.answer("What is the capital of France?"),
        router.answer("What is the capital of France?"),
        router.answer("Which city is the capital of France?"),
        router.answer("Design a fault-tolerant message queue for millions of users with sharding and replication"),
    ]

    after = router.summary()
    grown = {name: after[name] - before[name] for name in after if isinstance(after[name], int)}
    assert [answer["cache_tier"] for answer in answers] == [None, "exact", "semantic", None]
    assert grown["total_requests"] == 4
    assert grown["cache_hits"] == 2
    assert grown["failed_requests"] == 0
    assert grown["input_tokens"] == sum(answer["input_tokens"] for answer in answers)
    assert grown["output_tokens"] == sum(answer["output_tokens"] for answer in answers)
    assert grown["actual_nano_usd"] == sum(nano_usd(answer["actual_cost"]) for answer in answers)
    assert grown["baseline_nano_usd"] == sum(nano_usd(answer["baseline_cost"]) for answer in answers)
    assert after["requests_by_complexity"]["complex"] - before["requests_by_complexity"].get("complex", 0) == 1


def test_cache_stats_count_hits_by_tier(router: Any) -> None:
    """Exact hits, semantic hits and generated answers are counted apart."""
    router.twin.drain()
    before = router.http.get("/api/v1/analytics/cache-stats", params={"days": 2}).json()

    router.answer("What is the tallest animal?")
    router.answer("What is the tallest animal?")
    router.answer("what's the tallest animal")

    router.twin.drain()
    after = router.http.get("/api/v1/analytics/cache-stats", params={"days": 2}).json()
    expected = {"answered_requests": 3, "exact_hits": 1, "semantic_hits": 1, "generated_requests": 1}
    assert {name: after[name] - before[name] for name in expected} == expected


def test_equal_questions_at_once_are_generated_once(router: Any) -> None:
    """Eight equal questions at the same time cause one generation, eight answers and eight usage records."""
    before = router.summary()
    calls = len(router.box.calls)

    with ThreadPoolExecutor(8) as callers:
        answers = list(callers.map(lambda _: router.answer("Why do cats purr at night?"), range(8)))

    assert len(router.box.calls) == calls + 1
    assert len({answer["response"] for answer in answers}) == 1
    assert len({answer["request_id"] for answer in answers}) == 8
    after = router.summary()
    assert after["total_requests"] - before["total_requests"] == 8
    assert after["actual_nano_usd"] - before["actual_nano_usd"] == max(
        nano_usd(answer["actual_cost"]) for answer in answers
    )


def test_answers_are_not_shared_across_instructions(router: Any) -> None:
    """The same question under another system prompt, model, temperature, length or conversation is another one."""
    question = "What is a monad?"
    router.answer(question)

    for other in (
        {"system_prompt": "Answer in French."},
        {"force_model": "ollama/llama3.2"},
        {"temperature": 0.1},
        {"max_tokens": 7},
        {"conversation_id": "c-1"},
    ):
        assert router.answer(question, **other)["cache_tier"] is None, other


def test_skip_cache_asks_the_model_again(router: Any) -> None:
    """skip_cache generates anew, and the new answer is stored for the next caller."""
    router.answer("What is a comet?")
    calls = len(router.box.calls)

    fresh = router.answer("What is a comet?", skip_cache=True)

    assert fresh["cache_tier"] is None
    assert len(router.box.calls) == calls + 1


def test_cut_answer_says_so_and_is_not_cached(router: Any) -> None:
    """An answer that ran into max_tokens is marked truncated and generated again for the next caller."""
    cut = router.answer("Tell me about the river Nile", max_tokens=5)
    again = router.answer("Tell me about the river Nile", max_tokens=5)

    assert cut["truncated"] is True
    assert cut["output_tokens"] == 5
    assert again["cache_tier"] is None


def test_direct_invoke_is_answered_like_http(router: Any) -> None:
    """A direct invoke takes the chat request itself and returns the same fields as the HTTP API."""
    result = router.twin.invoke("ChatFunction", {"message": "What is a quasar?"})

    assert not result.is_error
    assert result.json()["status"] == "succeeded"
    assert result.json()["model_used"] == "ollama/tinyllama+stand-in"


def test_progress_shows_while_the_model_writes(router: Any) -> None:
    """A request that is being generated shows the text so far."""
    router.box.next_behaviours.append(Behaviour(token_delay_s=0.1))
    address = router.chat("Describe the ocean floor", wait_seconds=0).headers["location"]
    give_up = time.monotonic() + 20
    seen: dict[str, Any] = {}
    while "partial_response" not in seen and time.monotonic() < give_up:
        time.sleep(0.1)
        seen = router.http.get(address).json()

    assert seen["status"] == "running"
    assert seen["partial_response"]
    router.twin.drain()
    assert router.http.get(address).json()["response"].startswith(seen["partial_response"])
