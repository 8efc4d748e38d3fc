import base64
import json
import logging
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from aws_lambda_powertools.event_handler import Response
from hypothesis import given
from hypothesis import strategies as st

from llm_router import errors
from llm_router.access.keys import Role
from llm_router.api import (
    STATUS,
    ask_again_seconds,
    create_api,
    error_response,
    failure_response,
    parse_body,
    require_admin,
    respond,
    role_of,
    tenant_named,
    tenant_of,
)
from llm_router.errors import ForbiddenError, InvalidRequestError, RouterError, UnauthorizedError
from llm_router.models import Failure, JobStatus
from llm_router.observability import logger
from llm_router.request_bodies import ChatRequest
from llm_router.responses import PendingResponse
from llm_router.validation import MAX_BODY_BYTES, parse_json
from tests.builders import Context, body_of, http_event


def refused(body: str | bytes | None, *, content_type: str | None = None) -> RouterError:
    """Return the error that a body makes; bytes arrive as base64, as API Gateway passes them on."""
    event = http_event("chat")
    event["headers"].pop("content-type")
    if content_type is not None:
        event["headers"]["content-type"] = content_type
    event["isBase64Encoded"] = isinstance(body, bytes)
    event["body"] = base64.b64encode(body).decode() if isinstance(body, bytes) else body
    with pytest.raises(RouterError) as caught:
        parse_body(event, ChatRequest)
    return caught.value


def message_and(**fields: object) -> str:
    """Return a body with a good message and other fields."""
    return json.dumps({"message": "Hello"} | fields)


@pytest.mark.parametrize(
    ("body", "field", "message"),
    [
        ("{}", "message", "is required"),
        ('{"message": ""}', "message", "must have at least 1 character"),
        ('{"message": " \\n\\u3000"}', "message", "must not be blank"),
        (json.dumps({"message": "x" * 32_001}), "message", "must have at most 32,000 characters"),
        ('{"message": null}', "message", "must be a string, not null"),
        ('{"message": 5}', "message", "must be a string, not a number"),
        ('{"message": ["a"]}', "message", "must be a string, not an array"),
        (message_and(colour="red"), "colour", "is not a known field"),
        (message_and(Message="twice"), "Message", "is not a known field"),
        (message_and(skip_cache="yes"), "skip_cache", "must be true or false, not a string"),
        (message_and(wait_seconds=25.1), "wait_seconds", "must be at most 25"),
        (message_and(wait_seconds=-1), "wait_seconds", "must be at least 0"),
        (message_and(wait_seconds=None), "wait_seconds", "must be a number, not null"),
        (message_and(temperature=2.5), "temperature", "must be at most 2"),
        ('{"message": "a", "temperature": 1e999}', "temperature", "is a number out of range"),
        (message_and(cache_ttl_hours=0), "cache_ttl_hours", "must be more than 0"),
        (message_and(min_similarity=1.01), "min_similarity", "must be at most 1"),
        (message_and(no_store=1), "no_store", "must be true or false, not a number"),
        (message_and(max_tokens=0), "max_tokens", "must be at least 1"),
        (message_and(max_tokens=4097), "max_tokens", "must be at most 4,096"),
        (message_and(max_tokens=1.5), "max_tokens", "must be a whole number or null, not a decimal number"),
        (message_and(conversation_id="a b"), "conversation_id", "must be 1 to 128 of A-Z, a-z, 0-9 and _ . : -"),
        (message_and(conversation_id="x" * 129), "conversation_id", "must be 1 to 128 of A-Z, a-z, 0-9 and _ . : -"),
        (message_and(conversation_id="a\n"), "conversation_id", "must be 1 to 128 of A-Z, a-z, 0-9 and _ . : -"),
        (message_and(system_prompt=" "), "system_prompt", "must not be blank"),
        (message_and(system_prompt=""), "system_prompt", "must have at least 1 character"),
        (message_and(force_model=""), "force_model", "must have at least 1 character"),
        ("[]", "body", "must be an object, not an array"),
        ('"hello"', "body", "must be an object, not a string"),
        ('{"message": ' + "[" * 100_000, "message", "must be a string, not an array"),
    ],
)
def test_broken_rule(body: str, field: str, message: str) -> None:
    """A body that breaks a rule is refused with the field and the rule."""
    error = refused(body)

    assert InvalidRequestError is type(error)
    assert field == error.field
    assert message == str(error)


