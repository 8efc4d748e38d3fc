"""POST /api/v1/chat, GET and DELETE /api/v1/requests/{id}: accept a prompt, wait for its answer, look, or cancel."""

from typing import Any

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.utilities.typing import LambdaContext

from chat import openai_routes
from chat.invoke import invoke
from chat.wiring import ask_over_http, outlook_of, pipeline, requests
from llm_router import api, bootstrap
from llm_router.request_bodies import ChatRequest
from llm_router.responses import describe, pending
from llm_router.settings import environment, on_lambda

app = api.create_api()
app.include_router(openai_routes.router)


@app.post("/api/v1/chat")
def chat() -> Response[str]:
    """Answer a prompt, or tell where the answer will be."""
    event = app.current_event.raw_event
    request = api.parse_body(event, ChatRequest)
    wait_seconds = 0.0 if "respond-async" in event["headers"].get("prefer", "").lower() else request.wait_seconds
    job = ask_over_http(app, request, wait_seconds)
    if job.failure is not None:
        return api.failure_response(app, job.failure, job.job_id)
    if job.status.finished:
        return api.respond(describe(job, bootstrap.now_ms()))
    body = pending(job, bootstrap.now_ms(), outlook_of(job))
    location = f"/api/v1/requests/{job.job_id}"
    return api.respond(body, 202, {"Location": location, "Retry-After": str(api.ask_again_seconds(body))})


@app.get("/api/v1/requests/<job_id>")
def look(job_id: str) -> Response[str]:
    """Tell where a request stands."""
    job = requests().look(job_id, api.tenant_of(app.current_event.raw_event))
    return api.respond(describe(job, bootstrap.now_ms(), outlook_of(job)))


@app.delete("/api/v1/requests/<job_id>")
def cancel(job_id: str) -> Response[str]:
    """End a request; 202 while its worker has still to notice."""
    job = requests().cancel(job_id, api.tenant_of(app.current_event.raw_event))
    return api.respond(describe(job, bootstrap.now_ms(), outlook_of(job)), 200 if job.status.finished else 202)


def lambda_handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Serve an HTTP API event, or a chat request handed over by a direct invoke."""
    if "routeKey" in event:
        return app.resolve(event, context)
    return invoke(event, remaining_ms=context.get_remaining_time_in_millis())


if on_lambda(environment()):
    pipeline()  # opens the embedding model while Lambda still gives the initialisation its full CPU
