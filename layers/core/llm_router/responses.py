"""What the API answers: one struct per body, so that code and description cannot drift apart."""

from collections.abc import Mapping
from typing import Self

from msgspec import Struct
from msgspec.structs import replace

from llm_router.classification import Classification, Grader
from llm_router.classification.complexity import Complexity
from llm_router.classification.features import Features
from llm_router.costs import usd
from llm_router.feedback import Feedback
from llm_router.models import CacheBypass, CacheTier, FeedbackVerdict, Job, JobStatus
from llm_router.outlook import UNKNOWN, Outlook
from llm_router.routing import Route
from llm_router.semantic_cache import Verdict


class ErrorDetail(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What was wrong: a stable code, a sentence, and the offending field where there is one."""

    code: str
    message: str
    field: str | None = None
    request_id: str


class ErrorBody(Struct, frozen=True):
    """The one shape of every error."""

    error: ErrorDetail


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
    cache_bypass: CacheBypass | None
    """Why no stored answer was looked for."""
    cache_entry_id: str | None
    """The cache entry that answered, as `DELETE /api/v1/cache/{entry_id}` names it."""
    input_tokens: int
    output_tokens: int
    actual_cost: float
    baseline_cost: float
    latency_ms: int
    request_id: str
    status: JobStatus
    degraded: tuple[str, ...]
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


class GraderVerdict(Struct, frozen=True, kw_only=True):
    """What one grader makes of a prompt."""

    complexity: Complexity
    confidence: float
    reasons: tuple[str, ...]
    chances: Mapping[Complexity, float] | None
    """Calibrated probability of every tier; the rules have none."""
    strong_needed: float | None
    """Grows with how likely a weak model is to fail where a strong one does not; only the order has meaning."""

    @classmethod
    def of(cls, graded: Classification) -> Self:
        """Leave out what is the same for every grader."""
        return cls(
            complexity=graded.complexity,
            confidence=graded.confidence,
            reasons=graded.reasons,
            chances=graded.chances,
            strong_needed=graded.strong_needed,
        )


class GraderVerdicts(Struct, frozen=True, kw_only=True):
    """What the graders make of a prompt."""

    rules: GraderVerdict
    learned: GraderVerdict | None
    """None where it cannot grade."""


class ClassifyResponse(Struct, frozen=True, kw_only=True):
    """How a prompt is graded, and what follows from it."""

    complexity: Complexity
    confidence: float
    features: Features
    recommended_model: str
    reasons: tuple[str, ...]
    arm: str
    """Which share of the tier's callers a single question of this caller belongs to."""
    verdicts: GraderVerdicts

    @classmethod
    def of(cls, graded: Classification, route: Route, verdicts: Mapping[Grader, Classification]) -> Self:
        """Combine the grade that counts with what it leads to, and with what each grader says."""
        learned = verdicts.get(Grader.LEARNED)
        return cls(
            complexity=graded.complexity,
            confidence=graded.confidence,
            features=graded.features,
            recommended_model=route.model,
            reasons=graded.reasons,
            arm=route.arm,
            verdicts=GraderVerdicts(
                rules=GraderVerdict.of(verdicts[Grader.RULES]),
                learned=None if learned is None or learned.degraded else GraderVerdict.of(learned),
            ),
        )


class ClassifyManyResponse(Struct, frozen=True, kw_only=True):
    """How several prompts are graded, in their order."""

    results: tuple[ClassifyResponse, ...]


class LookupResponse(Struct, frozen=True, kw_only=True):
    """What the cache would answer, and why."""

    hit: bool
    cache_tier: CacheTier | None
    cache_similarity: float | None
    cache_bypass: CacheBypass | None
    """`time_dependent`: such a question is never answered from the cache."""
    cache_entry_id: str | None
    response: str | None
    model_used: str | None
    candidates: tuple[Verdict, ...]
    degraded: tuple[str, ...]


class CacheUse(Struct, frozen=True, kw_only=True):
    """What the cache did in the last UTC days, today included; a minute or so behind."""

    first_day: str
    last_day: str
    exact_hits: int
    semantic_hits: int
    joined_requests: int
    """Answered by the generation of an equal request that was already on its way: neither hits nor misses."""
    misses: int
    """Answered by a model."""
    refusals: dict[str, int]
    """Of requests the cache did not answer: why it did not serve the nearest stored answer."""
    wrong_reports: dict[str, int]
    """By what had answered: `exact`, `semantic`, `generated`."""
    right_reports: dict[str, int]
    estimated_savings: float
    """What the baseline model would have charged for the answers that came from the cache, in USD."""


class CacheStatusResponse(Struct, frozen=True, kw_only=True):
    """How the cache is set up for a tenant, what is in it, what it did, and whether its parts work."""

    similarity_threshold: float
    ttl_hours: float
    embedder_version: str
    generation: int
    """How often the tenant's cache has been cleared."""
    entries: int | None
    """Stored answers that have not expired; None when they cannot be counted right now."""
    entries_complete: bool
    """False when there are more than `entries`: counting stops after some 25,000."""
    oldest_entry_age_seconds: int | None
    use: CacheUse
    degraded: tuple[str, ...]
    """Parts that do not work right now: `cache`, `embedder`, `cache_index`."""


class ClearedResponse(Struct, frozen=True, kw_only=True):
    """The tenant's cache is empty to every later question."""

    generation: int
    """How often it has been cleared, this time included."""
    effect: str


class EvictedResponse(Struct, frozen=True, kw_only=True):
    """An entry is gone."""

    entry_id: str


class FeedbackResponse(Struct, frozen=True, kw_only=True):
    """What was said of an answer, and what came of it."""

    request_id: str
    verdict: FeedbackVerdict
    cache_tier: CacheTier | None
    entry_id: str | None
    """The cache entry that answered, or that the generated answer was stored as."""
    pair_refused: bool
    """Whether the two questions will not share an answer again."""
    similarity_floor: float | None
    """What the entry now asks for before it is served to another question."""
    evicted: bool
    """Whether the entry was removed."""

    @classmethod
    def of(cls, feedback: Feedback) -> Self:
        """Leave out what the caller said in words."""
        floor = feedback.similarity_floor
        return cls(
            request_id=feedback.request_id,
            verdict=feedback.verdict,
            cache_tier=feedback.tier,
            entry_id=feedback.entry_id,
            pair_refused=feedback.pair_refused,
            similarity_floor=None if floor is None else round(floor, 6),
            evicted=feedback.evicted,
        )


class Period(Struct, frozen=True):
    """UTC days a report covers, both included."""

    first_day: str
    last_day: str


class SummaryResponse(Struct, frozen=True, kw_only=True):
    """What the router did and what it was worth; money in USD, and exactly, in integer nano-dollars."""

    period: Period
    total_requests: int
    failed_requests: int
    fallback_requests: int
    """Answered by another model than the one they were meant for."""
    cache_hits: int
    cache_hit_rate: float
    """Percent of all requests."""
    input_tokens: int
    output_tokens: int
    actual_cost: float
    actual_nano_usd: int
    baseline_model: str
    baseline_cost: float | None
    """At each day's price; None, unknown, when no price is known for one of the days."""
    baseline_nano_usd: int | None
    total_savings: float | None
    """Negative when the box cost more than the baseline would have."""
    savings_percentage: float | None
    """None while there is nothing to compare with."""
    baselines: dict[str, float | None]
    """What the same tokens would have cost elsewhere, in USD; other models would count them a little differently."""
    avg_latency_ms: float
    requests_by_model: dict[str, int]
    requests_by_complexity: dict[str, int]
    requests_by_arm: dict[str, int]
    shadow_requests: int
    """Copies that another model answered for comparison, which count nowhere else but in the costs."""
    shadow_cost: float
    """Share of `actual_cost`, in USD."""


class CacheStatsResponse(Struct, frozen=True, kw_only=True):
    """How the cache did over a period."""

    period: Period
    answered_requests: int
    exact_hits: int
    semantic_hits: int
    joined_requests: int
    """Answered by the generation of an equal request that was already on its way."""
    generated_requests: int
    hit_rate: float
    """Percent of the requests that were answered."""


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
