"""Reports over a period, as the API shows them; money in USD, and exactly, in integer nano-dollars."""

from msgspec import Struct


class Period(Struct, frozen=True):
    """Days a report covers, both included."""

    first_day: str
    last_day: str
    time_zone: str = "UTC"
    """Where these days begin and end."""


class Report(Struct, frozen=True, kw_only=True):
    """What every report begins with."""

    period: Period
    tenant: str
    """Whose requests; `all` are everybody's."""


class FullyLoaded(Struct, frozen=True, kw_only=True):
    """What the period cost in all; None where a price is unknown."""

    description: str
    """Which figure is which, and what is in neither."""
    region: str
    """Whose list prices these are."""
    marginal_nano_usd: int
    """The same as `actual_nano_usd`."""
    box_idle_nano_usd: int
    """The hours in which the box was seen to run, or the tenant's share of them, less its busy time; never negative."""
    lambda_nano_usd: int | None
    """The functions that answer, the waiting of callers included."""
    dynamodb_nano_usd: int | None
    """Request units, and bytes of the vector index."""
    gateway_nano_usd: int | None
    queue_nano_usd: int | None
    total_nano_usd: int | None
    """All of these."""
    total_cost: float | None
    nano_usd_per_request: int | None
    """None while there are none, too."""
    net_savings: float | None
    """What the baseline would have cost, less `total_cost`."""
    net_savings_nano_usd: int | None
    observed_hours: float
    """Of the box; the hours in which nobody looked at it are unknown, and not in the cost."""
    billed_hours: float
    """Those of the observed hours in which the box ran, whether it answered or not."""


class SummaryResponse(Report, frozen=True, kw_only=True):
    """What the router did and what it was worth."""

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
    """Seconds the box was busy at its hourly price, and what a cloud charged by the token."""
    actual_nano_usd: int
    baseline_model: str
    baseline_cost: float | None
    """At each day's price; None, unknown, when no price is known for one of the days."""
    baseline_nano_usd: int | None
    baseline_tokens_estimated: bool = True
    """The tokens are as the answering model counted them; the baseline model would count a little differently."""
    total_savings: float | None
    """The same as `net_savings`, under its first name."""
    net_savings: float | None
    """Negative when the answers cost more than the baseline would have."""
    net_savings_nano_usd: int | None
    savings_percentage: float | None
    """Rounded down, so that less than all is never 100; None while there is nothing to compare with."""
    baselines: dict[str, float | None]
    """What the same tokens would have cost elsewhere, in USD; other models would count them a little differently."""
    avg_latency_ms: float
    latency_p50_ms: int | None
    """Within 5 percent, as are the others; None without requests."""
    latency_p95_ms: int | None
    latency_p99_ms: int | None
    requests_by_model: dict[str, int]
    requests_by_complexity: dict[str, int]
    requests_by_arm: dict[str, int]
    shadow_requests: int
    """Copies that another model answered for comparison, which count nowhere else but in the costs."""
    shadow_cost: float
    """Share of `actual_cost`, in USD."""
    fully_loaded: FullyLoaded


class CostRow(Struct, frozen=True, kw_only=True):
    """What the requests with something in common used and cost."""

    name: str
    requests: int
    cache_hits: int
    input_tokens: int
    output_tokens: int
    busy_seconds: float
    """How long the box worked for them."""
    actual_cost: float
    actual_nano_usd: int
    baseline_cost: float | None
    """None, unknown, when no price is known for one of the days."""
    baseline_nano_usd: int | None
    net_savings: float | None
    """Negative when they cost more than the baseline would have."""
    net_savings_nano_usd: int | None


class CostsResponse(Report, frozen=True, kw_only=True):
    """What requests cost, one row for each value of `by`."""

    by: str
    baseline_model: str
    baseline_tokens_estimated: bool = True
    """The tokens are as the answering model counted them; the baseline model would count a little differently."""
    rows: tuple[CostRow, ...]
    """The most expensive first."""
    totals: CostRow
    """As in the summary of the same period."""
    fully_loaded: FullyLoaded
    items_read: int
    """How many items of RollupTable this report was made of."""


class DayRow(Struct, frozen=True, kw_only=True):
    """What happened on one day."""

    day: str
    requests: int
    cache_hits: int
    cache_hit_rate: float
    """Percent of all requests."""
    generated_requests: int
    failed_requests: int
    input_tokens: int
    output_tokens: int
    actual_cost: float
    actual_nano_usd: int
    baselines: dict[str, float | None]
    """What the same tokens would have cost elsewhere, in USD; None where no price is known."""
    baselines_nano_usd: dict[str, int | None]
    latency_p50_ms: int | None
    """Within 5 percent, as are the others; None without requests."""
    latency_p95_ms: int | None
    latency_p99_ms: int | None


class DailyResponse(Report, frozen=True, kw_only=True):
    """One row for every day of a period, the oldest first."""

    baseline_model: str
    baseline_tokens_estimated: bool = True
    """The tokens are as the answering model counted them; the baseline models would count a little differently."""
    days: tuple[DayRow, ...]


class CacheStatsResponse(Report, frozen=True, kw_only=True):
    """How the cache did over a period."""

    answered_requests: int
    exact_hits: int
    semantic_hits: int
    joined_requests: int
    """Answered by the generation of an equal request that was already on its way."""
    generated_requests: int
    hit_rate: float
    """Percent of the requests that were answered."""
