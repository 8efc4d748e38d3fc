import base64
import json
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from infra.local.functions import InvokeResult
from infra.local.http_api import HttpApi, HttpServer, PortError, PortInUseError, listen
from infra.local.resources import Route
from tests.integration.local.conftest import Sample

ROUTES = (
    Route("Any", "ANY", "/things/{id}"),
    Route("List", "GET", "/things"),
    Route("Fixed", "GET", "/things/fixed"),
    Route("Greedy", "GET", "/files/{path+}"),
)


@contextmanager
def _serving(answer: Callable[[str, dict[str, Any]], Any], timeout_seconds: float = 30) -> Iterator[httpx.Client]:
    def invoke(function: str, event: dict[str, Any]) -> InvokeResult:
        return InvokeResult(
            "id", json.dumps(answer(function, event)).encode(), is_error=False, duration_ms=1.0, init_ms=None
        )

    server = HttpServer(HttpApi(ROUTES, invoke, integration_timeout_seconds=timeout_seconds), listen(0))
    server.start()
    try:
        with httpx.Client(base_url=server.url, trust_env=False) as client:
            yield client
    finally:
        server.close()


def _say_which(function: str, event: dict[str, Any]) -> Any:
    return {"function": function, "parameters": event.get("pathParameters"), "key": event["routeKey"]}


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("GET", "/things", {"function": "List", "parameters": None, "key": "GET /things"}),
        ("GET", "/things/fixed", {"function": "Fixed", "parameters": None, "key": "GET /things/fixed"}),
        ("DELETE", "/things/fixed", {"function": "Any", "parameters": {"id": "fixed"}, "key": "ANY /things/{id}"}),
        ("PUT", "/things/a%20b%2Fc", {"function": "Any", "parameters": {"id": "a b/c"}, "key": "ANY /things/{id}"}),
        (
            "GET",
            "/files/a/b.txt",
            {"function": "Greedy", "parameters": {"path": "a/b.txt"}, "key": "GET /files/{path+}"},
        ),
    ],
)
def test_a_request_finds_its_route(method: str, path: str, expected: dict[str, Any]) -> None:
    """Fixed paths win over parameters, any method is the last choice, and parameters arrive decoded."""
    with _serving(_say_which) as client:
        response = client.request(method, path)

    assert expected == response.json()


@pytest.mark.parametrize(("method", "path"), [("GET", "/nowhere"), ("POST", "/things"), ("GET", "/things/a/b")])
def test_an_unknown_route_is_not_found(method: str, path: str) -> None:
    """A path or a method no route has is 404 in the gateway's own words."""
    with _serving(_say_which) as client:
        response = client.request(method, path)

    assert (404, {"message": "Not Found"}) == (response.status_code, response.json())


def test_a_request_becomes_payload_2_0(sample: Sample) -> None:
    """Headers are lower case and joined, cookies and query apart, the path decoded, the body as it was sent."""
    response = sample.http.post(
        "/echo/Ad%C3%A9le?a=1&a=2&b=x%20y&empty=",
        headers=[("X-Many", "one"), ("X-Many", "two"), ("Cookie", "k=v; l=w"), ("Content-Type", "application/json")],
        content='{"ü": 1}'.encode(),
    )
    event = response.json()["event"]
    context = event["requestContext"]

    assert ("2.0", "POST /echo/{name}", "/echo/Adéle") == (event["version"], event["routeKey"], event["rawPath"])
    assert "a=1&a=2&b=x%20y&empty=" == event["rawQueryString"]
    assert {"a": "1,2", "b": "x y", "empty": ""} == event["queryStringParameters"]
    assert {"name": "Adéle"} == event["pathParameters"]
    assert ["k=v", "l=w"] == event["cookies"]
    assert "one,two" == event["headers"]["x-many"]
    assert "cookie" not in event["headers"]
    assert ('{"ü": 1}', False) == (event["body"], event["isBase64Encoded"])
    assert ("POST", "/echo/Adéle", "HTTP/1.1", "127.0.0.1") == tuple(
        context["http"][key] for key in ("method", "path", "protocol", "sourceIp")
    )
    assert ("$default", "POST /echo/{name}") == (context["stage"], context["routeKey"])
    assert response.headers["apigw-requestid"] == context["requestId"]
    assert isinstance(context["timeEpoch"], int)
    assert context["time"].endswith(" +0000")


def test_absent_things_are_absent(sample: Sample) -> None:
    """Without body, query, cookies and path parameters their keys are not in the event."""
    event = sample.http.get("/echo").json()["event"]

    assert not {"body", "queryStringParameters", "cookies", "pathParameters"} & event.keys()
    assert (False, "") == (event["isBase64Encoded"], event["rawQueryString"])


@pytest.mark.parametrize(
    ("content_type", "body", "arrives_as"),
    [
        ("application/json; charset=utf-8", b"{}", "text"),
        ("text/csv", b"a,b", "text"),
        ("application/xml", b"<a/>", "text"),
        ("application/javascript", b"1", "text"),
        ("application/octet-stream", b"plain", "base64"),
        ("application/x-www-form-urlencoded", b"a=1", "base64"),
        ("application/json", b"\xff\xfe", "base64"),
        (None, b"{}", "base64"),
    ],
)
def test_only_textual_bodies_arrive_as_text(content_type: str | None, body: bytes, arrives_as: str) -> None:
    """JSON, XML, JavaScript and text arrive as they are; the rest, and what is not UTF-8, as base64."""
    headers = {"Content-Type": content_type} if content_type else {}
    with _serving(lambda _, event: event) as client:
        event = client.put("/things/1", content=body, headers=headers).json()
    seen = base64.b64decode(event["body"]) if event["isBase64Encoded"] else event["body"].encode()

    assert (arrives_as == "base64") == event["isBase64Encoded"]
    assert body == seen


