"""POST /api/v1/chat and GET /api/v1/requests/{id}: accept a prompt, wait for its answer, or say where it will be."""

from typing import Any

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.utilities.typing import LambdaContext

from chat.invoke import invoke
from chat.wiring import ask, pipeline
from llm_router import api
from llm_router.errors import NotFoundError
from llm_router.models import ChatRequest, Source, is_request_id
from llm_router.responses import PendingResponse, describe
from llm_router.settings import environment, on_lambda

app = api.create_api()


@app.post("/api/v1/chat")
def chat() -> Response[str]:
    """Answer a prompt, or tell where the answer will be."""
    event = app.current_event.raw_event
    request = api.parse_body(event, ChatRequest)
    wait_seconds = 0.0 if "respond-async" in event["headers"].get("prefer", "").lower() else request.wait_seconds
    job = ask(request, tenant=api.tenant_of(event), source=Source.HTTP, wait_seconds=wait_seconds)
    if job.failure is not None:
        failure = job.failure
        status = api.failure_status(failure)
        return api.error_response(app, status, failure.code, failure.message, request_id=job.job_id)
    if job.status.finished:
        return api.respond(describe(job))
    headers = {"Location": f"/api/v1/requests/{job.job_id}", "Retry-After": str(api.RETRY_AFTER_SECONDS)}
    return api.respond(PendingResponse(request_id=job.job_id, status=job.status), 202, headers)


@app.get("/api/v1/requests/<job_id>")
def request(job_id: str) -> Response[str]:
    """Tell where a request stands."""
    if not is_request_id(job_id):
        raise NotFoundError("no such request")
    job = pipeline().jobs.get(job_id)
    if job.tenant != api.tenant_of(app.current_event.raw_event):
        raise NotFoundError("no such request")
    return api.respond(describe(job))


def lambda_handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Serve an HTTP API event, or a chat request handed over by a direct invoke."""
    if "routeKey" in event:
        return app.resolve(event, context)
    return invoke(event, remaining_ms=context.get_remaining_time_in_millis())


if on_lambda(environment()):
    pipeline()  # opens the embedding model while Lambda still gives the initialisation its full CPU
