"""The OpenAI-compatible routes as a reader sees them."""

from typing import Any, Final

from llm_router.openai.completion_objects import ChatCompletion
from llm_router.openai.errors import OpenAIErrorBody
from llm_router.openai.requests import ChatCompletionBody
from llm_router.openai.response_objects import ResponseObject
from llm_router.openai.response_requests import ResponseBody
from status.openai_models import OpenAIModel, OpenAIModels
from status.operation import IDEMPOTENCY_KEY, LIMITED, Operation

_ERRORS: Final = (400, 404, 409, 413, 415, 429, 502, 503, 504)
_MEANINGS: Final = {
    400: "The body is not JSON in UTF-8, or a parameter is unknown, breaks its rule or is not supported; `param` says.",
    404: "There is no such model.",
    409: "The idempotency key was used with another body, or another call cancelled the request.",
    429: LIMITED,
    504: "The answer takes longer than the gateway waits. The same request again joins the same generation.",
}


def _in_path(name: str, description: str, pattern: str) -> dict[str, Any]:
    schema = {"type": "string", "pattern": pattern}
    return {"name": name, "in": "path", "description": description, "required": True, "schema": schema}


_RESPONSE_ID: Final = _in_path("response_id", "The `id` of a response.", "^resp_[0-9a-f]{32}$")
_MODEL: Final = _in_path("model", "A name of a model, its slash as %2F.", "^[^/]+$")
_PROVIDER: Final = _in_path("provider", "The first half of a model's full name.", "^[^/]+$")

OPENAI_OPERATIONS: Final = (
    Operation(
        method="post",
        path="/v1/chat/completions",
        summary="OpenAI's chat completions: answer the last of a list of messages",
        body=ChatCompletionBody,
        example={"model": "auto", "messages": [{"role": "user", "content": "What is a binary tree?"}]},
        parameters=(IDEMPOTENCY_KEY,),
        responses={200: (ChatCompletion,)},
        text_types=("text/event-stream",),
        errors=_ERRORS,
        error_body=OpenAIErrorBody,
        meanings={200: "The answer; with `stream` as server-sent events, all at once.", **_MEANINGS},
    ),
    Operation(
        method="post",
        path="/v1/responses",
        summary="OpenAI's responses: answer an input, at once or in the background",
        body=ResponseBody,
        example={"model": "auto", "input": "What is a binary tree?", "background": True},
        parameters=(IDEMPOTENCY_KEY,),
        responses={200: (ResponseObject,)},
        errors=_ERRORS,
        error_body=OpenAIErrorBody,
        meanings={200: "The response; with `background` it may have no output yet.", **_MEANINGS},
    ),
    Operation(
        method="get",
        path="/v1/responses/{response_id}",
        summary="Where a response stands, and its output when it is done",
        parameters=(_RESPONSE_ID,),
        responses={200: (ResponseObject,)},
        errors=(400, 404, 503),
        error_body=OpenAIErrorBody,
        meanings={400: "`stream` is not supported."},
    ),
    Operation(
        method="post",
        path="/v1/responses/{response_id}/cancel",
        summary="Cancel a response",
        parameters=(_RESPONSE_ID,),
        responses={200: (ResponseObject,)},
        errors=(404, 503),
        error_body=OpenAIErrorBody,
        meanings={200: "The response; still `in_progress` until its worker has noticed."},
    ),
    Operation(
        method="get",
        path="/v1/models",
        summary="What `model` may be, in OpenAI's shape",
        responses={200: (OpenAIModels,)},
        errors=(503,),
        error_body=OpenAIErrorBody,
    ),
    Operation(
        method="get",
        path="/v1/models/{model}",
        summary="One of them",
        parameters=(_MODEL,),
        responses={200: (OpenAIModel,)},
        errors=(404, 503),
        error_body=OpenAIErrorBody,
        meanings={404: _MEANINGS[404]},
    ),
    Operation(
        method="get",
        path="/v1/models/{provider}/{model}",
        summary="One of them, by its full name",
        parameters=(_PROVIDER, _in_path("model", "The second half.", "^[^/]+$")),
        responses={200: (OpenAIModel,)},
        errors=(404, 503),
        error_body=OpenAIErrorBody,
        meanings={404: _MEANINGS[404]},
    ),
)
