"""The API's own description, OpenAPI 3.1, made from the very structs that parse requests and build responses."""

import html
import re
from collections.abc import Sequence
from functools import lru_cache
from importlib.resources import files
from typing import Any, Final

import msgspec

from status.field_meanings import field_meanings
from status.guarding import guarding_headers
from status.operation import Operation
from status.operations import OPERATIONS

API_VERSION: Final = "0.1.0"
_MEANING: Final = {
    200: "Done.",
    201: "Made.",
    202: "Accepted and not ready yet; `Location` says where to ask again, and `Retry-After` when.",
    400: "The body is not JSON in UTF-8.",
    401: "There is no `Authorization` header; the gateway says so.",
    403: "The key is wrong, expired or revoked, which the gateway says; or it may not do this.",
    404: "Unknown, expired, or somebody else's.",
    406: "The caller accepts none of the forms that there are.",
    409: "The state of the request forbids it.",
    413: "The body is too large.",
    415: "The body is declared as something other than JSON.",
    422: "A field breaks its rule; `field` names it.",
    502: "The model gave no usable answer.",
    503: "Not possible right now; trying again later can help.",
    504: "The model did not answer in time.",
}
_JSON: Final = "application/json"
_FIRST_ERROR: Final = 400
_KEY: Final = {"type": "http", "scheme": "bearer", "description": "An API key: `llmr_` and 43 characters."}
_REF: Final = "#/components/schemas/{name}"
_STRING: Final = {"schema": {"type": "string"}}
_TEXT: Final = {"text/event-stream": dict[str, Any]()}
"""Of a stream, OpenAPI 3.1 cannot say whether a schema is that of the whole or of an event."""


@lru_cache
def openapi() -> dict[str, Any]:
    """Return the whole document."""
    kinds = [operation.body for operation in OPERATIONS if operation.body is not None]
    kinds += [kind for operation in OPERATIONS for bodies in operation.answers.values() for kind in bodies]
    schemas, components = msgspec.json.schema_components(kinds, ref_template=_REF)
    for name, meanings in field_meanings(kinds).items():
        for field, meaning in meanings.items():
            components[name]["properties"].get(field, {}).setdefault("description", meaning)
    by_kind = dict(zip(map(str, kinds), schemas, strict=True))
    paths: dict[str, Any] = {}
    for operation in OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method] = _describe(operation, by_kind)
    document = {
        "openapi": "3.1.0",
        "info": {"title": "Serverless LLM router", "version": API_VERSION},
        "paths": paths,
        "components": {"schemas": components, "securitySchemes": {"key": _KEY}},
        "security": [{"key": []}],
    }
    plain: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(document))  # defaults of fields may be tuples
    return plain


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


@lru_cache
def docs_headers() -> dict[str, str]:
    """Return what goes with the page."""
    return guarding_headers(docs_page())


def _describe(operation: Operation, schemas: dict[str, Any]) -> dict[str, Any]:
    described: dict[str, Any] = {
        "summary": operation.summary,
        "operationId": "_".join(re.findall(r"\w+", f"{operation.method} {operation.path}")),
        "parameters": list(operation.parameters),
        "responses": {
            str(status): {"description": (_MEANING | operation.meanings)[status]}
            | _content(
                [schemas[str(kind)] for kind in kinds],
                *((_JSON,) if status >= _FIRST_ERROR else (operation.media_type, *operation.text_types)),
            )
            for status, kinds in sorted(operation.answers.items())
        },
    }
    if operation.is_admin:
        described["description"] = "For keys with the role admin."
    if operation.is_open:
        described["security"] = []
    if operation.body is not None:
        content = _content([schemas[str(operation.body)]], _JSON, *operation.body_text_types)
        content["content"][_JSON]["example"] = operation.example
        described["requestBody"] = {"required": True} | content
    return described


def _content(schemas: Sequence[dict[str, Any]], media_type: str = _JSON, *text_types: str) -> dict[str, Any]:
    if not schemas:
        return {}
    schema = schemas[0] if len(schemas) == 1 else {"oneOf": list(schemas)}
    return {"content": {media_type: {"schema": schema}} | {text: _TEXT.get(text, _STRING) for text in text_types}}
