"""Answers a chat request handed over by a direct invoke instead of the HTTP API."""

import json
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from chat.wiring import ask, outlook_of
from llm_router import bootstrap
from llm_router.access.callers import OPERATOR
from llm_router.errors import RouterError
from llm_router.models import Source
from llm_router.request_bodies import ChatRequest
from llm_router.responses import ErrorBody, ErrorDetail, describe
from llm_router.validation import parse_json

SPARE_SECONDS: Final = 2
"""Left of the function's time for writing the answer."""


def invoke(event: Mapping[str, Any], *, remaining_ms: int) -> dict[str, Any]:
    """Return what the HTTP API would have as its body; there is no gateway to end the wait after 30 s."""
    try:
        request = parse_json(json.dumps(event).encode(), ChatRequest)
        wait_seconds = remaining_ms / 1000 - SPARE_SECONDS
        job = ask(request, caller=OPERATOR, source=Source.INVOKE, wait_seconds=wait_seconds)
        body: dict[str, Any] = msgspec.to_builtins(describe(job, bootstrap.now_ms(), outlook_of(job)))
    except RouterError as error:
        detail = ErrorDetail(code=error.code, message=str(error), field=getattr(error, "field", None), request_id="")
        body = msgspec.to_builtins(ErrorBody(detail))
    return body
