"""POST /api/v1/chat and GET /api/v1/requests/{id}: accept a prompt, wait for its answer, or say where it will be."""

import time
from functools import lru_cache
from typing import Any, Final

import msgspec
from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.utilities.typing import LambdaContext

from chat.waiting import Waiter
from llm_router import api, bootstrap
from llm_router.errors import NotFoundError
from llm_router.models import DEFAULT_TENANT, ChatRequest, Job, Source
from llm_router.observability import count
from llm_router.pipeline import Pipeline
from llm_router.responses import PendingResponse, describe
from llm_router.settings import ChatSettings, environment, on_lambda

SPARE_SECONDS: Final = 2
"""Left of the function's time for writing the answer of a direct invoke."""

app = api.create_api()


@lru_cache
def pipeline() -> Pipeline:
    """Build the pipeline once per environment."""
    return bootstrap.pipeline(ChatSettings.from_env(environment()))


def waiter() -> Waiter:
    """Return what waits for jobs."""
    return Waiter(pipeline().jobs, bootstrap.now_ms, time.sleep)


@app.post("/api/v1/chat")
def chat() -> Response[str]:
    """Answer a prompt, or tell where the answer will be."""
    event = app.current_event.raw_event
    request = api.parse_body(event, ChatRequest)
    wait_seconds = 0.0 if "respond-async" in event["headers"].get("prefer", "") else request.wait_seconds
    job = submit(request, api.tenant_of(event), Source.HTTP)
    job = waiter().wait(job, wait_seconds)
    if job.failure is not None:
        return api.error_response(app, api.failure_status(job.failure), job.failure.code, job.failure.message)
    if job.status.finished:
        return api.respond(describe(job))
    headers = {"Location": f"/api/v1/requests/{job.job_id}", "Retry-After": str(api.RETRY_AFTER_SECONDS)}
    return api.respond(PendingResponse(request_id=job.job_id, status=job.status), 202, headers)


@app.get("/api/v1/requests/<job_id>")
def request(job_id: str) -> Response[str]:
    """Tell where a request stands."""
    job = pipeline().jobs.get(job_id)
    if job.tenant != api.tenant_of(app.current_event.raw_event):
        raise NotFoundError("no such request")
    return api.respond(describe(job))


def submit(request: ChatRequest, tenant: str, source: Source) -> Job:
    """Hand a prompt to the pipeline and count what had to be done without."""
    job = pipeline().submit(request, tenant=tenant, source=source)
    for part in job.degraded:
        count("CacheDegraded", part=part)
    return job


def lambda_handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Serve an HTTP API event, or a chat request handed over by a direct invoke."""
    if "routeKey" in event:
        return app.resolve(event, context)
    # A direct invoke has no gateway to time out: it waits as long as its function may run.
    job = submit(msgspec.convert(event, ChatRequest), DEFAULT_TENANT, Source.INVOKE)
    job = waiter().wait(job, context.get_remaining_time_in_millis() / 1000 - SPARE_SECONDS)
    described: dict[str, Any] = msgspec.to_builtins(describe(job))
    return described


if on_lambda(environment()):
    pipeline()  # opens the embedding model while Lambda still gives the initialisation its full CPU
