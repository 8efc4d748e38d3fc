"""The shapes that cross the router's seams: requests, jobs, answers, usage records."""

from enum import StrEnum
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta, Struct

from llm_router.classification.complexity import Complexity

MAX_MESSAGE_CHARS: Final = 32_000
MAX_WAIT_SECONDS: Final = 25
DEFAULT_TENANT: Final = "default"

Message = Annotated[str, Meta(min_length=1, max_length=MAX_MESSAGE_CHARS, description="What the user wrote.")]


class ChatRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Body of `POST /api/v1/chat`."""

    message: Message
    conversation_id: Annotated[
        str, Meta(pattern=r"^[A-Za-z0-9_.:-]{1,128}$", description="Answers are cached per conversation.")
    ] | None = None
    force_model: Annotated[
        str, Meta(min_length=1, max_length=128, description="A configured model, instead of the graded one.")
    ] | None = None
    skip_cache: Annotated[bool, Meta(description="Do not answer from the cache; the answer is still stored.")] = False
    system_prompt: Annotated[str, Meta(min_length=1, max_length=MAX_MESSAGE_CHARS)] | None = None
    max_tokens: Annotated[int, Meta(ge=1, le=4096, description="Upper bound of the answer's length in tokens.")] | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    wait_seconds: Annotated[
        float, Meta(ge=0, le=MAX_WAIT_SECONDS, description="How long to wait before 202 answers instead.")
    ] = MAX_WAIT_SECONDS


class ClassifyRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Body of `POST /api/v1/classify`."""

    message: Message


class LookupRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Body of `POST /api/v1/cache/lookup`: the fields of a chat request that decide what may be shared."""

    message: Message
    conversation_id: Annotated[str, Meta(pattern=r"^[A-Za-z0-9_.:-]{1,128}$")] | None = None
    force_model: Annotated[str, Meta(min_length=1, max_length=128)] | None = None
    system_prompt: Annotated[str, Meta(min_length=1, max_length=MAX_MESSAGE_CHARS)] | None = None
    max_tokens: Annotated[int, Meta(ge=1, le=4096)] | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None


class CacheTier(StrEnum):
    """Which part of the cache answered."""

    EXACT = "exact"
    SEMANTIC = "semantic"


class JobState(StrEnum):
    """Where a request stands."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    ESCALATED = "escalated"

    @property
    def finished(self) -> bool:
        """Whether nothing will change any more."""
        return self in {JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED}


class Source(StrEnum):
    """How a request came in."""

    HTTP = "http"
    SQS = "sqs"
    INVOKE = "invoke"


class ModelCall(Struct, frozen=True, kw_only=True):
    """One question to a model on the box."""

    model: str
    """Name with its provider, e.g. `ollama/tinyllama`."""
    prompt: str
    system_prompt: str | None = None
    max_tokens: int
    temperature: float | None = None


class Generation(Struct, frozen=True, kw_only=True):
    """What a model said and what it took; durations as Ollama measures them."""

    text: str
    model: str
    """Name with its provider, as an answer shows it."""
    done_reason: str
    """`stop` when the model ended by itself; anything else is a cut answer."""
    input_tokens: int
    output_tokens: int
    load_ns: int = 0
    prompt_ns: int = 0
    generation_ns: int = 0

    @property
    def busy_ns(self) -> int:
        """Time the box worked on this answer: load + prompt + generation, without waiting in a queue."""
        return self.load_ns + self.prompt_ns + self.generation_ns


class Answer(Struct, frozen=True, kw_only=True):
    """A finished answer, from a model or from the cache."""

    text: str
    model: str
    input_tokens: int
    output_tokens: int
    done_reason: str = "stop"
    tier: CacheTier | None = None
    similarity: float | None = None
    actual_nano_usd: int = 0
    baseline_nano_usd: int = 0
    latency_ms: int = 0


class Failure(Struct, frozen=True, kw_only=True):
    """Why a request has no answer."""

    code: str
    message: str


class Job(Struct, frozen=True, kw_only=True):
    """A request on its way, as JobTable keeps it."""

    job_id: str
    tenant: str
    state: JobState
    source: Source
    created_at_ms: int
    complexity: Complexity
    model: str
    arm: str = "default"
    prompt: str
    system_prompt: str | None = None
    max_tokens: int
    temperature: float | None = None
    namespace: str
    """Partition of the cache the answer belongs to."""
    entry_id: str
    """Key of the cache entry within its namespace: the exact hash of the canonical prompt."""
    embedding: tuple[float, ...] | None = None
    """None when no embedder was at hand; the answer is then found by its exact words only."""
    flight: str | None = None
    """Fingerprint under which equal requests join this one."""
    degraded: tuple[str, ...] = ()
    partial_text: str = ""
    answer: Answer | None = None
    failure: Failure | None = None
    finished_at_ms: int | None = None


class UsageRecord(Struct, frozen=True, kw_only=True):
    """What one finished request used: no prompt and no answer in it. Append-only."""

    request_id: str
    tenant: str
    day: str
    """UTC day the request finished, `YYYY-MM-DD`."""
    finished_at_ms: int
    status: JobState
    source: Source
    complexity: Complexity
    model: str
    arm: str = "default"
    tier: CacheTier | None = None
    joined: bool = False
    """Whether the answer was generated for an equal request that came first."""
    input_tokens: int = 0
    output_tokens: int = 0
    busy_ms: int = 0
    latency_ms: int = 0
    actual_nano_usd: int = 0
    baseline_nano_usd: int = 0


def to_builtins(value: Any) -> Any:
    """Turn a struct into plain dicts, lists and scalars, enums by value."""
    return msgspec.to_builtins(value)
