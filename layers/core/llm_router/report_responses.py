"""Reports over a period, as the API shows them."""

from msgspec import Struct


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
