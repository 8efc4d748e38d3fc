"""What nobody means well with: in bodies, of every route that has one, in paths, in queries and in headers."""

from typing import Any

import httpx
import msgspec
import pytest

from status.description import openapi

BODIES: dict[str, bytes] = {
    f"{method.upper()} {path}": msgspec.json.encode(operation["requestBody"]["content"]["application/json"]["example"])
    for path, methods in openapi()["paths"].items()
    for method, operation in methods.items()
    if "requestBody" in operation
}
MAX_BODY_BYTES = dict.fromkeys(BODIES, 1024 * 1024) | {"POST /api/v1/batches": 4_500_000}


def send(router: Any, route: str, body: bytes, **headers: str) -> httpx.Response:
    """Ask a route, about a key that there is not where it wants one."""
    method, path = route.split()
    path = path.replace("{key_id}", "key_000000000000")
    response: httpx.Response = router.http.request(
        method, path, content=body, headers={"content-type": "application/json", **headers}
    )
    return response


def names(response: httpx.Response) -> str | None:
    """Return the field that an error names, in either of its shapes."""
    error = response.json()["error"]
    field: str | None = error["param"] if "param" in error else error.get("field")
    return field


@pytest.mark.parametrize("route", BODIES)
def test_body_is_measured_before_it_is_read(router: Any, route: str) -> None:
    """One byte too many is a 413, whatever the bytes are."""
    response = send(router, route, b"[" * (MAX_BODY_BYTES[route] + 1))

    assert response.status_code == 413


@pytest.mark.parametrize("route", BODIES)
def test_key_that_is_there_twice_is_refused_by_name(router: Any, route: str) -> None:
    """No route acts on one of two values and forgets the other."""
    body = BODIES[route]
    first = next(iter(msgspec.json.decode(body)))
    response = send(router, route, body[:-1] + b"," + body[1:])

    assert 400 == response.status_code
    assert first == names(response)


@pytest.mark.parametrize("route", BODIES)
@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b'{"a":' * 100_000 + b"1" + b"}" * 100_000, id="objects"),
        pytest.param(b'{"a":' + b"[" * 70 + b"]" * 70 + b"}", id="a little too deep"),
        pytest.param(b"[" * 1_000_000, id="arrays without an end"),
        pytest.param(b'{"message": "\xc0\xaf", "model": "auto"}', id="no UTF-8"),
        pytest.param(b'{"message": "\\ud83d", "model": "auto"}', id="half a character"),
        pytest.param(b'{"message": "a\x00b", "model": "auto"}', id="bare NUL"),
        pytest.param('{"message": "hi"}'.encode("utf-16"), id="UTF-16"),
        pytest.param(b'{"message": 1e999999}', id="exponent"),
        pytest.param(b'{"message": ' + b"9" * 100_000 + b"}", id="digits"),
        pytest.param(b'{"message": NaN}', id="not a number"),
    ],
)
def test_hostile_body_is_the_callers_error(router: Any, route: str, body: bytes) -> None:
    """Nothing that JSON's grammar can be bent to ends a function."""
    response = send(router, route, body)

    assert response.status_code in {400, 422}, response.text
    assert response.json()["error"]["code"]


def test_lines_of_a_batch_are_held_to_the_same(router: Any) -> None:
    """A line that says two things is invalid, and the others are asked."""
    lines = [
        b'{"custom_id": "good", "message": "What is a trie?"}',
        b'{"custom_id": "two", "message": "a", "message": "b"}',
        b'{"method": "POST", "url": "/v1/chat/completions", "custom_id": "c", "body": {"model": "a", "model": "b"}}',
        b'{"custom_id": "deep", "message": "a", "history": ' + b"[" * 100 + b"]" * 100 + b"}",
    ]
    response = send(router, "POST /api/v1/batches", b"\n".join(lines), **{"content-type": "application/jsonl"})

    assert 202 == response.status_code, response.text
    assert [(2, "message"), (3, "model"), (4, "body")] == [
        (each["line"], each["error"]["field"]) for each in response.json()["errors"]
    ]
    router.http.delete(response.headers["location"])


