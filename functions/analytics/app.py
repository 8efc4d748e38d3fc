"""GET /api/v1/analytics/… and /metrics: what was asked, what it cost, and what the cache did."""

from typing import Any

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.utilities.typing import LambdaContext

from analytics import wiring
from llm_router import api
from llm_router.access.keys import Role
from llm_router.settings import environment, on_lambda

app = api.create_api()


@app.get("/api/v1/analytics/summary")
@app.get("/api/v1/analytics/costs")
@app.get("/api/v1/analytics/daily")
@app.get("/api/v1/analytics/cache-stats")
def report() -> Response[str]:
    """Show the report that the path names."""
    return api.respond(wiring.report(app.current_event.raw_event))


@app.get("/api/v1/analytics/savings-report", compress=True)
def savings_report() -> Response[str]:
    """Show what was saved, in the form that the caller prefers."""
    document = wiring.savings_report(app.current_event.raw_event)
    return Response(200, document.content_type, document.body, headers=document.headers)


@app.get("/metrics", compress=True)
def exposition() -> Response[str]:
    """Show this month's counters and the present state to a Prometheus server."""
    event = app.current_event
    caller, accept = api.caller_of(event.raw_event), event.headers.get("accept", "")
    body, content_type = wiring.metrics().exposition(caller.tenant, accept, for_admin=caller.role is Role.ADMIN)
    return Response(200, content_type, body)


def lambda_handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Serve an HTTP API event."""
    return app.resolve(event, context)


if on_lambda(environment()):
    wiring.reports()  # clients are made while Lambda gives the initialisation its full CPU
    wiring.metrics()
