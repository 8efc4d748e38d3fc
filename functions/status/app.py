"""GET /health, /api/v1/models, /openapi.json, /docs and /dashboard: what the router is and how it is."""

from typing import Any

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.utilities.typing import LambdaContext

from llm_router import api
from llm_router.settings import environment, on_lambda
from status import openai_routes
from status.catalogue import ModelsResponse
from status.dashboard import page
from status.description import docs_headers, docs_page, openapi
from status.health import PartStatus
from status.wiring import parts

app = api.create_api()
app.include_router(openai_routes.router)


@app.get("/health")
def health() -> Response[str]:
    """Ask every part; 503 when a new question could not be answered."""
    report = parts().health.report()
    return api.respond(report, 503 if report.status is PartStatus.UNAVAILABLE else 200)


@app.get("/api/v1/models")
def models() -> Response[str]:
    """Show configured, installed and resident models, and prices."""
    built = parts()
    return api.respond(ModelsResponse.of(built.router, built.statuses.box(), built.prices(), built.shadow))


@app.get("/openapi.json")
def description() -> Response[str]:
    """Show the API's description."""
    return api.respond(openapi())


@app.get("/docs", compress=True)
def docs() -> Response[str]:
    """Show the API's description as a page."""
    return Response(200, "text/html; charset=utf-8", docs_page(), headers=docs_headers())


@app.get("/dashboard", compress=True)
def dashboard() -> Response[str]:
    """Show the figures as a page, once to who keeps it."""
    status, body, headers = page().answer(app.current_event.headers.get("if-none-match"))
    return Response(status, "text/html; charset=utf-8", body, headers=headers)


def lambda_handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Serve an HTTP API event."""
    return app.resolve(event, context)


if on_lambda(environment()):
    parts()
