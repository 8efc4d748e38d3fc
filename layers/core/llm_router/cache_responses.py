"""What the cache holds and does, and what was said of its answers, as the API shows it."""

from typing import Self

from msgspec import Struct

from llm_router.feedback import Feedback
from llm_router.models import CacheBypass, CacheTier, FeedbackVerdict
from llm_router.stored_answers import Verdict


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