@pytest.mark.parametrize(
    "body",
    [
        None,
        "",
        "hello",
        '{"message": "a"',
        '{"message": "a"} {}',
        '{"message": NaN}',
        '{"message": "\\ud800"}',
        '{"message": "\ud800"}',
        "{'message': 'a'}",
        b'{"message": "\xff\xfe"}',
        b'{"message": "caf\xe9"}',
        b"\xef\xbb\xbf{}",
        b"\x1f\x8b\x08\x00",
    ],
)
def test_malformed(body: str | bytes | None) -> None:
    """What is not JSON in UTF-8 is refused as such."""
    error = refused(body)

    assert errors.MalformedBodyError is type(error)
    assert ("body", "must be JSON in UTF-8") == (error.field, str(error))


@pytest.mark.parametrize("text", ["%%%", "abc", "é", "eyJtZXNzYWdlIjoiYSJ9%%%"])
def test_broken_base64(text: str) -> None:
    """A body that is not the base64 it is said to be is malformed."""
    with pytest.raises(errors.MalformedBodyError):
        parse_body(http_event("chat", text, isBase64Encoded=True), ChatRequest)


def test_deep_nesting() -> None:
    """Nesting that exhausts the parser is malformed, not a crash."""
    with pytest.raises(errors.MalformedBodyError):
        parse_json(b"[" * 100_000 + b"]" * 100_000, Any)


@pytest.mark.parametrize(("size", "kind"), [(MAX_BODY_BYTES, None), (MAX_BODY_BYTES + 1, errors.RequestTooLargeError)])
def test_size(size: int, kind: type[RouterError] | None) -> None:
    """A body of the largest size is read; one of a byte more is refused before it is looked at."""
    body = b'{"message": "a"}'.ljust(size)
    event = http_event("chat", base64.b64encode(body).decode(), isBase64Encoded=True)
    if kind is None:
        assert "a" == parse_body(event, ChatRequest).message
    else:
        with pytest.raises(kind):
            parse_body(event, ChatRequest)


def test_seven_megabytes() -> None:
    """Seven megabytes are too large, valid or not."""
    assert errors.RequestTooLargeError is type(refused("x" * 7_000_000))


@pytest.mark.parametrize(
    "content_type",
    [
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/jsonp",
        "application/json; charset=latin-1",
        "",
        f"application/json{' ' * 9_000}x",
    ],
)
def test_wrong_content_type(content_type: str) -> None:
    """A body declared as something other than JSON is refused, whatever it holds."""
    error = refused(message_and(), content_type=content_type)

    assert errors.UnsupportedMediaTypeError is type(error)
    assert "content-type" == error.field


@pytest.mark.parametrize(
    "content_type",
    [
        None,
        "application/json",
        "Application/JSON; charset=utf-8",
        'application/json;charset="UTF8"',
        "application/json;",
    ],
)
def test_content_type(content_type: str | None) -> None:
    """JSON may be declared with parameters and in any case, or not be declared at all."""
    event = http_event("chat")
    event["headers"] = {"content-type": content_type} if content_type else {}

    assert "What is Python?" == parse_body(event, ChatRequest).message


@pytest.mark.parametrize("encoding", ["gzip", "br"])
def test_compressed_body(encoding: str) -> None:
    """A compressed body is refused as what it is; `identity` means that it is not."""
    event = http_event("chat")
    event["headers"]["content-encoding"] = "identity"
    plain = parse_body(event, ChatRequest)
    event["headers"]["content-encoding"] = encoding
    with pytest.raises(errors.UnsupportedMediaTypeError) as caught:
        parse_body(event, ChatRequest)

    assert "What is Python?" == plain.message
    assert "content-encoding" == caught.value.field


def test_long_unknown_field() -> None:
    """Of a field nobody knows only as much is repeated as helps to find it."""
    error = refused(json.dumps({"message": "a", "x" * 10_000: 1}))

    assert isinstance(error, InvalidRequestError)
    assert "x" * 64 == error.field


