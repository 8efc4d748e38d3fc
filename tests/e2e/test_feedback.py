"""Callers who say that an answer was wrong, and caches that are cleared."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx

from infra.local.ollama_exchange import Behaviour, Fault
from tests.builders import body_of, http_event

REWORDINGS = ("what is a {}", "what's a {}?", "what's a {}")


def report(router: Any, answer: dict[str, Any], verdict: str = "wrong", **fields: Any) -> httpx.Response:
    """Say what an answer was like."""
    body = {"request_id": answer["request_id"], "verdict": verdict, **fields}
    response: httpx.Response = router.http.post("/api/v1/feedback", json=body)
    return response


def lookup(router: Any, message: str) -> dict[str, Any]:
    """Ask what the cache would answer."""
    found: dict[str, Any] = router.http.post("/api/v1/cache/lookup", json={"message": message}).json()
    return found


def answer_and_store(router: Any, message: str) -> dict[str, Any]:
    """Ask a question, and wait until the cache has its answer, which the caller gets a moment before."""
    answer: dict[str, Any] = router.answer(message)
    router.twin.drain()
    return answer


def ask_in_other_words(router: Any, thing: str) -> list[dict[str, Any]]:
    """Have a question answered, then ask it in other words; return those answers, the least similar first."""
    answer_and_store(router, f"What is a {thing}?")
    answers = [router.answer(words.format(thing)) for words in REWORDINGS]
    assert ["semantic"] * len(REWORDINGS) == [answer["cache_tier"] for answer in answers], answers
    return sorted(answers, key=lambda answer: float(answer["cache_similarity"]))


def test_wrong_hit(router: Any) -> None:
    """A pair that was called wrong is never served again, nor is a question that is no nearer."""
    answer_and_store(router, "What is a binary tree?")
    hits = {words: router.answer(words) for words in (form.format("binary tree") for form in REWORDINGS)}
    far, *_, near = sorted(hits, key=lambda words: float(hits[words]["cache_similarity"]))
    learned = report(router, hits[near], comment="that was about something else").json()
    reasons = {words: lookup(router, words)["candidates"][0]["reason"] for words in (near, far)}
    again = router.answer(near)

    assert (True, False, hits[near]["cache_entry_id"]) == (
        learned["pair_refused"],
        learned["evicted"],
        learned["entry_id"],
    )
    assert hits[near]["cache_similarity"] < learned["similarity_floor"]
    assert dict.fromkeys((near, far), "below the floor of the entry") == reasons
    assert again["was_cached"] is False
    assert "exact" == router.answer("What is a binary tree?")["cache_tier"]


def test_same_report_twice(router: Any) -> None:
    """Saying the same again changes nothing; taking it back is refused, and so is a request without an answer."""
    answer_and_store(router, "What is a red-black tree?")
    hit = router.answer("what's a red-black tree")
    first, again, other = report(router, hit), report(router, hit), report(router, hit, "right")
    router.twin.drain()
    records = router.items("UsageTable")
    report(router, hit)
    router.box.next_behaviours.append(Behaviour(fault=Fault.CUT))
    failed = router.chat("What is a Fenwick tree?").json()["error"]

    assert (200, 200, 409) == (first.status_code, again.status_code, other.status_code)
    assert first.json() == again.json()
    assert ("conflict", "verdict") == (other.json()["error"]["code"], other.json()["error"]["field"])
    assert records + 1 == router.items("UsageTable")  # the failed request's
    assert "the request has no answer: it failed" == report(router, failed).json()["error"]["message"]


def test_same_report_from_many_sides(router: Any) -> None:
    """A report that arrives several times at once counts once and is answered alike."""
    answer_and_store(router, "What is an AVL tree?")
    hit = router.answer("what's an AVL tree")
    records = router.items("UsageTable")
    with ThreadPoolExecutor(6) as pool:
        responses = list(pool.map(lambda _: report(router, hit), range(6)))

    assert [200] * 6 == [response.status_code for response in responses]
    assert 1 == len({response.text for response in responses})
    assert records + 1 == router.items("UsageTable")


def test_three_complaints(router: Any) -> None:
    """The third request that an entry answered wrongly removes it; its own question is generated anew."""
    answers = ask_in_other_words(router, "splay tree")
    learned = [report(router, answer).json() for answer in answers]

    assert [False, False, True] == [each["evicted"] for each in learned]
    assert lookup(router, "What is a splay tree?")["hit"] is False
    assert answer_and_store(router, "What is a splay tree?")["was_cached"] is False
    assert "exact" == router.answer("What is a splay tree?")["cache_tier"]


def test_wrong_for_its_own_question(router: Any) -> None:
    """An answer that is wrong for its own question, fresh from a model or an exact hit, is removed at once."""
    fresh = router.answer("What is a treap?")
    learned = report(router, fresh).json()
    generated = answer_and_store(router, "What is a treap?")
    hit = router.answer("What is a treap?")
    removed = report(router, hit).json()

    assert (True, None) == (learned["evicted"], learned["cache_tier"])
    assert (False, "exact") == (generated["was_cached"], hit["cache_tier"])
    assert removed["evicted"] is True
    assert lookup(router, "What is a treap?")["hit"] is False


def test_right(router: Any) -> None:
    """Praise is taken note of and changes nothing in the cache."""
    answer = answer_and_store(router, "What is a quadtree?")
    learned = report(router, answer, "right").json()

    assert (False, False) == (learned["evicted"], learned["pair_refused"])
    assert "exact" == router.answer("What is a quadtree?")["cache_tier"]


def as_tenant(router: Any, tenant: str, event: dict[str, Any]) -> dict[str, Any]:
    """Send an event that the authorizer gave to a tenant."""
    event["requestContext"]["authorizer"] = {"lambda": {"tenant": tenant}}
    response: dict[str, Any] = router.twin.invoke("CacheLookupFunction", event).json()
    return response


def test_other_tenants(router: Any) -> None:
    """Another tenant's request and entry are unknown, like ones that never were, and clearing leaves them alone."""
    answer_and_store(router, "What is a B-tree?")
    hit = router.answer("What is a B-tree?")
    path = {"entry_id": hit["cache_entry_id"]}
    evict = http_event("cache-evict", rawPath=f"/api/v1/cache/{path['entry_id']}", pathParameters=path)
    said = {"request_id": hit["request_id"], "verdict": "wrong"}
    foreign = [as_tenant(router, "other", event) for event in (http_event("feedback", said), evict)]
    cleared = as_tenant(router, "other", http_event("cache-clear"))
    unknown = report(router, {"request_id": f"req_{'0' * 32}"})

    assert [404, 404, 200] == [response["statusCode"] for response in (*foreign, cleared)]
    assert 1 == body_of(cleared)["generation"]
    assert 404 == unknown.status_code
    assert lookup(router, "What is a B-tree?")["hit"] is True


