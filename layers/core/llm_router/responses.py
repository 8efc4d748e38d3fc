"""What the API answers to prompts, and its errors; one struct per body keeps code and description together."""

from msgspec import Struct
from msgspec.structs import replace

from llm_router.classification.complexity import Complexity
from llm_router.costs import usd
from llm_router.models import CacheBypass, CacheTier, Job, JobStatus
from llm_router.outlook import UNKNOWN, Outlook


class ErrorDetail(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What was wrong: a stable code, a sentence, and the offending field where there is one."""

    code: str
    message: str
    field: str | None = None
    request_id: str


class ErrorBody(Struct, frozen=True):
    """The one shape of every error."""

    error: ErrorDetail


class GatewayMessage(Struct, frozen=True):
    """What the gateway itself answers, before any function has seen the request."""

    message: str


class ChatResponse(Struct, frozen=True, kw_only=True):
    """A finished answer; costs in USD."""

    response: str
    model_used: str
    complexity: Complexity
    arm: str
    """Which share of the tier's callers this one belongs to; `forced` where the caller chose the model."""
    was_cached: bool
    cache_tier: CacheTier | None
    cache_similarity: float | None
    """Cosine of the two questions; 1 for an exact hit."""
    cache_bypass: CacheBypass | None
    """Why no stored answer was looked for."""
    cache_entry_id: str | None
    """The cache entry that answered, as `DELETE /api/v1/cache/{entry_id}` names it."""
    input_tokens: int
    output_tokens: int
    actual_cost: float
    """In USD; 0 for an answer from the cache."""
    baseline_cost: float
    latency_ms: int
    request_id: str
    status: JobStatus
    degraded: tuple[str, ...]
    """Parts that the answer had to do without."""
    truncated: bool
    """Whether the model was cut off at its length limit."""
    fallback: bool
    """Whether another model than the one the question was meant for answered."""
    tokens_estimated: bool
    """Whether the cloud did not tell the tokens, and they were estimated from the length of the texts."""


class PendingResponse(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A request that is still on its way, or ended without an answer."""

    request_id: str
    status: JobStatus
    arm: str
    """Which share of the tier's callers this one belongs to; `forced` where the caller chose the model."""
    waited_ms: int | None = None
    """From its arrival until a worker began it, or until now."""
    running_ms: int | None = None
    """Since a worker began it."""
    position: int | None = None
    """How many requests that nobody has begun came before it, up to 100; absent once it has begun."""
    estimated_ms: int | None = None
    """How much longer it is expected to take, with what runs and waits before it; 0 when it is late."""
    partial_response: str | None = None
    error: ErrorDetail | None = None


def pending(job: Job, now_ms: int, outlook: Outlook = UNKNOWN) -> PendingResponse:
    """Return what a caller may know of a job without an answer."""
    error = job.failure
    shown = PendingResponse(
        request_id=job.job_id,
        status=job.status,
        arm=job.arm,
        partial_response=job.partial_text or None,
        error=ErrorDetail(code=error.code, message=error.message, request_id=job.job_id) if error else None,
    )
    if job.status.finished:
        return shown
    begun_ms = job.started_at_ms
    return replace(
        shown,
        waited_ms=max(0, (now_ms if begun_ms is None else begun_ms) - job.created_at_ms),
        running_ms=None if begun_ms is None else max(0, now_ms - begun_ms),
        position=outlook.position,
        estimated_ms=outlook.estimated_ms,
    )


def describe(job: Job, now_ms: int, outlook: Outlook = UNKNOWN) -> ChatResponse | PendingResponse:
    """Return what a caller may know of a job."""
    answer = job.answer
    if answer is None:
        return pending(job, now_ms, outlook)
    return ChatResponse(
        response=answer.text,
        model_used=answer.model,
        complexity=job.complexity,
        arm=job.arm,
        was_cached=answer.tier is not None,
        cache_tier=answer.tier,
        cache_similarity=None if answer.similarity is None else round(answer.similarity, 6),
        cache_bypass=job.cache_bypass,
        cache_entry_id=answer.cache_entry_id,
        input_tokens=answer.input_tokens,
        output_tokens=answer.output_tokens,
        actual_cost=usd(answer.actual_nano_usd),
        baseline_cost=usd(answer.baseline_nano_usd),
        latency_ms=job.latency_ms,
        request_id=job.job_id,
        status=job.status,
        degraded=job.degraded,
        truncated=answer.done_reason == "length",
        fallback=answer.fallback is not None,
        tokens_estimated=answer.tokens_estimated,
    )