@pytest.mark.parametrize(
    "text", ["a\u0000b", "\u202ereversed", "\ufffe\uffff", "\U0010ffff", "e\u0301" * 100, "<script>"]
)
def test_any_character_may_be_asked_about(router: Any, text: str) -> None:
    """Whatever Unicode has in it reaches the model and comes back as it was, from the model and from the cache."""
    said = f"Say {text} again"

    assert said in router.answer(said)["response"]
    assert said in router.answer(said)["response"]


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/requests/{}",
        "/api/v1/batches/{}",
        "/api/v1/batches/{}/results",
        "/v1/responses/{}",
        "/v1/models/{}",
        "/v1/models/{}/{}",
        "/api/v1/keys/{}",
        "/api/v1/cache/{}",
        "/{}",
    ],
)
@pytest.mark.parametrize(
    "name",
    [
        "%0D%0AX-Evil:%201",
        "%00",
        "..%2F..%2Fetc",
        "%FF%FE",
        "%EF%BF%BF",
        "a" * 9_000,
        "%3Cscript%3E",
        "%2e%2e",
        "'%22;--",
    ],
)
def test_hostile_path_is_not_found(router: Any, path: str, name: str) -> None:
    """A name that nothing has is a 404, and is in no header of the answer."""
    method = "DELETE" if path.startswith(("/api/v1/keys", "/api/v1/cache")) else "GET"

    response = router.http.request(method, path.format(name, name[:100]))

    assert response.status_code == 404, response.text
    assert "x-evil" not in response.headers


def test_nothing_of_a_request_is_in_a_header_of_its_answer(router: Any) -> None:
    """Ids in headers are the router's own: a caller's names are in bodies only, as JSON has them."""
    mine = {"x-request-id": "evil-id", "x-amzn-requestid": "evil-id"}
    key = {"idempotency-key": "evil-key"}
    line = b'{"custom_id": "evil-name", "message": "What is a treap?"}'
    responses = [
        send(router, "POST /v1/chat/completions", BODIES["POST /v1/chat/completions"], **mine, **key),
        send(
            router, "POST /api/v1/chat", b'{"message": "What is a treap?", "metadata": {"evil-name": "evil"}}', **mine
        ),
        send(router, "POST /api/v1/batches", line, **mine | {"content-type": "application/jsonl"}),
    ]

    assert [200, 200, 202] == [each.status_code for each in responses]
    assert not [value for each in responses for value in each.headers.values() if "evil" in value]


@pytest.mark.parametrize("key", ["", "a b", "é".encode(), b"\xff", "k" * 256])
def test_bad_idempotency_key_is_refused(router: Any, key: Any) -> None:
    """It has 1 to 255 visible characters of ASCII, or it is none."""
    headers = {"content-type": "application/json", "idempotency-key": key}
    response = router.http.post("/api/v1/chat", content=b'{"message": "hi"}', headers=headers)

    assert response.status_code == 422
    assert response.json()["error"]["field"] == "idempotency-key"


@pytest.mark.parametrize("headers", [{"x-long": "a" * 11_000}, {f"x-{each}": "a" * 100 for each in range(100)}])
def test_headers_are_bounded_by_the_gateway(router: Any, headers: dict[str, str]) -> None:
    """No function sees more than ten kilobytes of them."""
    assert router.http.get("/api/v1/models", headers=headers).status_code == 431


@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("/api/v1/analytics/summary", {"days": "9" * 9_000}),
        ("/api/v1/analytics/summary", {"tz": "../../../etc/passwd"}),
        ("/api/v1/analytics/summary", {"tz": "\x00"}),
        ("/api/v1/analytics/summary", {"tenant": "a#b"}),
        ("/api/v1/analytics/summary", {"from": "\uff12\uff10\uff12\uff16-11-01", "to": "2026-11-02"}),
        ("/api/v1/analytics/summary", {f"p{each}": "1" for each in range(1_000)}),
    ],
)
def test_hostile_query_is_refused(router: Any, path: str, query: dict[str, str]) -> None:
    """A query is held to its rules like a body."""
    assert router.http.get(path, params=query).status_code == 422


@pytest.mark.parametrize("path", ["/api/v1/analytics/savings-report", "/metrics"])
def test_long_list_of_types_is_read_in_time(router: Any, path: str) -> None:
    """As many media types as ten kilobytes have are no work."""
    response = router.http.get(path, headers={"accept": ",".join(["a/b;q=0.1"] * 900)})

    assert response.status_code in {200, 406}
    assert response.elapsed.total_seconds() < 10