def test_base64_body() -> None:
    """A body that the gateway passed on as base64 is read."""
    event = http_event("chat", base64.b64encode('{"message": "naïve"}'.encode()).decode(), isBase64Encoded=True)

    assert "naïve" == parse_body(event, ChatRequest).message


@given(st.text(min_size=1, max_size=50).filter(lambda text: text.strip()))
def test_any_message(message: str) -> None:
    """Every other text comes through as it was written."""
    assert message == parse_json(json.dumps({"message": message}).encode(), ChatRequest).message


@pytest.mark.parametrize("length", [1, 32_000])
def test_length_counts_characters(length: int) -> None:
    """The limits count characters, not bytes."""
    body = msgspec.json.encode({"message": "€" * length})

    assert length == len(parse_json(body, ChatRequest).message)


def test_body_that_is_no_object() -> None:
    """Where any object will do, anything else is refused as a field would be."""
    with pytest.raises(errors.InvalidRequestError, match="must be an object, not an array") as caught:
        parse_json(b"[]", dict[str, Any])

    assert "body" == caught.value.field


def answer_to(error: Exception) -> dict[str, Any]:
    """Return the response of an API whose route raises an error."""
    app = create_api()

    @app.get("/health")
    def route() -> None:
        raise error

    response: dict[str, Any] = app.resolve(http_event("health"), Context())
    return response


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (errors.MalformedBodyError("m"), 400, "malformed_body"),
        (errors.NotFoundError("m"), 404, "not_found"),
        (errors.ConflictError("m"), 409, "conflict"),
        (errors.RequestTooLargeError("m"), 413, "request_too_large"),
        (errors.UnsupportedMediaTypeError("m"), 415, "unsupported_media_type"),
        (errors.InvalidRequestError("m"), 422, "invalid_request"),
        (errors.PromptTooLongError("m"), 422, "prompt_too_long"),
        (errors.ResponseFormatError("m"), 422, "response_format_refused"),
        (errors.ModelError("m"), 502, "model_error"),
        (errors.ModelNotFoundError("m"), 503, "model_not_found"),
        (errors.ModelUnavailableError("m"), 503, "model_unavailable"),
        (errors.EmbeddingError("m"), 503, "embedding_error"),
        (errors.StoreError("m"), 503, "store_error"),
        (errors.ModelTimeoutError("m"), 504, "model_timeout"),
    ],
)
def test_error_shape(error: RouterError, status: int, code: str) -> None:
    """Every error of the router has its status and the one shape, and 503 says when to try again."""
    response = answer_to(error)

    assert status == response["statusCode"]
    assert {"error": {"code": code, "message": "m", "request_id": "Oc1bPhTvoAMEJ3A="}} == body_of(response)
    assert ("2" if status == 503 else None) == response["headers"].get("Retry-After")
    assert "application/json" == response["headers"]["Content-Type"]


@pytest.mark.parametrize(
    "error", [errors.ConfigError(["SECRET: is required"]), RouterError("secret"), ValueError("secret")]
)
def test_internal_error(error: Exception) -> None:
    """What a caller can do nothing about is a 500 that tells nothing of the inside."""
    response = answer_to(error)

    assert 500 == response["statusCode"]
    assert ("internal_error", "the router failed") == (
        body_of(response)["error"]["code"],
        body_of(response)["error"]["message"],
    )


def test_error_field() -> None:
    """An error about a field names it."""
    response = answer_to(InvalidRequestError("is required", field="message"))

    assert "message" == body_of(response)["error"]["field"]


def test_unknown_path() -> None:
    """A path without a route has the same shape as every other error."""
    response = create_api().resolve(http_event("health"), Context())

    assert (404, "not_found") == (response["statusCode"], body_of(response)["error"]["code"])


class Logged(logging.Handler):
    """Keeps what is logged."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a record."""
        self.records.append(record)


@pytest.fixture
def logged() -> Iterator[Logged]:
    """Listen to the router's log."""
    handler = Logged()
    log = logging.getLogger(logger().name)
    log.addHandler(handler)
    yield handler
    log.removeHandler(handler)