def test_an_answer_with_a_status_is_taken_apart(sample: Sample) -> None:
    """Status, headers, cookies and body of the answer are the response's."""
    response = sample.http.post("/misbehave", content="behave", headers={"Content-Type": "text/plain"})

    assert (201, "yes", "fine") == (response.status_code, response.headers["x-sample"], response.text)
    assert ["a=1", "b=2"] == response.headers.get_list("set-cookie")


def test_an_answer_without_a_status_is_the_json_body() -> None:
    """Any JSON value without `statusCode` is a 200."""
    with _serving(lambda *_: ["a", 1]) as client:
        response = client.get("/things")

    assert (200, "application/json", ["a", 1]) == (
        response.status_code,
        response.headers["content-type"],
        response.json(),
    )


def test_a_base64_answer_is_decoded() -> None:
    """Bytes come out of an answer that says its body is base64."""
    answer = {"statusCode": 200, "isBase64Encoded": True, "body": base64.b64encode(b"\x00\xff").decode()}
    with _serving(lambda *_: answer) as client:
        response = client.get("/things")

    assert b"\x00\xff" == response.content


@pytest.mark.parametrize(
    "answer",
    [
        {"statusCode": 200, "body": {"not": "a string"}},
        {"statusCode": "no number"},
        {"statusCode": 200, "headers": ["no", "object"]},
        {"statusCode": 200, "isBase64Encoded": True, "body": "***"},
    ],
)
def test_a_malformed_answer_is_an_internal_error(answer: dict[str, Any]) -> None:
    """What is no payload 2.0 response is 500 for the caller."""
    with _serving(lambda *_: answer) as client:
        response = client.get("/things")

    assert (500, {"message": "Internal Server Error"}) == (response.status_code, response.json())


def test_a_crash_is_500_and_the_next_request_is_answered(sample: Sample) -> None:
    """A function that dies costs its own request only."""
    statuses = [
        sample.http.post("/misbehave", content=content, headers={"Content-Type": "text/plain"}).status_code
        for content in ("crash", "behave", "raise", "hang", "behave")
    ]

    assert [500, 201, 500, 500, 201] == statuses


def test_a_caller_waits_for_the_integration_limit_and_no_longer() -> None:
    """When the limit is over the caller gets 503, whatever the function does."""
    release = threading.Event()
    with _serving(lambda *_: release.wait(10), timeout_seconds=0.05) as client:
        response = client.get("/things")
        release.set()

    assert (503, {"message": "Service Unavailable"}) == (response.status_code, response.json())


@pytest.mark.parametrize("size_bytes", [6_291_000, 11_000_000])
def test_a_body_over_a_limit_is_too_large(sample: Sample, size_bytes: int) -> None:
    """Both Lambda's 6 MB of event and the gateway's 10 MB of body give 413."""
    response = sample.http.post("/echo/big", content=b"x" * size_bytes, headers={"Content-Type": "text/plain"})

    assert (413, {"message": "Request Entity Too Large"}) == (response.status_code, response.json())


def test_the_gateways_own_limit_comes_before_the_function() -> None:
    """A body over 10 MB is refused even if the integration would take it."""
    with _serving(_say_which) as client:
        refused = client.put("/things/1", content=b"x" * 10_485_761)
        accepted = client.put("/things/1", content=b"x" * 10_485_760)

    assert (413, 200) == (refused.status_code, accepted.status_code)


def test_headers_over_the_limit_are_refused() -> None:
    """More than 10,240 bytes of request line and headers are 431."""
    with _serving(_say_which) as client:
        refused = client.get("/things", headers={"X-Long": "x" * 10_240})
        accepted = client.get("/things", headers={"X-Long": "x" * 9_900})

    assert (431, 200) == (refused.status_code, accepted.status_code)


def test_fifty_requests_at_once_are_all_answered(sample: Sample) -> None:
    """Callers beyond the cap of environments wait, and each gets its own answer."""
    with ThreadPoolExecutor(50) as callers:
        responses = list(callers.map(lambda number: sample.http.post(f"/echo/{number}"), range(50)))

    assert [str(number) for number in range(50)] == [
        response.json()["event"]["pathParameters"]["name"] for response in responses
    ]


def test_many_callers_can_wait_at_once() -> None:
    """A hundred and twenty slow requests are under way together; none waits for another's thread."""
    together = threading.Barrier(120)
    with _serving(lambda *_: together.wait(20)) as client, ThreadPoolExecutor(120) as callers:
        limits = httpx.Limits(max_connections=120)
        with httpx.Client(base_url=client.base_url, trust_env=False, timeout=30, limits=limits) as wide:
            statuses = list(callers.map(lambda _: wide.get("/things").status_code, range(120)))

    assert [200] * 120 == statuses


def test_a_port_in_use_is_a_clear_error() -> None:
    """The message names the port and the way out."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(PortInUseError, match=f"port {port} is in use; choose another with PORT="):
            listen(port)


def test_a_port_that_cannot_be_had_says_why() -> None:
    """A port that is refused for another reason than being in use is not called in use."""
    with pytest.raises(PortError, match=r"cannot listen on port 0: .*assign requested address") as caught:
        listen(0, host="192.0.2.1")  # an address for documentation, which no machine has

    assert PortError is caught.type
