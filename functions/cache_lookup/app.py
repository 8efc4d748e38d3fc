"""/api/v1/cache and POST /api/v1/feedback: the semantic cache by itself, and what it learns from its callers."""

from typing import Any

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.utilities.typing import LambdaContext

from cache_lookup.wiring import inspector, look_up, take_feedback
from llm_router import api
from llm_router.query_parameters import only_known
from llm_router.request_bodies import FeedbackRequest
from llm_router.settings import environment, on_lambda

app = api.create_api()


def tenant() -> str:
    """Return whose cache the current request is about."""
    return api.tenant_of(app.current_event.raw_event)


@app.post("/api/v1/cache/lookup")
def lookup() -> Response[str]:
    """Tell what the cache would answer, without asking a model and without a trace in the bill."""
    return api.respond(look_up(app))


@app.get("/api/v1/cache/stats")
def stats() -> Response[str]:
    """Tell how the caller's cache is set up, what is in it, what it did, and whether its parts work."""
    return api.respond(inspector().stats(tenant()))


@app.delete("/api/v1/cache")
def clear() -> Response[str]:
    """Empty the caller's cache; for an administrator that of another tenant, or of all."""
    only_known(app.current_event.query_string_parameters, {"tenant"})
    return api.respond(inspector().clear(api.tenant_named(app.current_event.raw_event)))


@app.delete("/api/v1/cache/<entry_id>")
def evict(entry_id: str) -> Response[str]:
    """Remove one entry of the caller's."""
    return api.respond(inspector().evict(tenant(), entry_id))


@app.post("/api/v1/feedback")
def feedback() -> Response[str]:
    """Take what the caller says of an answer."""
    return api.respond(take_feedback(tenant(), api.parse_body(app.current_event.raw_event, FeedbackRequest)))


def lambda_handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Serve an HTTP API event."""
    return app.resolve(event, context)


if on_lambda(environment()):
    inspector()  # opens the embedding model while Lambda still gives the initialisation its full CPU