@pytest.mark.parametrize(
    ("error", "level"),
    [
        (errors.NotFoundError("m"), None),
        (errors.InvalidRequestError("m"), None),
        (errors.ConfigError(["m"]), "WARNING"),
        (errors.ModelError("m"), "WARNING"),
        (errors.StoreError("m"), "WARNING"),
        (ValueError("m"), "ERROR"),
    ],
)
def test_what_is_logged(error: Exception, level: str | None, logged: Logged) -> None:
    """An error of the router's is logged with its cause, and a caller's own is not."""
    answer_to(error)

    assert [(level, error)] * (level is not None) == [
        (record.levelname, record.exc_info and record.exc_info[1]) for record in logged.records
    ]


def test_every_error_has_a_status() -> None:
    """Every error that a caller can cause or wait out has a status below 500 or a documented one."""
    concrete = {kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, RouterError)} - {
        RouterError,
        errors.ConfigError,
    }

    assert concrete == set(STATUS)


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("model_timeout", 504),
        ("model_not_found", 503),
        ("store_error", 503),
        ("cancelled", 409),
        ("set_aside", 503),
        ("worker_lost", 502),
        ("unheard_of", 502),
    ],
)
def test_failure_status(code: str, status: int) -> None:
    """A job's failure has the status of its error and the id of its request; an unknown one is the model's."""
    app = create_api()

    @app.get("/health")
    def route() -> Response[str]:
        return failure_response(app, Failure(code=code, message="odd"), "req_1")

    response = app.resolve(http_event("health"), Context())

    assert status == response["statusCode"]
    assert {"code": code, "message": "odd", "request_id": "req_1"} == body_of(response)["error"]


def openai_answer_to(error: Exception) -> dict[str, Any]:
    """Return the response of an OpenAI-compatible route that raises an error."""
    app = create_api()

    @app.get("/v1/models")
    def route() -> None:
        raise error

    response: dict[str, Any] = app.resolve(http_event("openai-models"), Context())
    return response


@pytest.mark.parametrize(
    ("error", "status", "code", "param"),
    [
        (errors.InvalidRequestError("m", field="top_p"), 400, "invalid_value", "top_p"),
        (errors.UnknownModelError("m", field="force_model"), 404, "model_not_found", "model"),
        (errors.StoreError("m"), 503, "store_error", None),
        (errors.ConfigError(["m"]), 500, "internal_error", None),
        (ValueError("secret"), 500, "internal_error", None),
    ],
)
def test_openai_shape(error: Exception, status: int, code: str, param: str | None) -> None:
    """Under /v1 every error has OpenAI's shape and statuses, and the request's id in a header."""
    response = openai_answer_to(error)
    shown = body_of(response)["error"]

    assert (status, code, param) == (response["statusCode"], shown["code"], shown["param"])
    assert {"message", "type", "param", "code"} == shown.keys()
    assert "secret" not in shown["message"]
    assert "Oc1bPhTvoAMEJ3A=" == response["headers"]["x-request-id"]
    assert ("2" if status == 503 else None) == response["headers"].get("Retry-After")


def test_openai_conflict() -> None:
    """OpenAI's clients take a conflict for something that passes; they are told that it does not."""
    response = openai_answer_to(errors.ConflictError("m"))

    assert (409, "false") == (response["statusCode"], response["headers"]["x-should-retry"])


def test_no_such_openai_route() -> None:
    """A path under /v1 that does not exist is refused in OpenAI's shape."""
    response = create_api().resolve(http_event("openai-models"), Context())

    assert (404, "not_found") == (response["statusCode"], body_of(response)["error"]["code"])


def seen_by(**authorizer: Any) -> dict[str, Any]:
    """Return a chat event as the gateway hands it on after its authorizer."""
    event = http_event("chat", {"message": "a", "tenant": "evil"})
    event["requestContext"]["authorizer"] = authorizer
    return event


def test_tenant_and_role_of_a_key() -> None:
    """Tenant and role come from the authorizer alone, whatever the body says; without a word of it, a user asks."""
    event = seen_by(**{"lambda": {"tenant": "acme", "role": "admin"}})

    assert ("acme", Role.ADMIN) == (tenant_of(event), role_of(event))
    assert Role.USER is role_of(seen_by(**{"lambda": {"tenant": "acme"}}))


