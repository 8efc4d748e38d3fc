import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from chat.facts import facts
from llm_router.classification import Complexity
from llm_router.errors import NotFoundError, UnknownModelError
from llm_router.jobs import cancelled, failed, succeeded
from llm_router.models import CacheBypass, CacheTier, Failure, Job, JobStatus, new_request_id
from llm_router.openai.completions import completion_of, event_stream
from llm_router.openai.errors import openai_error
from llm_router.openai.responses import request_id_of_response, response_id, response_of
from llm_router.routing import Router
from llm_router.sampling import JsonSchema, ResponseFormat, Sampling
from status.openai_models import found, listed
from tests.builders import TINY, make_answer, make_job
from tests.fakes import NOW_MS

JOB_ID = "req_0f8fad5bd9cb469fa16570867728950e"
COMPLETIONS = "/v1/chat/completions"


def answered(**fields: Any) -> Job:
    """Return a job with an answer."""
    return succeeded(make_job(JOB_ID), make_answer(**fields), NOW_MS + 5_000)


def events(job: Job, *, includes_usage: bool = False) -> list[Any]:
    """Return the chunks of an answered job's stream."""
    assert job.answer is not None
    lines = event_stream(job, job.answer, includes_usage=includes_usage).splitlines()
    *shown, end = lines[::2]
    assert {""} == set(lines[1::2])
    assert "data: [DONE]" == end
    return [json.loads(event.removeprefix("data: ")) for event in shown]


@pytest.mark.parametrize(
    ("done_reason", "finish_reason"),
    [("stop", "stop"), ("length", "length"), ("content_filter", "content_filter"), ("unload", "stop")],
)
def test_finish_reason(done_reason: str, finish_reason: str) -> None:
    """What ended the answer has OpenAI's word, whole and as a stream."""
    job = answered(done_reason=done_reason)
    assert job.answer is not None

    assert finish_reason == completion_of(job, job.answer).choices[0].finish_reason
    assert finish_reason == events(job)[-1]["choices"][0]["finish_reason"]


def test_cached_tokens() -> None:
    """What the cloud still knew of the prompt is shown as such."""
    job = answered(cached_input_tokens=4)
    assert job.answer is not None
    usage = completion_of(job, job.answer).usage

    assert (10, 20, 30, 4) == (
        usage.prompt_tokens,
        usage.completion_tokens,
        usage.total_tokens,
        usage.prompt_tokens_details.cached_tokens,
    )


def test_fingerprint() -> None:
    """The same model has the same fingerprint, another one another."""
    prints = []
    for model in (TINY, TINY, "ollama/llama3.2"):
        job = answered(model=model)
        assert job.answer is not None
        prints.append(completion_of(job, job.answer).system_fingerprint)

    assert prints[0] == prints[1] != prints[2]


@given(st.text(max_size=1_000))
@example('two\N{LINE SEPARATOR}lines\N{PARAGRAPH SEPARATOR}and\x85more\r\n\n"😀\\u2028')
@example("")
def test_stream_adds_up(text: str) -> None:
    """Whatever the text, no event is torn by it, by whatever ends a line, and the pieces are the whole."""
    shown = events(answered(text=text), includes_usage=True)

    assert text == "".join(each["choices"][0]["delta"].get("content", "") for each in shown[:-1])
    assert [] == shown[-1]["choices"]
    assert [None] * (len(shown) - 1) == [each["usage"] for each in shown[:-1]]


def test_stream_without_usage() -> None:
    """No event speaks of tokens that nobody asked for."""
    assert not any("usage" in each for each in events(answered()))


@pytest.mark.parametrize(
    ("job", "status"),
    [
        (make_job(), "queued"),
        (make_job(status=JobStatus.RUNNING), "in_progress"),
        (make_job(status=JobStatus.ESCALATED), "in_progress"),
        (answered(), "completed"),
        (answered(done_reason="length"), "incomplete"),
        (failed(make_job(), Failure(code="model_error", message="odd"), NOW_MS), "failed"),
        (cancelled(make_job(), Failure(code="cancelled", message="was"), NOW_MS), "cancelled"),
    ],
)
def test_status_of_a_response(job: Job, status: str) -> None:
    """Every state that a request can be in has OpenAI's word, and only a failure has an error."""
    shown = response_of(job)

    assert status == shown.status
    assert (status == "completed") is (shown.completed_at is not None)
    assert (status == "failed") is (shown.error is not None)
    assert (status in {"completed", "incomplete"}) is bool(shown.output) is (shown.usage is not None)
    assert (status == "incomplete") is (shown.incomplete_details is not None)


@pytest.mark.parametrize(("code", "shown"), [("prompt_too_long", "invalid_prompt"), ("worker_lost", "server_error")])
def test_failure_of_a_response(code: str, shown: str) -> None:
    """A failure has one of OpenAI's codes, and the router's own in its words."""
    error = response_of(failed(make_job(), Failure(code=code, message="it broke"), NOW_MS)).error

    assert error is not None
    assert (shown, f"it broke ({code})") == (error.code, error.message)


def test_format_of_a_response() -> None:
    """The form of the answer is shown as it was asked for."""
    form = ResponseFormat(type="json_schema", json_schema=JsonSchema(name="a", schema={"type": "object"}))
    shown = [
        response_of(make_job(sampling=Sampling(response_format=each))).text.format
        for each in (None, ResponseFormat(type="json_object"), form)
    ]

    assert [
        {"type": "text"},
        {"type": "json_object"},
        {"type": "json_schema", "name": "a", "schema": {"type": "object"}},
    ] == shown