def test_removed_entry(router: Any) -> None:
    """A removed entry answers nobody, whatever the words; removing it again finds nothing."""
    answer_and_store(router, "What is a suffix tree?")
    entry = lookup(router, "what's a suffix tree")["candidates"][0]["entry_id"]
    statuses = [router.http.delete(f"/api/v1/cache/{entry}").status_code for _ in range(2)]

    assert [200, 404] == statuses
    assert [False, False] == [
        lookup(router, words)["hit"] for words in ("What is a suffix tree?", "what's a suffix tree")
    ]
    assert [404, 404] == [router.http.delete(f"/api/v1/cache/{odd}").status_code for odd in ("x", "generation")]


def test_stats_and_clearing(router: Any) -> None:
    """The statistics show what the others here did; a cleared cache is empty, in numbers and to every question."""
    router.twin.drain()
    before = router.http.get("/api/v1/cache/stats").json()
    answer_and_store(router, "What is a heap?")
    cleared = router.http.delete("/api/v1/cache").json()
    found = lookup(router, "What is a heap?")
    after = router.http.get("/api/v1/cache/stats").json()

    assert 1 <= before["entries"]
    assert before["entries_complete"] is True
    assert 0 <= before["oldest_entry_age_seconds"] < 600
    assert 1 <= min(before["use"][name] for name in ("exact_hits", "semantic_hits", "misses"))
    assert 0 < before["use"]["estimated_savings"]
    assert {"exact", "semantic", "generated"} == before["use"]["wrong_reports"].keys()
    assert before["use"]["right_reports"]["generated"] == 1
    assert before["use"]["refusals"]["below_the_floor_of_the_entry"] >= 1
    assert before["generation"] + 1 == cleared["generation"] == after["generation"]
    assert (False, []) == (found["hit"], found["candidates"])
    assert (0, None) == (after["entries"], after["oldest_entry_age_seconds"])
