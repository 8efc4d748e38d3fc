"""Makes a key for whoever may invoke the function: the first one, which no other key can make."""

import json
from collections.abc import Mapping
from typing import Any

import msgspec

from keys.wiring import note_change, registry
from llm_router.access.callers import OPERATOR
from llm_router.access.key_bodies import CreateInvoke
from llm_router.errors import RouterError
from llm_router.responses import ErrorBody, ErrorDetail
from llm_router.validation import parse_json


def invoke(event: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the HTTP API would have as its body."""
    try:
        wanted = parse_json(json.dumps(event).encode(), CreateInvoke).create
        made = registry().create(wanted)
        note_change("key created", made, OPERATOR)
        body: dict[str, Any] = msgspec.to_builtins(made)
    except RouterError as error:
        detail = ErrorDetail(code=error.code, message=str(error), field=getattr(error, "field", None), request_id="")
        body = msgspec.to_builtins(ErrorBody(detail))
    return body
