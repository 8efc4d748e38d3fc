"""The edge to HTTP: bodies in, one error shape out, and one table of status codes."""

import base64
import re
from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final, TypeVar

import msgspec
from aws_lambda_powertools.event_handler import APIGatewayHttpResolver, Response
from aws_lambda_powertools.event_handler.api_gateway import BaseRouter
from aws_lambda_powertools.event_handler.exceptions import NotFoundError as NoRouteError
from aws_lambda_powertools.utilities.typing import LambdaContext

from llm_router import errors, jobs
from llm_router.access.callers import Caller
from llm_router.access.keys import ALL_TENANTS, Role, is_tenant
from llm_router.access.rate_limiting import Admission, RateLimiter
from llm_router.errors import InvalidRequestError, RouterError
from llm_router.models import Failure
from llm_router.observability import logger
from llm_router.openai import errors as openai_errors
from llm_router.responses import ErrorBody, ErrorDetail, PendingResponse
from llm_router.validation import parse_json

JSON: Final = "application/json"
RETRY_AFTER_SECONDS: Final = 2
LONGEST_RETRY_AFTER_SECONDS: Final = 60

STATUS: Final[dict[type[RouterError], int]] = {
    errors.MalformedBodyError: 400,
    errors.UnauthorizedError: 401,
    errors.ForbiddenError: 403,
    errors.NotFoundError: 404,
    errors.NotAcceptableError: 406,
    errors.ConflictError: 409,
    errors.RequestTooLargeError: 413,
    errors.UnsupportedMediaTypeError: 415,
    errors.InvalidRequestError: 422,
    errors.UnsupportedParameterError: 422,
    errors.UnknownModelError: 422,
    errors.PromptTooLongError: 422,
    errors.ResponseFormatError: 422,
    errors.RateLimitedError: 429,
    errors.BudgetExceededError: 429,
    errors.ModelError: 502,
    errors.ModelNotFoundError: 503,
    errors.ModelUnavailableError: 503,
    errors.EmbeddingError: 503,
    errors.StoreError: 503,
    errors.ModelTimeoutError: 504,
}
"""What each error is in HTTP; a subclass without an entry has its base's, and 500 stands for everything else."""

_BY_CODE: Final = {kind.code: status for kind, status in STATUS.items()} | {jobs.CANCELLED: 409, jobs.SET_ASIDE: 503}
# Runs of blanks are taken whole: given back blank by blank they cost the square of their number.
_MEDIA_TYPE = re.compile(r"\s*(?P<type>[\w./+-]+)\s*+(?:;\s*+charset\s*+=\s*+\"?utf-?8\"?\s*+)?;?\s*+", re.IGNORECASE)

_SOON_MS: Final = 60_000
_LIMIT_HEADERS: Final = "limit_headers"
"""Where a request keeps them until there is a response."""

_ALWAYS: Final = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
"""On every response that does not say otherwise: answers are one caller's, and what they say is no page."""

T = TypeVar("T")


class Api(APIGatewayHttpResolver):
    """A resolver whose every response, errors too, is kept by nobody on the way and is what it says it is."""

    def resolve(self, event: Mapping[str, Any], context: LambdaContext) -> dict[str, Any]:
        """Serve an event of the HTTP API."""
        answer: dict[str, Any] = super().resolve(event, context)
        return {**answer, "headers": _ALWAYS | answer["headers"]}


