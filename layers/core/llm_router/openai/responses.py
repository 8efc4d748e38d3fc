"""Requests as responses in OpenAI's sense, wherever they stand."""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from llm_router.errors import NotFoundError, PromptTooLongError
from llm_router.models import Answer, Job, JobStatus, is_request_id
from llm_router.openai.response_objects import (
    FailureCode,
    IncompleteDetails,
    InputTokensDetails,
    OutputMessage,
    OutputText,
    ResponseFailure,
    ResponseObject,
    ResponseStatus,
    ResponseText,
    ResponseUsage,
)
from llm_router.sampling import ResponseFormat

_PREFIX: Final = "resp_"
_STATUS: Final[Mapping[JobStatus, ResponseStatus]] = {
    JobStatus.QUEUED: "queued",
    JobStatus.RUNNING: "in_progress",
    JobStatus.ESCALATED: "in_progress",
    JobStatus.SUCCEEDED: "completed",
    JobStatus.FAILED: "failed",
    JobStatus.CANCELLED: "cancelled",
}


def response_of(job: Job) -> ResponseObject:
    """Return a request as it stands."""
    answer, failure = job.answer, job.failure
    is_cut = answer is not None and answer.done_reason == "length"
    is_failed = failure is not None and job.status is JobStatus.FAILED
    return ResponseObject(
        id=response_id(job),
        created_at=job.created_at_ms // 1000,
        completed_at=job.finished_at_ms // 1000 if answer and job.finished_at_ms and not is_cut else None,
        status="incomplete" if is_cut else _STATUS[job.status],
        error=_failure(failure.code, failure.message) if failure and is_failed else None,
        incomplete_details=IncompleteDetails() if is_cut else None,
        instructions=job.system_prompt,
        max_output_tokens=job.max_tokens,
        metadata=job.metadata,
        model=answer.model if answer else job.model,
        output=(_message(job, answer, is_cut=is_cut),) if answer else (),
        temperature=job.temperature,
        text=ResponseText(format=_format(job.sampling.response_format)),
        top_p=job.sampling.top_p,
        usage=_usage(answer) if answer else None,
    )


def response_id(job: Job) -> str:
    """Return the id that a job has as a response."""
    return _PREFIX + job.job_id.removeprefix("req_")


def request_id_of_response(shown: str) -> str:
    """Return the id of the request that a response's id stands for.

    Raises:
        NotFoundError: no response has such an id.
    """
    request_id = "req_" + shown.removeprefix(_PREFIX)
    if not shown.startswith(_PREFIX) or not is_request_id(request_id):
        raise NotFoundError("no such response")
    return request_id


def _message(job: Job, answer: Answer, *, is_cut: bool) -> OutputMessage:
    return OutputMessage(
        id=f"msg_{job.job_id.removeprefix('req_')}",
        status="incomplete" if is_cut else "completed",
        content=(OutputText(text=answer.text),),
    )


def _failure(code: str, message: str) -> ResponseFailure:
    kind: FailureCode = "invalid_prompt" if code == PromptTooLongError.code else "server_error"
    return ResponseFailure(code=kind, message=f"{message} ({code})")


def _format(wanted: ResponseFormat | None) -> dict[str, Any]:
    if wanted is None:
        return {"type": "text"}
    schema: dict[str, Any] = msgspec.to_builtins(wanted.json_schema) if wanted.json_schema else {}
    return {"type": wanted.type} | schema


def _usage(answer: Answer) -> ResponseUsage:
    return ResponseUsage(
        input_tokens=answer.input_tokens,
        input_tokens_details=InputTokensDetails(cached_tokens=answer.cached_input_tokens),
        output_tokens=answer.output_tokens,
        total_tokens=answer.input_tokens + answer.output_tokens,
    )
