"""What a caller may say about the cache, request by request, and what the cache never takes in."""

from typing import Any


def lookup(router: Any, message: str, **fields: Any) -> dict[str, Any]:
    """Ask what the cache would answer."""
    response = router.http.post("/api/v1/cache/lookup", json={"message": message, **fields})
    assert response.status_code == 200, response.text
    body: dict[str, Any] = response.json()
    return body


def test_no_store_leaves_nothing(router: Any) -> None:
    """An answer whose caller forbids storing it is generated again for the next caller."""
    entries = router.items("CacheTable")
    router.answer("What is a sundial?", no_store=True)
    router.twin.drain()

    assert router.items("CacheTable") == entries
    assert router.answer("What is a sundial?")["was_cached"] is False


def test_no_store_may_be_answered_from_the_cache(router: Any) -> None:
    """Who forbids storing may still be served what others have stored."""
    router.answer("What is a barometer?")

    assert router.answer("What is a barometer?", no_store=True)["cache_tier"] == "exact"


def test_min_similarity_can_only_be_raised(router: Any) -> None:
    """A rewording is not near enough for who asks for more; asking for less than the threshold gains nothing."""
    question, reworded, unrelated = "What is a glockenspiel?", "what's a glockenspiel", "What is a lighthouse keeper?"
    router.answer(question)

    assert lookup(router, reworded)["cache_tier"] == "semantic"
    assert lookup(router, reworded, min_similarity=0.999)["hit"] is False
    assert lookup(router, question, min_similarity=1)["cache_tier"] == "exact"
    assert lookup(router, unrelated, min_similarity=0)["hit"] is False
    assert router.answer(reworded, min_similarity=0.999)["was_cached"] is False


def test_time_to_live_is_the_callers_within_the_routers(router: Any) -> None:
    """An answer is kept for as long as its caller says, and never longer than the router's own time to live."""
    for message, hours in (("What is a zither?", 0.5), ("What is an oboe?", 10_000)):
        router.answer(message, cache_ttl_hours=hours)
    router.twin.drain()

    items = router.twin.client("dynamodb").scan(TableName=router.twin.tables["CacheTable"])["Items"]
    kept = {
        item["prompt"]["S"]: int(item["expires_at"]["N"]) - int(item["created_at_ms"]["N"]) // 1000 for item in items
    }
    assert (kept["What is a zither?"], kept["What is an oboe?"]) == (1800, 24 * 3600)


def test_time_dependent_answers_are_never_reused(router: Any) -> None:
    """A question whose answer depends on the time is generated each time, leaves no entry, and the answer says why."""
    entries = router.items("CacheTable")
    answers = [router.answer("What time is it in Tokyo?") for _ in range(2)]
    router.twin.drain()

    assert [(answer["was_cached"], answer["cache_bypass"]) for answer in answers] == [(False, "time_dependent")] * 2
    assert lookup(router, "What time is it in Tokyo?")["cache_bypass"] == "time_dependent"
    assert router.items("CacheTable") == entries


def test_skipping_the_cache_says_so(router: Any) -> None:
    """A request that skips the cache says so, and its answer is there for the next one, which does not."""
    first = router.answer("What is a hygrometer?", skip_cache=True)
    again = router.answer("What is a hygrometer?")

    assert (first["cache_bypass"], again["cache_bypass"]) == ("skip_cache", None)
    assert again["cache_tier"] == "exact"
