"""POST, GET and DELETE of /api/v1/batches, and the queue of files that batches are read from."""

from typing import Any

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.utilities.typing import LambdaContext

from llm_router import api, bootstrap, idempotency
from llm_router.batching.batches import Batch
from llm_router.settings import environment, on_lambda
from submit_batch.results import PageRequest
from submit_batch.states import accepted, owned
from submit_batch.wiring import batches, described, limiter, read_files, results, submission

JSON_LINES = ("application/jsonl", "application/x-ndjson")
app = api.create_api()


def asked(batch_id: str) -> Batch:
    """Return the batch that the current request names."""
    return owned(batches(), batch_id, api.tenant_of(app.current_event.raw_event))


@app.post("/api/v1/batches")
def submit() -> Response[str]:
    """Take a batch in."""
    event = app.current_event.raw_event
    as_lines = api.media_type(event, (api.JSON, *JSON_LINES)) != api.JSON
    key, caller = idempotency.key_of(event["headers"]), api.caller_of(event)
    api.admit(app, limiter())
    batch, bad = submission().submit(api.body_bytes(event), as_lines=as_lines, caller=caller, key=key)
    return api.respond(accepted(described(batch), bad), 202, {"Location": f"/api/v1/batches/{batch.batch_id}"})


@app.get("/api/v1/batches/<batch_id>")
def look(batch_id: str) -> Response[str]:
    """Tell where a batch stands."""
    return api.respond(described(asked(batch_id)))


@app.get("/api/v1/batches/<batch_id>/results")
def look_at_results(batch_id: str) -> Response[bytes]:
    """Give a page of what became of a batch's lines."""
    page = results().page(asked(batch_id), PageRequest.of(app.current_event.query_string_parameters))
    return Response(200, "application/x-ndjson", page.body, headers=page.headers)


@app.delete("/api/v1/batches/<batch_id>")
def cancel(batch_id: str) -> Response[str]:
    """Have nothing more of a batch begun."""
    return api.respond(described(batches().cancel(asked(batch_id).batch_id, bootstrap.now_ms())), 202)


def lambda_handler(event: dict[str, Any], context: LambdaContext) -> Any:
    """Serve an HTTP API event, or the messages that have files read."""
    return app.resolve(event, context) if "routeKey" in event else read_files(event, context)


if on_lambda(environment()):
    submission()  # clients are made while Lambda gives the initialisation its full CPU
