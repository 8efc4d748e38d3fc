"""GET /api/v1/analytics/… and /metrics: what was asked, what it cost, and what the cache did."""

from typing import Any

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.utilities.typing import LambdaContext

from analytics import wiring
from analytics.queries import COSTS_PARAMETERS
from llm_router import api
from llm_router.settings import environment, on_lambda

app = api.create_api()


@app.get("/api/v1/analytics/summary")
def summary() -> Response[str]:
    """Sum up requests, tokens, money and latency."""
    return api.respond(wiring.reports().summary(wiring.asked(app.current_event.raw_event)))


@app.get("/api/v1/analytics/costs")
def costs() -> Response[str]:
    """Tell what requests cost, by model or by another of their properties."""
    return api.respond(wiring.reports().costs(wiring.asked(app.current_event.raw_event, COSTS_PARAMETERS)))


@app.get("/api/v1/analytics/daily")
def daily() -> Response[str]:
    """Tell what happened day by day."""
    return api.respond(wiring.reports().daily(wiring.asked(app.current_event.raw_event)))


@app.get("/api/v1/analytics/cache-stats")
def cache_stats() -> Response[str]:
    """Tell how many requests the cache answered."""
    return api.respond(wiring.reports().cache_stats(wiring.asked(app.current_event.raw_event)))


@app.get("/metrics", compress=True)
def exposition() -> Response[str]:
    """Show this month's counters and the present state to a Prometheus server."""
    event = app.current_event
    body, content_type = wiring.metrics().exposition(api.tenant_of(event.raw_event), event.headers.get("accept", ""))
    return Response(200, content_type, body)


def lambda_handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Serve an HTTP API event."""
    return app.resolve(event, context)


if on_lambda(environment()):
    wiring.reports()  # clients are made while Lambda gives the initialisation its full CPU
    wiring.metrics()