def test_response_id() -> None:
    """An id of a response leads to its request, and no other text does."""
    job = make_job(new_request_id())

    assert job.job_id == request_id_of_response(response_id(job))
    for wrong in ("", job.job_id, "resp_", "resp_1", f"{response_id(job)}0", f"resp_{job.job_id}"):
        with pytest.raises(NotFoundError):
            request_id_of_response(wrong)


@pytest.mark.parametrize(
    ("status", "code", "field", "shown"),
    [
        (422, "invalid_request", "top_p", (400, "invalid_request_error", "invalid_value", "top_p")),
        (422, "unsupported_parameter", "n", (400, "invalid_request_error", "unsupported_parameter", "n")),
        (422, "unknown_model", "force_model", (404, "invalid_request_error", "model_not_found", "model")),
        (422, "prompt_too_long", None, (400, "invalid_request_error", "context_length_exceeded", "messages")),
        (422, "response_format_refused", None, (400, "invalid_request_error", "invalid_schema", None)),
        (400, "malformed_body", "body", (400, "invalid_request_error", "malformed_body", None)),
        (413, "request_too_large", "message", (413, "invalid_request_error", "request_too_large", "messages")),
        (429, "rate_limited", "requests_per_minute", (429, "requests", "rate_limit_exceeded", None)),
        (429, "rate_limited", "concurrent_requests", (429, "requests", "rate_limit_exceeded", None)),
        (
            429,
            "budget_exceeded",
            "monthly_budget_nano_usd",
            (429, "insufficient_quota", "insufficient_quota", None),
        ),
        (429, "rate_limited", "tokens_per_minute", (429, "tokens", "rate_limit_exceeded", None)),
        (500, "internal_error", None, (500, "server_error", "internal_error", None)),
        (503, "model_not_found", None, (503, "server_error", "model_missing", None)),
        (504, "model_timeout", None, (504, "server_error", "timeout", None)),
    ],
)
def test_error(status: int, code: str, field: str | None, shown: tuple[int, str, str, str | None]) -> None:
    """Errors have the status, kind, code and parameter that OpenAI's clients look at."""
    found_status, body = openai_error(COMPLETIONS, status, code, "is odd", field)

    assert shown == (found_status, body.error.type, body.error.code, body.error.param)


@pytest.mark.parametrize(("code", "field"), [("prompt_too_long", None), ("request_too_large", "message")])
def test_error_of_a_response_names_its_input(code: str, field: str | None) -> None:
    """What is `messages` in chat completions is `input` in responses."""
    assert "input" == openai_error("/v1/responses", 422, code, "is odd", field)[1].error.param


def test_error_names_its_parameter() -> None:
    """The sentence can be read without the parameter beside it."""
    told = [
        openai_error(COMPLETIONS, 422, "invalid_request", "must be odd", field)[1].error.message
        for field in ("seed", "body", None)
    ]

    assert ["`seed` must be odd", "The body must be odd", "must be odd"] == told


@pytest.mark.parametrize(
    ("job", "cache"),
    [
        (answered(), "miss"),
        (answered(tier=CacheTier.EXACT, similarity=1.0), "exact"),
        (answered(tier=CacheTier.SEMANTIC, similarity=0.91), "semantic"),
        (succeeded(make_job(cache_bypass=CacheBypass.TIME_DEPENDENT), make_answer(), NOW_MS), "bypass"),
    ],
)
def test_facts(job: Job, cache: str) -> None:
    """Headers say what the cache did; how near the question was, only where that was weighed."""
    headers = facts(job)

    assert (cache, TINY, "simple", "0.000003000") == tuple(
        headers[f"x-router-{name}"] for name in ("cache", "model", "complexity", "cost-usd")
    )
    assert ("0.910000" if cache == "semantic" else None) == headers.get("x-router-similarity")


def test_facts_of_a_request_without_answer() -> None:
    """Of a request on its way only what is known is told."""
    assert {"x-request-id": JOB_ID, "x-router-request-id": JOB_ID, "x-router-complexity": "simple"} == facts(
        make_job(JOB_ID)
    )


def test_models() -> None:
    """A model is listed once, however many tiers it has, and found by both of its names."""
    router = Router({Complexity.SIMPLE: TINY, Complexity.MEDIUM: TINY}, cloud="cloud/gpt-4o-mini")
    names = [(each.id, each.owned_by) for each in listed(router).data]

    assert [
        *((name, "router") for name in ("auto", "simple", "medium", "complex")),
        (TINY, "ollama"),
        ("cloud/gpt-4o-mini", "cloud"),
    ] == names
    assert found(router, TINY) == found(router, "tinyllama")
    assert found(router, "auto") in listed(router).data
    with pytest.raises(UnknownModelError):
        found(router, "gpt-4")


def test_models_of_a_key() -> None:
    """A key that may have some models only sees those, and no others by their names."""
    router = Router({Complexity.SIMPLE: TINY}, fallback="ollama/phi3").limited_to(("phi3",))

    assert ["ollama/phi3"] == [each.id for each in listed(router).data if each.owned_by != "router"]
    assert "ollama/phi3" == found(router, "phi3").id
    with pytest.raises(UnknownModelError):
        found(router, TINY)
