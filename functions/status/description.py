"""The API's own description, OpenAPI 3.1, made from the very structs that parse requests and build responses."""

import html
from collections.abc import Sequence
from functools import lru_cache
from importlib.resources import files
from typing import Any, Final

import msgspec
from msgspec import Struct

from llm_router.models import CacheQuestion, ChatRequest, ClassifyRequest
from llm_router.responses import (
    CacheStatsResponse,
    CacheStatusResponse,
    ChatResponse,
    ClassifyResponse,
    ErrorBody,
    LookupResponse,
    PendingResponse,
    SummaryResponse,
)
from status.catalogue import ModelsResponse
from status.health import HealthResponse

API_VERSION: Final = "0.1.0"
_BODY_ERRORS: Final = (400, 413, 415, 422)
_REF: Final = "#/components/schemas/{name}"


class Operation(Struct, frozen=True, kw_only=True):
    """One route as a reader sees it."""

    method: str
    path: str
    summary: str
    body: type | None = None
    parameters: tuple[dict[str, Any], ...] = ()
    responses: dict[int, tuple[Any, ...]]
    """By status; several where the body depends on how far a request has come."""
    errors: tuple[int, ...] = ()


def _query_days() -> dict[str, Any]:
    schema = {"type": "integer", "minimum": 1, "maximum": 366, "default": 30}
    return {"name": "days", "in": "query", "description": "UTC days to look back, today included.", "schema": schema}


_JOB_ID: Final = {"name": "job_id", "in": "path", "required": True, "schema": {"type": "string"}}
_PREFER: Final = {
    "name": "Prefer",
    "in": "header",
    "description": "`respond-async` answers 202 at once.",
    "schema": {"type": "string"},
}

OPERATIONS: Final = (
    Operation(
        method="post",
        path="/api/v1/chat",
        summary="Answer a prompt from the cache or a model",
        body=ChatRequest,
        parameters=(_PREFER,),
        responses={200: (ChatResponse,), 202: (PendingResponse,)},
        errors=(*_BODY_ERRORS, 409, 502, 503, 504),
    ),
    Operation(
        method="get",
        path="/api/v1/requests/{job_id}",
        summary="Where a request stands, and its answer when it is done",
        parameters=(_JOB_ID,),
        responses={200: (ChatResponse, PendingResponse)},
        errors=(404, 503),
    ),
    Operation(
        method="post",
        path="/api/v1/classify",
        summary="Grade a prompt without answering it",
        body=ClassifyRequest,
        responses={200: (ClassifyResponse,)},
        errors=_BODY_ERRORS,
    ),
    Operation(
        method="post",
        path="/api/v1/cache/lookup",
        summary="What the cache would answer, and the candidates it weighs",
        body=CacheQuestion,
        responses={200: (LookupResponse,)},
        errors=_BODY_ERRORS,
    ),
    Operation(
        method="get",
        path="/api/v1/cache/stats",
        summary="How the cache is set up, and whether its parts work",
        responses={200: (CacheStatusResponse,)},
    ),
    Operation(
        method="get",
        path="/api/v1/analytics/summary",
        summary="Requests, tokens, money and latency of a period",
        parameters=(_query_days(),),
        responses={200: (SummaryResponse,)},
        errors=(422, 503),
    ),
    Operation(
        method="get",
        path="/api/v1/analytics/cache-stats",
        summary="How many requests of a period the cache answered",
        parameters=(_query_days(),),
        responses={200: (CacheStatsResponse,)},
        errors=(422, 503),
    ),
    Operation(
        method="get",
        path="/health",
        summary="Whether the router can answer, part by part",
        responses={200: (HealthResponse,), 503: (HealthResponse,)},
    ),
    Operation(
        method="get",
        path="/api/v1/models",
        summary="Configured, installed and resident models, and prices",
        responses={200: (ModelsResponse,)},
        errors=(503,),
    ),
    Operation(method="get", path="/openapi.json", summary="This description", responses={200: (dict[str, Any],)}),
    Operation(method="get", path="/docs", summary="This description, to read and try", responses={200: (str,)}),
)


@lru_cache
def openapi() -> dict[str, Any]:
    """Return the whole document."""
    kinds = [operation.body for operation in OPERATIONS if operation.body is not None]
    kinds += [kind for operation in OPERATIONS for bodies in operation.responses.values() for kind in bodies]
    schemas, components = msgspec.json.schema_components([*kinds, ErrorBody], ref_template=_REF)
    by_kind = dict(zip((str(kind) for kind in [*kinds, ErrorBody]), schemas, strict=True))
    paths: dict[str, Any] = {}
    for operation in OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method] = _describe(operation, by_kind)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Serverless LLM router", "version": API_VERSION},
        "paths": paths,
        "components": {"schemas": components},
    }


@lru_cache
def docs_page() -> str:
    """Return one page that shows the description with Swagger UI, from the copy that Powertools carries."""
    assets = files("aws_lambda_powertools") / "event_handler" / "openapi" / "swagger_ui"
    script = (assets / "swagger-ui-bundle.min.js").read_text()
    style = (assets / "swagger-ui.min.css").read_text()
    title = html.escape(openapi()["info"]["title"])
    # The document is embedded, so that the page needs no second request; "<" must not end the script element.
    document = msgspec.json.encode(openapi()).decode().replace("<", "\\u003c")
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{style}</style></head>'
        f'<body><div id="docs"></div><script>{script}</script>'
        f'<script>SwaggerUIBundle({{dom_id: "#docs", spec: {document}}});</script></body></html>'
    )


def _describe(operation: Operation, schemas: dict[str, Any]) -> dict[str, Any]:
    described: dict[str, Any] = {
        "summary": operation.summary,
        "operationId": f"{operation.method}_{operation.path.strip('/').replace('/', '_')}",
        "parameters": list(operation.parameters),
        "responses": {
            str(status): _content([schemas[str(kind)] for kind in kinds], operation.path)
            for status, kinds in operation.responses.items()
        }
        | {str(status): _content([schemas[str(ErrorBody)]]) for status in operation.errors},
    }
    if operation.body is not None:
        described["requestBody"] = {"required": True} | _content([schemas[str(operation.body)]])
        del described["requestBody"]["description"]
    return described


def _content(schemas: Sequence[dict[str, Any]], path: str = "") -> dict[str, Any]:
    media_type = "text/html" if path == "/docs" else "application/json"
    schema = schemas[0] if len(schemas) == 1 else {"oneOf": list(schemas)}
    return {"description": "", "content": {media_type: {"schema": schema}}}
