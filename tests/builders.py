"""Valid shapes to start from; every builder takes the fields that matter to a test."""

import json
from collections.abc import Mapping
from contextlib import nullcontext
from datetime import UTC, datetime
from typing import Any

from analytics.queries import COSTS_PARAMETERS, ReportQuery, parse_query
from llm_router.access.keys import ApiKey, Role
from llm_router.accounting.usage import UsageRecord
from llm_router.cache_entries import CacheEntry
from llm_router.classification import Complexity
from llm_router.costs import Costs
from llm_router.feedback import Feedback
from llm_router.inference import InferenceRunner
from llm_router.metering import BoxMeter
from llm_router.models import Answer, CacheTier, FeedbackVerdict, Generation, Job, JobStatus, Source
from llm_router.prompt import canonicalise, entry_id
from llm_router.request_bodies import ChatRequest
from tests.fakes import NOW_MS, TODAY
from tests.loading import load_event

TINY = "ollama/tinyllama"
COSTS = Costs.of("0.36", "gpt-4", TODAY)
"""A box of 100 nano-dollars per millisecond, against 30,000 and 60,000 nano-dollars per token."""


class Context:
    """What a handler sees of its invocation; of Lambda's context only what is used here."""

    function_name = "test"
    memory_limit_in_mb = 128
    invoked_function_arn = "arn:aws:lambda:us-east-1:123456789012:function:test"
    aws_request_id = "52fdfc07-2182-454f-963f-5f0f9a621d72"

    def __init__(self, remaining_ms: int = 60_000) -> None:
        self._remaining_ms = remaining_ms

    def get_remaining_time_in_millis(self) -> int:
        """Return the time left."""
        return self._remaining_ms


def make_answer(text: str = "A language.", **fields: Any) -> Answer:
    """Return an answer of a model."""
    usual: dict[str, Any] = {
        "text": text,
        "model": TINY,
        "input_tokens": 10,
        "output_tokens": 20,
        "busy_ms": 30,
        "actual_nano_usd": 3000,
    }
    return Answer(**usual | fields)


def make_generation(text: str = "A language.", **fields: Any) -> Generation:
    """Return a generation that took 7 ms."""
    times: dict[str, Any] = {"load_ns": 1_000_000, "prompt_ns": 2_000_000, "generation_ns": 4_000_000}
    usual: dict[str, Any] = {
        "text": text,
        "model": TINY,
        "done_reason": "stop",
        "input_tokens": 10,
        "output_tokens": 20,
    }
    return Generation(**usual | times | fields)


def make_job(job_id: str = "req_1", prompt: str = "What is Python?", **fields: Any) -> Job:
    """Return a queued job with a flight."""
    usual: dict[str, Any] = {
        "job_id": job_id,
        "tenant": "default",
        "status": JobStatus.QUEUED,
        "source": Source.HTTP,
        "created_at_ms": NOW_MS,
        "complexity": Complexity.SIMPLE,
        "model": TINY,
        "prompt": prompt,
        "max_tokens": 512,
        "namespace": "ns",
        "entry_id": entry_id(canonicalise(prompt)),
        "flight": "fingerprint",
    }
    return Job(**usual | fields)


def make_usage(request_id: str = "req_1", **fields: Any) -> UsageRecord:
    """Return the usage record of a generated answer."""
    usual: dict[str, Any] = {
        "request_id": request_id,
        "tenant": "default",
        "day": "2023-11-14",
        "finished_at_ms": NOW_MS,
        "status": JobStatus.SUCCEEDED,
        "source": Source.HTTP,
        "complexity": Complexity.SIMPLE,
        "model": TINY,
        "input_tokens": 10,
        "output_tokens": 20,
        "busy_ms": 7,
        "latency_ms": 40,
        "actual_nano_usd": 700,
        "baseline_nano_usd": 1_500_000,
    }
    return UsageRecord(**usual | fields)


def make_query(days: int = 1, *, now_ms: int = NOW_MS, **fields: str) -> ReportQuery:
    """Return a report's query, by an admin of the default tenant, 22:13 UTC on 2023-11-14 unless another time is said.

    `first` and `last` are the parameters `from` and `to`.
    """
    parameters = {{"first": "from", "last": "to"}.get(name, name): value for name, value in fields.items()}
    period = {} if "from" in parameters else {"days": str(days)}
    tenant = parameters.pop("tenant", "default")
    return parse_query(parameters | period, tenant, Role.ADMIN, now_ms, COSTS_PARAMETERS)


def usage_at(moment: str, request_id: str = "req_1", **fields: Any) -> UsageRecord:
    """Return the usage record of an answer that was finished at a moment of UTC."""
    finished_at = datetime.fromisoformat(moment).replace(tzinfo=UTC)
    times = {"day": finished_at.date().isoformat(), "finished_at_ms": round(finished_at.timestamp() * 1000)}
    return make_usage(request_id, **times | fields)


def make_entry(prompt: str = "What is Python?", namespace: str = "ns", **fields: Any) -> CacheEntry:
    """Return a cache entry that lives for another hour."""
    usual: dict[str, Any] = {
        "tenant": "default",
        "namespace": namespace,
        "entry_id": entry_id(canonicalise(prompt)),
        "prompt": canonicalise(prompt),
        "answer": "A language.",
        "model": TINY,
        "input_tokens": 10,
        "output_tokens": 20,
        "created_at_ms": NOW_MS,
        "expires_at": NOW_MS // 1000 + 3600,
    }
    return CacheEntry(**usual | fields)


def make_feedback(request_id: str = "req_1", **fields: Any) -> Feedback:
    """Return a verdict on a semantic hit."""
    usual: dict[str, Any] = {
        "request_id": request_id,
        "tenant": "default",
        "verdict": FeedbackVerdict.WRONG,
        "tier": CacheTier.SEMANTIC,
        "entry_id": "ns.id",
        "recorded_at_ms": NOW_MS,
    }
    return Feedback(**usual | fields)


def make_key(key_id: str = "key_5f0c2ba91d3e", **fields: Any) -> ApiKey:
    """Return a user's key that does not expire."""
    usual: dict[str, Any] = {"key_id": key_id, "tenant": "default", "role": Role.USER, "created_at_ms": NOW_MS}
    return ApiKey(**usual | fields)


def make_request(message: str = "What is Python?", **fields: Any) -> ChatRequest:
    """Return a chat request."""
    return ChatRequest(message=message, **fields)


def make_runner(**parts: Any) -> InferenceRunner:
    """Return a runner over a test's stores, model and clock; its troubles are heard by nobody."""
    usual = {
        "costs": COSTS,
        "meter": BoxMeter(COSTS),
        "heartbeat": lambda _: nullcontext(),
        "new_worker": lambda: "worker",
        "cache_ttl_hours": 2,
        "on_store_error": lambda _: None,
        "on_cache_error": lambda _: None,
    }
    return InferenceRunner(**{**usual, **parts})


def http_event(name: str, body: object = None, **parts: Any) -> dict[str, Any]:
    """Return a sample HTTP event with another body, text or anything JSON can write, and other `parts`."""
    event = load_event(name) | parts
    if body is not None:
        event["body"] = body if isinstance(body, str) else json.dumps(body)
    return event


def body_of(response: Mapping[str, Any]) -> Any:
    """Return the JSON body of a handler's response."""
    return json.loads(response["body"])
