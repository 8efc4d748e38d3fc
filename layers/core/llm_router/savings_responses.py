"""The report on what was saved, as the API shows it; money in USD, and exactly, in integer nano-dollars."""

from typing import Literal

from msgspec import Struct

from llm_router.report_responses import DayRow, FullyLoaded, Report


class AnswerSources(Struct, frozen=True, kw_only=True):
    """How many requests were answered by what; the first four and those without an answer are all."""

    exact_hits: int
    """From the cache, to the same words."""
    semantic_hits: int
    """From the cache, to other words of the same meaning."""
    joined: int
    """By the generation of an equal request that was already on its way."""
    generated: int
    """By a model, for this request."""
    without_answer: int
    """Failed or cancelled."""
    fallback: int
    """Those of the answered that had another model than the one they were meant for."""
    shadow: int
    """Copies that another model answered for comparison: nobody's requests, but paid for."""


class BaselineSavings(Struct, frozen=True, kw_only=True):
    """What the same tokens would have cost elsewhere; None where a price is unknown."""

    model: str
    cost: float | None
    cost_nano_usd: int | None
    net_savings: float | None
    """Negative when the answers cost more."""
    net_savings_nano_usd: int | None
    savings_percentage: float | None
    outcome: Literal["saved", "cost more", "no difference", "unknown"]


class PriceUsed(Struct, frozen=True, kw_only=True):
    """A list price that the report calculated with, and where it was read."""

    model: str
    effective_from: str | None
    """First UTC day; None of a price of which no beginning is known."""
    input_usd_per_million_tokens: float
    output_usd_per_million_tokens: float
    source: str
    retrieved: str


class SavingsReport(Report, frozen=True, kw_only=True):
    """What the router cost over a period, beside what the same tokens would have cost elsewhere."""

    requests: int
    answers: AnswerSources
    marginal_cost: float
    """Seconds the box was busy at its hourly price, and what a cloud charged by the token."""
    marginal_nano_usd: int
    shadow_cost: float
    """Share of the shadows in it."""
    fully_loaded: FullyLoaded
    """Beside the configured baseline."""
    estimated_token_requests: int
    """Answered by a cloud that did not tell the tokens, which were estimated from the length of the texts."""
    baselines: tuple[BaselineSavings, ...]
    """The configured one first."""
    estimates: tuple[str, ...]
    """Which figures are estimates, and of what."""
    prices: tuple[PriceUsed, ...]
    days: tuple[DayRow, ...]
    total: DayRow
    """All days together."""
