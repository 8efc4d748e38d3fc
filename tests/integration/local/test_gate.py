"""The HTTP API in front of its authorizer, over HTTP, with functions that are plain Python."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from infra.local import http_api
from infra.local.functions import InvokeResult
from infra.local.gate import Gate
from infra.local.http_api import HttpApi, HttpServer, listen
from infra.local.resources import Authorizer, Route

KEYS = Authorizer("Keys", ("authorization",), result_ttl_seconds=60)
ROUTES = (
    Route("Echo", "GET", "/guarded", KEYS),
    Route("Echo", "POST", "/things/{id}", KEYS),
    Route("Echo", "GET", "/open"),
)


class Keys:
    """An authorizer that lets in whoever says please, and takes note of what it was asked."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []

    def __call__(self, event: dict[str, Any]) -> Any:
        """Answer as a simple response."""
        self.asked.append(event)
        (identity,) = event["identitySource"]
        return {"isAuthorized": identity == "please", "context": {"tenant": "acme"}}


@contextmanager
def serving(authorize: Callable[[dict[str, Any]], Any], **options: Any) -> Iterator[httpx.Client]:
    """Serve the routes behind an authorizer; its exceptions are what a failed function is."""

    def invoke(function: str, event: dict[str, Any]) -> InvokeResult:
        try:
            answer = authorize(event) if function == "Keys" else event
        except ArithmeticError as error:
            return InvokeResult("id", json.dumps(str(error)).encode(), is_error=True, duration_ms=1.0, init_ms=None)
        return InvokeResult("id", json.dumps(answer).encode(), is_error=False, duration_ms=1.0, init_ms=None)

    server = HttpServer(HttpApi(ROUTES, invoke, **options), listen(0))
    server.start()
    try:
        with httpx.Client(base_url=server.url, trust_env=False) as client:
            yield client
    finally:
        server.close()


def auth(value: str) -> dict[str, str]:
    """Return the header."""
    return {"Authorization": value}


@pytest.mark.parametrize("headers", [{}, {"Authorization": ""}])
def test_without_an_identity(headers: dict[str, str]) -> None:
    """Without the header nobody is asked, and the gateway answers 401."""
    keys = Keys()
    with serving(keys) as client:
        response = client.get("/guarded", headers=headers)

    assert (401, {"message": "Unauthorized"}) == (response.status_code, response.json())
    assert [] == keys.asked


def test_refused() -> None:
    """Whom the authorizer refuses gets 403 in the gateway's words, and no function sees the request."""
    with serving(Keys()) as client:
        response = client.get("/guarded", headers=auth("now"))

    assert (403, {"message": "Forbidden"}) == (response.status_code, response.json())


def test_let_in() -> None:
    """The function sees what the authorizer said of the caller; an open route sees nothing of it."""
    with serving(Keys()) as client:
        guarded = client.get("/guarded", headers=auth("please")).json()
        unguarded = client.get("/open", headers=auth("please")).json()

    assert {"lambda": {"tenant": "acme"}} == guarded["requestContext"]["authorizer"]
    assert "authorizer" not in unguarded["requestContext"]


def test_question() -> None:
    """The authorizer is asked with payload 2.0: route, headers and identity, and nothing of the body."""
    keys = Keys()
    with serving(keys) as client:
        client.post("/things/7?a=1", headers=auth("please"), content="secret")
    (event,) = keys.asked

    assert ("2.0", "REQUEST", ["please"]) == (event["version"], event["type"], event["identitySource"])
    assert ("POST /things/{id}", "/things/7", "a=1") == (event["routeKey"], event["rawPath"], event["rawQueryString"])
    assert "arn:aws:execute-api:us-east-1:123456789012:local/$default/POST/things/7" == event["routeArn"]
    assert {"id": "7"} == event["pathParameters"]
    assert not {"body", "isBase64Encoded"} & event.keys()


def test_remembered() -> None:
    """An answer, yes or no, holds for every route and as long as it is declared to; each identity has its own."""
    keys = Keys()
    with serving(keys) as client:
        statuses = [
            client.request(method, path, headers=auth(identity)).status_code
            for identity in ("please", "now", "please", "now")
            for method, path in (("GET", "/guarded"), ("POST", "/things/7"))
        ]

    assert [200, 200, 403, 403] * 2 == statuses
    assert [["please"], ["now"]] == [event["identitySource"] for event in keys.asked]


@pytest.mark.parametrize(("after_seconds", "asked"), [(59.9, 1), (60.0, 2)])
def test_forgotten(after_seconds: float, asked: int) -> None:
    """After its time an answer is asked for anew."""
    keys, now = Keys(), [100.0]
    answers = iter([True, False])

    def invoke(_: str, event: dict[str, Any]) -> InvokeResult:
        keys(event)
        payload = json.dumps({"isAuthorized": next(answers)}).encode()
        return InvokeResult("id", payload, is_error=False, duration_ms=1.0, init_ms=None)

    gate = Gate(invoke, clock=lambda: now[0])
    event = {"requestContext": {"apiId": "a", "stage": "s", "http": {"method": "GET", "path": "/"}}}
    gate.admit(KEYS, ROUTES[0], ("please",), event)
    now[0] += after_seconds
    if asked == 1:
        gate.admit(KEYS, ROUTES[0], ("please",), event)
    else:
        with pytest.raises(Exception, match="Forbidden"):
            gate.admit(KEYS, ROUTES[0], ("please",), event)

    assert asked == len(keys.asked)


def test_nothing_remembered() -> None:
    """A twin may be told to ask each time."""
    keys = Keys()
    with serving(keys, authorizer_ttl_seconds=0) as client:
        for _ in range(3):
            client.get("/guarded", headers=auth("please"))

    assert 3 == len(keys.asked)


def fail(_: dict[str, Any]) -> Any:
    """Fail as a function does."""
    raise ArithmeticError("no table")


@pytest.mark.parametrize(
    "answer", [fail, lambda _: {}, lambda _: [], lambda _: {"isAuthorized": "yes"}, lambda _: None]
)
def test_authorizer_that_fails(answer: Callable[[dict[str, Any]], Any]) -> None:
    """An authorizer that fails, or makes no sense, is the gateway's 500, and is asked again the next time."""
    with serving(answer) as client:
        responses = [client.get("/guarded", headers=auth("please")) for _ in range(2)]

    assert [(500, {"message": "Internal Server Error"})] * 2 == [
        (response.status_code, response.json()) for response in responses
    ]


def test_authorizer_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    """An authorizer has ten seconds, here a tenth of one."""
    monkeypatch.setattr(http_api, "AUTHORIZER_TIMEOUT_SECONDS", 0.1)
    with serving(lambda _: time.sleep(1)) as client:
        response = client.get("/guarded", headers=auth("please"))

    assert 500 == response.status_code
