"""HTTP API payload format 2.0: a request becomes an event, a function's answer becomes a response."""

import base64
import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Final
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import Response

from infra.local.resources import ACCOUNT_ID, Route
from infra.local.runtime_api import trace_id

# What HTTP APIs hand on as text; everything else arrives as base64, form data and a missing type included.
_TEXT_TYPES: Final = {"application/json", "application/javascript", "application/xml"}


class MalformedAnswerError(ValueError):
    """The function's answer is no payload 2.0 response."""


def build_event(
    request: Request,
    body: bytes,
    *,
    route: Route,
    path_parameters: Mapping[str, str],
    request_id: str,
    now: datetime,
) -> dict[str, Any]:
    """Shape a request as payload 2.0: the path decoded, the query string as it came, keys without a value absent."""
    headers = _headers(request, request_id, now)
    query_string = request.scope["query_string"].decode("latin-1")
    text, is_base64 = _encode_body(body, headers.get("content-type", ""))
    context = _request_context(request, headers, now) | {"requestId": request_id, "routeKey": route.key}
    optional = {
        "cookies": [part.strip() for value in request.headers.getlist("cookie") for part in value.split(";")],
        "queryStringParameters": _joined(parse_qsl(query_string, keep_blank_values=True)),
        "pathParameters": dict(path_parameters),
        "body": text,
    }
    return {
        "version": "2.0",
        "routeKey": route.key,
        "rawPath": request.scope["path"],
        "rawQueryString": query_string,
        "headers": headers,
        "requestContext": context,
        "isBase64Encoded": is_base64,
        **{name: value for name, value in optional.items() if value},
    }


def build_response(payload: bytes) -> Response:
    """Read a function's answer; without a `statusCode` the whole answer is the JSON body of a 200.

    Raises:
        MalformedAnswerError: A field has the wrong type.
    """
    answer = json.loads(payload)
    if not isinstance(answer, dict) or "statusCode" not in answer:
        return Response(payload, media_type="application/json")
    body = answer.get("body") or ""
    headers = answer.get("headers") or {}
    if not isinstance(body, str) or not isinstance(headers, dict):
        raise MalformedAnswerError("body is a string and headers are an object in payload format 2.0")
    try:
        status = int(answer["statusCode"])
        content = base64.b64decode(body, validate=True) if answer.get("isBase64Encoded") else body.encode()
    except (TypeError, ValueError) as error:
        raise MalformedAnswerError("statusCode is a number, and a base64 body is base64") from error
    response = Response(content, status)
    for name, value in headers.items():
        if name.lower() != "content-length":
            response.headers[name] = str(value)
    response.headers.setdefault("content-type", "text/plain;charset=UTF-8")
    for cookie in answer.get("cookies") or ():
        response.headers.append("set-cookie", str(cookie))
    return response


def _request_context(request: Request, headers: Mapping[str, str], now: datetime) -> dict[str, Any]:
    return {
        "accountId": ACCOUNT_ID,
        "apiId": "local",
        "domainName": headers.get("host", ""),
        "domainPrefix": "local",
        "http": {
            "method": request.method,
            "path": request.scope["path"],
            "protocol": f"HTTP/{request.scope['http_version']}",
            "sourceIp": headers["x-forwarded-for"],
            "userAgent": headers.get("user-agent", ""),
        },
        "stage": "$default",
        "time": now.strftime("%d/%b/%Y:%H:%M:%S +0000"),
        "timeEpoch": int(now.timestamp() * 1000),
    }


def _headers(request: Request, request_id: str, now: datetime) -> dict[str, str]:
    """Join repeated headers by commas; cookies travel in a field of their own."""
    headers = _joined((name, value) for name, value in request.headers.items() if name != "cookie")
    return headers | {
        "x-amzn-trace-id": trace_id(request_id, int(now.timestamp() * 1000)).split(";")[0],
        "x-forwarded-for": request.client.host if request.client else "127.0.0.1",
        "x-forwarded-port": str(request.scope["server"][1]),
        "x-forwarded-proto": "http",
    }


def _joined(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    joined: dict[str, str] = {}
    for name, value in pairs:
        joined[name] = f"{joined[name]},{value}" if name in joined else value
    return joined


def _encode_body(body: bytes, content_type: str) -> tuple[str, bool]:
    media_type = content_type.partition(";")[0].strip().lower()
    if not body:
        return "", False
    if media_type in _TEXT_TYPES or media_type.startswith("text/"):
        try:
            return body.decode(), False
        except UnicodeDecodeError:
            pass
    return base64.b64encode(body).decode(), True
