import json
from pathlib import Path

import msgspec
import pytest

from llm_router.classification import Complexity, Grader, RuleClassifier
from llm_router.grading_responses import ClassifyResponse
from llm_router.jobs import failed, succeeded
from llm_router.models import CacheTier, Failure, JobStatus
from llm_router.outlook import Outlook
from llm_router.responses import ChatResponse, describe
from llm_router.routing import Route
from tests.builders import make_answer, make_job
from tests.fakes import NOW_MS


def test_answer() -> None:
    """A finished job shows its answer, where it came from, and what it cost in dollars."""
    job = succeeded(
        make_job(degraded=("cache_index",), arm="phi"), make_answer(baseline_nano_usd=1_500_000), NOW_MS + 40
    )

    assert {
        "response": "A language.",
        "model_used": "ollama/tinyllama",
        "complexity": "simple",
        "arm": "phi",
        "was_cached": False,
        "cache_tier": None,
        "cache_similarity": None,
        "cache_bypass": None,
        "cache_entry_id": None,
        "input_tokens": 10,
        "output_tokens": 20,
        "actual_cost": 0.000003,
        "baseline_cost": 0.0015,
        "latency_ms": 40,
        "request_id": "req_1",
        "status": "succeeded",
        "degraded": ("cache_index",),
        "truncated": False,
        "fallback": False,
        "tokens_estimated": False,
    } == msgspec.to_builtins(describe(job, NOW_MS))


def test_answer_of_a_fallback() -> None:
    """An answer of another model than the one the question was meant for says so, and so does one of guessed length."""
    answer = make_answer(model="cloud/gpt-4o-mini", fallback="cloud/gpt-4o-mini", tokens_estimated=True)
    described = msgspec.to_builtins(describe(succeeded(make_job(), answer, NOW_MS), NOW_MS))

    assert ("cloud/gpt-4o-mini", True, True) == tuple(
        described[name] for name in ("model_used", "fallback", "tokens_estimated")
    )


def test_cached_answer() -> None:
    """A stored answer shows its tier, its similarity to six decimals, and its entry."""
    answer = make_answer(tier=CacheTier.SEMANTIC, similarity=0.91234567, cache_entry_id="ns.other")
    described = msgspec.to_builtins(describe(succeeded(make_job(), answer, NOW_MS), NOW_MS))

    assert (True, "semantic", 0.912346, "ns.other") == tuple(
        described[name] for name in ("was_cached", "cache_tier", "cache_similarity", "cache_entry_id")
    )


@pytest.mark.parametrize(("done_reason", "truncated"), [("stop", False), ("length", True)])
def test_truncated(done_reason: str, truncated: bool) -> None:  # noqa: FBT001 - a test's parameter
    """An answer that ran into its length limit says so."""
    described = msgspec.to_builtins(
        describe(succeeded(make_job(), make_answer(done_reason=done_reason), NOW_MS), NOW_MS)
    )

    assert truncated is described["truncated"]


def test_queued() -> None:
    """A waiting request shows its state, its place and for how long it has waited; what is unknown is left out."""
    placed = msgspec.to_builtins(describe(make_job(), NOW_MS, Outlook(position=0, estimated_ms=0)))

    assert (0, 0) == (placed["position"], placed["estimated_ms"])
    assert {"request_id": "req_1", "status": "queued", "arm": "default", "waited_ms": 30} == msgspec.to_builtins(
        describe(make_job(), NOW_MS + 30)
    )


def test_running() -> None:
    """A running request shows its text so far, how long it waited and ran, and what is left of the estimate."""
    job = make_job(status=JobStatus.RUNNING, partial_text="A lang", started_at_ms=NOW_MS + 200)

    assert {
        "request_id": "req_1",
        "status": "running",
        "arm": "default",
        "waited_ms": 200,
        "running_ms": 1_000,
        "estimated_ms": 4_000,
        "partial_response": "A lang",
    } == msgspec.to_builtins(describe(job, NOW_MS + 1_200, Outlook(estimated_ms=4_000)))


def test_clocks_that_differ() -> None:
    """No time is negative, even where a worker's clock is ahead."""
    early = make_job(status=JobStatus.RUNNING, started_at_ms=NOW_MS - 10)
    shown = msgspec.to_builtins(describe(early, NOW_MS - 20))

    assert (0, 0) == (shown["waited_ms"], shown["running_ms"])


def test_failed() -> None:
    """A failed request shows why."""
    job = failed(make_job(), Failure(code="model_timeout", message="too late"), NOW_MS)

    assert {
        "request_id": "req_1",
        "status": "failed",
        "arm": "default",
        "error": {"code": "model_timeout", "message": "too late", "request_id": "req_1"},
    } == msgspec.to_builtins(describe(job, NOW_MS))


def test_clock_that_went_back() -> None:
    """A latency is never negative, even when two machines' clocks disagree."""
    assert 0 == succeeded(make_job(), make_answer(), NOW_MS - 5).latency_ms


def test_grade() -> None:
    """A grade is shown with its features and the model it leads to."""
    graded = RuleClassifier().classify("What is Python?")
    route = Route(model="ollama/tinyllama", arm="small")
    response = msgspec.to_builtins(ClassifyResponse.of(graded, route, {Grader.RULES: graded}))

    assert (Complexity.SIMPLE, "ollama/tinyllama", "small") == (
        response["complexity"],
        response["recommended_model"],
        response["arm"],
    )
    assert {
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
    } == set(response["features"])


def test_readme_shows_every_field_of_an_answer() -> None:
    """The sample answer in README has the fields of an answer, in their order."""
    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    sample = json.loads(readme.partition("```json\n")[2].partition("```")[0])

    assert ChatResponse.__struct_fields__ == tuple(sample)