def create_api() -> Api:
    """Return a resolver whose every error has the router's shape."""
    app = Api()

    def on_router_error(error: RouterError) -> Response[str]:
        status = next((STATUS[kind] for kind in type(error).__mro__ if kind in STATUS), 500)
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            logger().warning("request failed", extra={"code": error.code}, exc_info=error)
        if status == HTTPStatus.INTERNAL_SERVER_ERROR:
            return error_response(app, 500, "internal_error", "the router failed")
        response = error_response(app, status, error.code, str(error), field=getattr(error, "field", None))
        response.headers.update(app.context.get(_LIMIT_HEADERS, {}))
        if retry_after_ms := getattr(error, "retry_after_ms", None):
            response.headers["Retry-After"] = str(-(-retry_after_ms // 1000))
        if status == HTTPStatus.TOO_MANY_REQUESTS and not 0 < (retry_after_ms or 0) <= _SOON_MS:
            response.headers["x-should-retry"] = "false"  # OpenAI's clients would ask again within seconds
        return response

    def on_no_route(_: NoRouteError) -> Response[str]:
        return error_response(app, 404, "not_found", "no such path, or not with this method")

    def on_unexpected(error: Exception) -> Response[str]:
        # The stack trace goes to the log, without locals; nothing internal goes to the caller.
        logger().error("unexpected error", extra={"kind": type(error).__name__}, exc_info=error)
        return error_response(app, 500, "internal_error", "the router failed")

    app.use([_show_limits])
    app.exception_handler(RouterError)(on_router_error)
    app.exception_handler(NoRouteError)(on_no_route)
    app.exception_handler(Exception)(on_unexpected)
    return app


def respond(body: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response[str]:
    """Return a JSON response of a struct or plain values."""
    return Response(status, "application/json", msgspec.json.encode(body).decode(), headers=dict(headers or {}))


def error_response(
    app: BaseRouter,
    status: int,
    code: str,
    message: str,
    *,
    field: str | None = None,
    request_id: str | None = None,
) -> Response[str]:
    """Return an error in the shape of its path, with Retry-After where trying again can help.

    `request_id` is the router's own where there is one, otherwise the gateway's.
    """
    event = app.current_event.raw_event
    shown_id = request_id or request_id_of(event)
    detail = ErrorDetail(code=code, message=message, field=field, request_id=shown_id)
    headers = {"Retry-After": str(RETRY_AFTER_SECONDS)} if status == HTTPStatus.SERVICE_UNAVAILABLE else {}
    path: str = event["rawPath"]
    if not path.startswith(openai_errors.PREFIX):
        return respond(ErrorBody(detail), status, headers)
    status, body = openai_errors.openai_error(path, status, code, message, field)
    if status == HTTPStatus.CONFLICT:
        headers["x-should-retry"] = "false"  # OpenAI's clients would ask again
    return respond(body, status, headers | {"x-request-id": shown_id})


def ask_again_seconds(body: PendingResponse) -> int:
    """Return when to ask again for an answer that is on its way: when it is expected, within a minute, if known."""
    if body.estimated_ms is None:
        return RETRY_AFTER_SECONDS
    return max(1, min(LONGEST_RETRY_AFTER_SECONDS, -(-body.estimated_ms // 1000)))


def failure_response(app: BaseRouter, failure: Failure, request_id: str) -> Response[str]:
    """Return why a request has no answer as an error."""
    status = _BY_CODE.get(failure.code, 502)
    return error_response(app, status, failure.code, failure.message, request_id=request_id)


def admit(app: BaseRouter, limiter: RateLimiter, tokens: int = 0) -> Admission:
    """Take a request, and the tokens it may need, of its caller's minute, and have the response tell what is left.

    Raises:
        RateLimitedError: there is not enough left.
        UnauthorizedError: no authorizer has seen the request.
    """
    admission = limiter.admit(caller_of(app.current_event.raw_event), tokens)
    app.context[_LIMIT_HEADERS] = admission.headers(limiter.clock())
    if admission.refusal is not None:
        raise admission.refusal
    return admission


def _show_limits(
    app: APIGatewayHttpResolver, answer: Callable[[APIGatewayHttpResolver], Response[str]]
) -> Response[str]:
    response = answer(app)
    response.headers.update(app.context.get(_LIMIT_HEADERS, {}))
    return response


def caller_of(event: Mapping[str, Any]) -> Caller:
    """Return who asks, as the gateway's authorizer found out; nothing else in a request can say so.

    Raises:
        UnauthorizedError: no authorizer has seen the request.
        ForbiddenError: its token names no tenant, or a role that there is not.
    """
    authorizer = event["requestContext"].get("authorizer", {})
    if authorizer.get("lambda"):
        return Caller.from_context(authorizer["lambda"])
    if "jwt" in authorizer:
        return Caller.from_claims(authorizer["jwt"]["claims"])
    raise errors.UnauthorizedError("no authorizer has seen this request")


def tenant_of(event: Mapping[str, Any]) -> str:
    """Return whose data the request is about; raises what `caller_of` raises."""
    return caller_of(event).tenant


def role_of(event: Mapping[str, Any]) -> Role:
    """Return what the caller may do; raises what `caller_of` raises."""
    return caller_of(event).role


def require_admin(event: Mapping[str, Any]) -> Caller:
    """Return who asks.

    Raises:
        ForbiddenError: it is no administrator.
        UnauthorizedError: no authorizer has seen the request.
    """
    caller = caller_of(event)
    if caller.role is not Role.ADMIN:
        raise errors.ForbiddenError("this needs a key with the role admin")
    return caller


def tenant_named(event: Mapping[str, Any]) -> str:
    """Return the tenant that the query names, `all` for all of them; the caller's own where it names none.

    Raises:
        ForbiddenError: a caller who is no administrator names one.
        InvalidRequestError: no tenant can be called so.
        UnauthorizedError: no authorizer has seen the request.
    """
    named: str | None = (event.get("queryStringParameters") or {}).get("tenant")
    if named is None:
        return tenant_of(event)
    if role_of(event) is not Role.ADMIN:
        raise errors.ForbiddenError("only a key with the role admin may name a tenant", field="tenant")
    if named != ALL_TENANTS and not is_tenant(named):
        raise InvalidRequestError("must be all, or 1 to 64 of A-Z, a-z, 0-9 and _ . : -", field="tenant")
    return named


def request_id_of(event: Mapping[str, Any]) -> str:
    """Return the gateway's id of the request."""
    request_id: str = event["requestContext"]["requestId"]
    return request_id


def parse_body(event: Mapping[str, Any], kind: type[T]) -> T:
    """Return the request's JSON body as a struct.

    Raises:
        UnsupportedMediaTypeError: the content type says something other than JSON.
        RequestTooLargeError: the body has more than MAX_BODY_BYTES.
        MalformedBodyError: it is not JSON in UTF-8.
        InvalidRequestError: a field breaks its rule; the error names it.
    """
    media_type(event, (JSON,))
    return parse_json(body_bytes(event), kind)


def media_type(event: Mapping[str, Any], known: Sequence[str]) -> str:
    """Return what a request's body is declared as, one of `known`; without a declaration it is JSON.

    Raises:
        UnsupportedMediaTypeError: it is declared as something else, or compressed.
    """
    headers = event.get("headers", {})
    declared = _MEDIA_TYPE.fullmatch(headers.get("content-type", JSON))
    if declared is None or declared["type"].lower() not in known:
        raise errors.UnsupportedMediaTypeError(f"must be {' or '.join(known)} in UTF-8", field="content-type")
    if headers.get("content-encoding", "identity") != "identity":
        raise errors.UnsupportedMediaTypeError("must not be compressed", field="content-encoding")
    return declared["type"].lower()


def body_bytes(event: Mapping[str, Any]) -> bytes:
    """Return the body as it was sent.

    Raises:
        MalformedBodyError: the gateway passed on something that is not base64.
    """
    body = event.get("body") or ""
    if not event.get("isBase64Encoded"):
        return body.encode("utf-8", "surrogatepass")
    try:
        return base64.b64decode(body, validate=True)
    except ValueError as error:
        raise errors.MalformedBodyError("must be JSON in UTF-8", field="body") from error
