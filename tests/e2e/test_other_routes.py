"""Everything beside chat: grading, looking into the cache, health, models and the description."""

import time
from typing import Any


def test_classify_grades_without_answering(router: Any) -> None:
    """A grade comes with its features, its reasons and the model it leads to, and asks no model."""
    calls = len(router.box.calls)
    message = "Explain the difference between REST and GraphQL APIs"

    graded = router.http.post("/api/v1/classify", json={"message": message}).json()

    assert graded["complexity"] == "medium"
    assert 0 < graded["confidence"] < 1
    assert graded["recommended_model"] == "ollama/tinyllama"
    assert graded["reasons"]
    assert graded["features"].keys() == {
        "word_count",
        "char_count",
        "has_code",
        "reasoning_indicators",
        "technical_term_count",
        "system_design_terms",
        "is_multi_step",
        "has_question_mark",
        "sentence_count",
        "total_score",
    }
    assert len(router.box.calls) == calls


def test_lookup_tells_what_the_cache_would_answer(router: Any) -> None:
    """A lookup shows the hit, its similarity and the candidates, and leaves no usage record."""
    answer = router.answer("What is the speed of light?")
    records = router.items("UsageTable")

    found = router.http.post("/api/v1/cache/lookup", json={"message": "what's the speed of light"}).json()

    assert found["hit"] is True
    assert found["cache_tier"] == "semantic"
    assert found["response"] == answer["response"]
    assert found["candidates"][0]["served"] is True
    assert found["candidates"][0]["similarity"] >= 0.85
    assert router.items("UsageTable") == records


def test_lookup_of_something_new_finds_nothing(router: Any) -> None:
    """A question nobody asked has no hit, and the nearest candidates say why they were refused."""
    found = router.http.post("/api/v1/cache/lookup", json={"message": "Which moons does Neptune have?"}).json()

    assert found["hit"] is False
    assert found["response"] is None
    assert {candidate["reason"] for candidate in found["candidates"]} <= {"below the similarity threshold"}


def test_cache_settings_are_shown(router: Any) -> None:
    """The cache tells its threshold, its time to live and the embedder's version."""
    stats = router.http.get("/api/v1/cache/stats").json()

    assert stats["similarity_threshold"] == 0.85
    assert stats["ttl_hours"] == 24
    assert stats["embedder_version"].startswith("minilm-l6-v2-")
    assert stats["degraded"] == []


def test_health_asks_every_part(router: Any) -> None:
    """With everything up, health is ok and names every part; Ollama's state comes with its age."""
    give_up = time.monotonic() + 20
    while (response := router.http.get("/health")).status_code != 200 and time.monotonic() < give_up:
        time.sleep(0.1)  # the probe looks for the first time while the functions start

    assert response.status_code == 200, response.text
    health = response.json()
    assert health["status"] == "ok"
    assert health["parts"].keys() == {
        "job_table",
        "usage_table",
        "inference_queue",
        "cache_table",
        "rollup_table",
        "embedder",
        "ollama",
    }
    assert health["parts"]["ollama"]["age_ms"] >= 0


def test_health_is_unavailable_when_the_box_was_down_at_the_last_look(router: Any) -> None:
    """A box that the probe cannot reach makes the router unavailable until the probe sees it again."""
    with router.box.refusing():
        router.twin.invoke("ProbeFunction", {})
        down = router.http.get("/health")
    router.twin.invoke("ProbeFunction", {})
    up = router.http.get("/health")

    assert down.status_code == 503
    assert down.json()["parts"]["ollama"]["status"] == "unavailable"
    assert up.status_code == 200


def test_models_shows_tiers_box_and_prices(router: Any) -> None:
    """Configured tiers, installed and resident models as last seen, and prices."""
    router.answer("What is a nebula?")
    router.twin.invoke("ProbeFunction", {})

    models = router.http.get("/api/v1/models").json()

    assert models["tiers"]["simple"]["model"] == "ollama/tinyllama"
    assert models["tiers"]["complex"]["model"] == "ollama/llama3.2"
    assert [model["name"] for model in models["installed"]]
    assert [model["name"] for model in models["resident"]]
    assert models["prices"]["baseline_model"] == "gpt-4"
    assert "gpt-4o-mini" in models["prices"]["list_prices"]


def test_description_and_docs_are_served(router: Any) -> None:
    """The description is OpenAPI 3.1, and the page that shows it loads nothing from elsewhere."""
    description = router.http.get("/openapi.json").json()
    page = router.http.get("/docs")

    assert description["openapi"].startswith("3.1")
    assert "/api/v1/chat" in description["paths"]
    assert page.headers["content-type"].startswith("text/html")
    assert "SwaggerUIBundle" in page.text
    assert 'src="' not in page.text.replace('src="data:', "")[:2000]
