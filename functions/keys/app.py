"""/api/v1/keys: API keys, for administrators; a direct invoke makes the first one."""

from typing import Any

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.utilities.typing import LambdaContext

from keys.invoke import invoke
from keys.wiring import note_change, page_of_keys, registry
from llm_router import api
from llm_router.access.key_bodies import NewKeyRequest, RotateRequest
from llm_router.settings import environment, on_lambda

app = api.create_api()


@app.post("/api/v1/keys")
def create() -> Response[str]:
    """Make a key, and show its secret this once."""
    admin = api.require_admin(app.current_event.raw_event)
    made = registry().create(api.parse_body(app.current_event.raw_event, NewKeyRequest))
    note_change("key created", made, admin)
    return api.respond(made, 201)


@app.get("/api/v1/keys")
def listed() -> Response[str]:
    """Show a page of the keys, without their secrets."""
    api.require_admin(app.current_event.raw_event)
    return api.respond(page_of_keys(app.current_event.query_string_parameters))


@app.post("/api/v1/keys/<key_id>/rotate")
def rotate(key_id: str) -> Response[str]:
    """Give a key another secret, and show it this once."""
    admin = api.require_admin(app.current_event.raw_event)
    wanted = api.parse_body(app.current_event.raw_event, RotateRequest)
    rotated = registry().rotate(key_id, wanted.grace_seconds)
    note_change("key rotated", rotated, admin)
    return api.respond(rotated)


@app.delete("/api/v1/keys/<key_id>")
def revoke(key_id: str) -> Response[str]:
    """Let a key work no more."""
    admin = api.require_admin(app.current_event.raw_event)
    revoked = registry().revoke(key_id)
    note_change("key revoked", revoked, admin)
    return api.respond(revoked)


def lambda_handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Serve an HTTP API event, or make a key for a direct invoke."""
    return app.resolve(event, context) if "routeKey" in event else invoke(event)


if on_lambda(environment()):
    registry()  # the client is made while Lambda gives the initialisation its full CPU