def test_tenant_and_role_of_a_token() -> None:
    """Behind a JWT authorizer they come from the token's claims."""
    event = seen_by(jwt={"claims": {"tenant": "acme", "role": "admin", "iss": "https://id"}, "scopes": None})

    assert ("acme", Role.ADMIN) == (tenant_of(event), role_of(event))
    assert Role.USER is role_of(seen_by(jwt={"claims": {"tenant": "acme"}}))


@pytest.mark.parametrize(
    "claims",
    [
        {},
        {"tenant": "all"},
        {"tenant": "a#b"},
        {"tenant": ""},
        {"tenant": "acme", "role": "root"},
        {"tenant": "acme", "role": ["admin"]},
    ],
)
def test_token_without_a_tenant(claims: dict[str, Any]) -> None:
    """A token that names no tenant, or a role that there is not, lets its holder do nothing."""
    with pytest.raises(ForbiddenError, match="the token's claim"):
        tenant_of(seen_by(jwt={"claims": claims}))


def test_request_that_no_authorizer_has_seen() -> None:
    """A route that somebody left open by mistake answers nobody."""
    event = http_event("chat")
    del event["requestContext"]["authorizer"]
    with pytest.raises(UnauthorizedError):
        tenant_of(event)
    for authorizer in ({}, {"lambda": None}, {"lambda": {}}, {"iam": {"userId": "admin"}}):
        with pytest.raises(UnauthorizedError):
            tenant_of(seen_by(**authorizer))


def test_administrators_only() -> None:
    """What needs an administrator refuses a user."""
    admin = require_admin(seen_by(**{"lambda": {"tenant": "acme", "role": "admin"}}))
    with pytest.raises(ForbiddenError, match="role admin"):
        require_admin(seen_by(**{"lambda": {"tenant": "acme", "role": "user"}}))

    assert "acme" == admin.tenant


@pytest.mark.parametrize("named", ["acme", "all"])
def test_tenant_that_is_named(named: str) -> None:
    """An administrator may name another tenant, or all; a user may not, and without a name it is the caller's own."""
    admin = seen_by(**{"lambda": {"tenant": "default", "role": "admin"}}) | {"queryStringParameters": {"tenant": named}}
    user = seen_by(**{"lambda": {"tenant": named}}) | {"queryStringParameters": {"tenant": named}}
    with pytest.raises(ForbiddenError) as refused:
        tenant_named(user)

    assert "tenant" == refused.value.field
    assert named == tenant_named(admin)
    assert "default" == tenant_named(admin | {"queryStringParameters": {"days": "1"}})


def test_name_of_no_tenant() -> None:
    """What no tenant can be called is refused, wherever it would lead."""
    event = seen_by(**{"lambda": {"tenant": "default", "role": "admin"}})
    for name in ("", "a#b", "a b", "é", "x" * 65, "all\n", "=1+1"):
        with pytest.raises(InvalidRequestError):
            tenant_named(event | {"queryStringParameters": {"tenant": name}})


def test_respond() -> None:
    """A response is JSON with the headers it was given."""
    response = respond({"a": "ä"}, 202, {"Location": "/x"})

    assert 200 == respond({}).status_code
    assert (202, '{"a":"ä"}', "/x") == (response.status_code, response.body, response.headers["Location"])


def test_error_response() -> None:
    """A handler can answer with the one shape without raising."""
    app = create_api()

    @app.get("/health")
    def route() -> Response[str]:
        return error_response(app, 502, "model_error", "odd")

    response = app.resolve(http_event("health"), Context())

    assert (502, "odd") == (response["statusCode"], body_of(response)["error"]["message"])


@pytest.mark.parametrize(
    ("estimated_ms", "seconds"),
    [(None, 2), (0, 1), (1, 1), (1_000, 1), (1_001, 2), (60_000, 60), (500_000, 60)],
)
def test_when_to_ask_again(estimated_ms: int | None, seconds: int) -> None:
    """Whoever is to come back is told the expected second, at least 1 and at most 60; 2 when nobody knows."""
    body = PendingResponse(request_id="req_1", status=JobStatus.QUEUED, arm="default", estimated_ms=estimated_ms)

    assert seconds == ask_again_seconds(body)
