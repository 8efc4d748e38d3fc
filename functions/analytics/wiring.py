"""Wires the reports, and what a Prometheus server reads, to the tables and the queue."""

from functools import lru_cache

from analytics.metrics import Metrics
from analytics.reports import Reports
from llm_router import bootstrap
from llm_router.prices import price_book
from llm_router.settings import AnalyticsSettings, environment


@lru_cache
def reports() -> Reports:
    """Build the reports once per environment."""
    settings = AnalyticsSettings.from_env(environment())
    prices = price_book()
    prices.price(
        settings.baseline_model, bootstrap.today()
    )  # a baseline without a price is found here, not by the first reader
    return Reports(
        rollups=bootstrap.rollup_store(settings.rollup_table),
        baseline_model=settings.baseline_model,
        prices=prices,
        clock=bootstrap.now_ms,
    )


@lru_cache
def metrics() -> Metrics:
    """Build what a Prometheus server reads once per environment."""
    settings = AnalyticsSettings.from_env(environment())
    return Metrics(
        rollups=bootstrap.rollup_store(settings.rollup_table),
        baseline_model=settings.baseline_model,
        prices=price_book(),
        statuses=bootstrap.status_store(settings.status_table),
        refusals_ms={
            server: bootstrap.breaker(settings.status_table, server).retry_after_ms for server in ("ollama", "cloud")
        },
        queue=bootstrap.inference_queue(settings.inference_queue_url).depth,
        clock=bootstrap.now_ms,
    )
