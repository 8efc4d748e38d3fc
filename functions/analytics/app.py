"""GET /api/v1/analytics/{summary,cache-stats}: what was asked, what it cost, and what the cache did."""

from functools import lru_cache
from typing import Any

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.utilities.typing import LambdaContext

from analytics.reports import Reports, parse_days
from llm_router import api, bootstrap
from llm_router.prices import price_book
from llm_router.settings import AnalyticsSettings, environment, on_lambda

app = api.create_api()


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


def asked() -> tuple[str, int]:
    """Return the tenant and the number of days of the current request."""
    event = app.current_event
    return api.tenant_of(event.raw_event), parse_days(event.query_string_parameters.get("days"))


@app.get("/api/v1/analytics/summary")
def summary() -> Response[str]:
    """Sum up requests, tokens, money and latency."""
    return api.respond(reports().summary(*asked()))


@app.get("/api/v1/analytics/cache-stats")
def cache_stats() -> Response[str]:
    """Tell how many requests the cache answered."""
    return api.respond(reports().cache_stats(*asked()))


def lambda_handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Serve an HTTP API event."""
    return app.resolve(event, context)


if on_lambda(environment()):
    reports()  # clients are made while Lambda gives the initialisation its full CPU
