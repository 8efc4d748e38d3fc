"""The report on what was saved: everything that somebody who pays for it would ask."""

from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Final

from analytics.breakdown import TOTAL, day_row
from analytics.figures import Baselines, Figures, cost_row, saved_percent
from analytics.queries import ReportQuery, days_of, period
from analytics.reading import Reading
from llm_router.costs import usd
from llm_router.report_responses import FullyLoaded
from llm_router.savings_responses import AnswerSources, BaselineSavings, PriceUsed, SavingsReport

ESTIMATES: Final = (
    "Baseline costs are estimates: list prices of the tokens that the answering model counted.",
    "Other models would count them a little differently; every request is taken to be sent there, and none cached.",
    "The cost is measured: busy seconds of the machine at its hourly price, and list prices of a cloud's tokens.",
    "Tokens that a cloud did not tell are estimated from the length of the texts.",
    "Idle hours of the machine, Lambda, DynamoDB, the gateway and the queue are in the fully loaded cost only.",
    "Percentiles of the latency are within 5 percent.",
)


def savings(
    query: ReportQuery, readings: Sequence[Reading], baselines: Baselines, loaded: FullyLoaded
) -> SavingsReport:
    """Compare what a period cost with every baseline, and say where the figures are from."""
    days = [Figures.of(reading.rows) for reading in readings]
    whole = Figures.of(chain.from_iterable(reading.rows for reading in readings))
    sums = whole.sums
    return SavingsReport(
        period=period(query),
        tenant=query.tenant,
        requests=sums["requests"],
        answers=_answers(whole),
        marginal_cost=usd(sums["actual_nano_usd"]),
        marginal_nano_usd=sums["actual_nano_usd"],
        shadow_cost=usd(sums["shadow_nano_usd"]),
        fully_loaded=loaded,
        estimated_token_requests=sums["estimated_token_requests"],
        baselines=tuple(_compared(model, whole, nano) for model, nano in baselines.costs_nano_usd(whole).items()),
        estimates=ESTIMATES,
        prices=tuple(_prices(baselines, {*whole.tokens, query.last_day.isoformat()})),
        days=tuple(day_row(day, each, baselines) for day, each in zip(days_of(query), days, strict=True)),
        total=day_row(TOTAL, whole, baselines),
    )


def _answers(figures: Figures) -> AnswerSources:
    sums = figures.sums
    return AnswerSources(
        exact_hits=sums["exact_hits"],
        semantic_hits=sums["semantic_hits"],
        joined=sums["joined_requests"],
        generated=sums["generated_requests"],
        without_answer=sums["requests"] - sums["succeeded_requests"],
        fallback=sums["fallback_requests"],
        shadow=sums["shadow_requests"],
    )


def _compared(model: str, figures: Figures, cost_nano_usd: int | None) -> BaselineSavings:
    row = cost_row(model, figures, cost_nano_usd)
    saved = row.net_savings_nano_usd
    return BaselineSavings(
        model=model,
        cost=row.baseline_cost,
        cost_nano_usd=row.baseline_nano_usd,
        net_savings=row.net_savings,
        net_savings_nano_usd=saved,
        savings_percentage=saved_percent(saved, cost_nano_usd),
        outcome="unknown" if saved is None else "saved" if saved > 0 else "cost more" if saved < 0 else "no difference",
    )


def _prices(baselines: Baselines, days: Iterable[str]) -> Iterable[PriceUsed]:
    """Return the prices of the baselines that were in force on some UTC days."""
    used = {price: None for model in baselines.models for day in sorted(days) if (price := baselines.price(model, day))}
    for price in used:
        source = baselines.sources[price.source]
        yield PriceUsed(
            model=price.model,
            effective_from=price.effective_from,
            input_usd_per_million_tokens=float(price.input_usd_per_million_tokens),
            output_usd_per_million_tokens=float(price.output_usd_per_million_tokens),
            source=source.url,
            retrieved=source.retrieved,
        )
