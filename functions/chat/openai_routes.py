"""POST /v1/chat/completions and /v1/responses, GET and cancel of a response: the same prompts in OpenAI's shapes."""

from typing import Any, Final

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.event_handler.api_gateway import Router

from chat.facts import facts
from chat.wiring import ask_over_http, outlook_of, requests
from llm_router import api, bootstrap
from llm_router.errors import ModelTimeoutError, UnsupportedParameterError
from llm_router.models import Job
from llm_router.openai.completions import completion_of, event_stream
from llm_router.openai.requests import parse_chat_completion
from llm_router.openai.response_requests import parse_response
from llm_router.openai.responses import request_id_of_response, response_of
from llm_router.request_bodies import MAX_WAIT_SECONDS
from llm_router.responses import pending

EVENT_STREAM: Final = "text/event-stream; charset=utf-8"
"""With the charset, which such a stream needs not, since some clients take any text without one for ISO 8859-1."""

router = Router()  # type: ignore[no-untyped-call]  # Powertools left it without annotations
_NOT_YET: Final = (
    "The answer takes longer than the gateway lets a caller wait. Ask again, and the same generation answers; "
    "for long answers use /v1/responses with background."
)


@router.post("/v1/chat/completions")
def complete() -> Response[str]:
    """Answer the last of a list of messages."""
    asked = parse_chat_completion(api.parse_body(router.current_event.raw_event, dict[str, Any]))
    job = ask_over_http(router, asked.request, MAX_WAIT_SECONDS)
    if job.answer is None:
        return _without_answer(job)
    if asked.is_streamed:
        events = event_stream(job, job.answer, includes_usage=asked.includes_usage)
        return Response(200, EVENT_STREAM, events, headers=dict(facts(job)))
    return api.respond(completion_of(job, job.answer), headers=facts(job))


@router.post("/v1/responses")
def respond() -> Response[str]:
    """Answer an input, or accept it in the background."""
    asked = parse_response(api.parse_body(router.current_event.raw_event, dict[str, Any]))
    job = ask_over_http(router, asked.request, 0.0 if asked.in_background else MAX_WAIT_SECONDS)
    return _shown(job) if job.answer or asked.in_background else _without_answer(job)


@router.get("/v1/responses/<response_id>")
def look(response_id: str) -> Response[str]:
    """Tell where a response stands."""
    if router.current_event.query_string_parameters.get("stream", "false") != "false":
        raise UnsupportedParameterError("is not supported", field="stream")
    return _shown(requests().look(request_id_of_response(response_id), _tenant()))


@router.post("/v1/responses/<response_id>/cancel")
def cancel(response_id: str) -> Response[str]:
    """End a response; it is still in progress until its worker has noticed."""
    return _shown(requests().cancel(request_id_of_response(response_id), _tenant()))


def _tenant() -> str:
    return api.tenant_of(router.current_event.raw_event)


def _shown(job: Job) -> Response[str]:
    return api.respond(response_of(job), headers=facts(job))


def _without_answer(job: Job) -> Response[str]:
    """Tell why a job has none, or that it has none yet."""
    if job.failure is not None:
        response = api.failure_response(router, job.failure, job.job_id)
    else:
        response = api.error_response(router, 504, ModelTimeoutError.code, _NOT_YET, request_id=job.job_id)
        body = pending(job, bootstrap.now_ms(), outlook_of(job))
        response.headers["Retry-After"] = str(api.ask_again_seconds(body))
    response.headers.update(facts(job))
    return response
