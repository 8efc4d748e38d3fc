"""The keys function over the template's table, each route on its sample event."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from authorize.app import lambda_handler as authorize
from keys.app import lambda_handler as keys
from tests.builders import Context, body_of, http_event
from tests.integration.conftest import Cloud, Deploy
from tests.loading import load_event

Call = Callable[..., tuple[int, Any]]
ROUTES = ("keys-create", "keys-list", "keys-rotate", "keys-revoke")


@pytest.fixture
def call(deploy: Deploy) -> Call:
    """Return what calls a route, on another key where it is told to."""
    deploy("KeysFunction")

    def call(name: str, body: object = None, *, key_id: str | None = None, role: str = "admin") -> tuple[int, Any]:
        event = http_event(name, body)
        event["requestContext"]["authorizer"]["lambda"]["role"] = role
        if key_id is not None:
            event["rawPath"] = event["rawPath"].replace(event["pathParameters"]["key_id"], key_id)
            event["pathParameters"] = {"key_id": key_id}
        response = keys(event, Context())
        return response["statusCode"], body_of(response)

    return call


def lets_in(secret: str, deploy: Deploy) -> bool:
    """Ask the authorizer."""
    deploy("AuthorizeFunction")
    event = load_event("authorize") | {"identitySource": [f"Bearer {secret}"]}
    allowed: bool = authorize(event, Context())["isAuthorized"]
    deploy("KeysFunction")
    return allowed


def test_life_of_a_key(call: Call, deploy: Deploy) -> None:
    """A key is made, listed, given another secret and revoked, and lets in accordingly."""
    created, made = call("keys-create", {"tenant": "acme", "labels": {"team": "a"}, "limits": {"tokens_per_minute": 7}})
    seen = [lets_in(made["secret"], deploy)]
    _, listed = call("keys-list")
    turned, rotated = call("keys-rotate", {"grace_seconds": 0}, key_id=made["key_id"])
    seen += [lets_in(made["secret"], deploy), lets_in(rotated["secret"], deploy)]
    ended, revoked = call("keys-revoke", key_id=made["key_id"])
    seen.append(lets_in(rotated["secret"], deploy))

    assert (201, 200, 200) == (created, turned, ended)
    assert [True, False, True, False] == seen
    assert ("acme", "user", {"tokens_per_minute": 7}) == (made["tenant"], made["role"], made["limits"])
    assert [{name: value for name, value in made.items() if name != "secret"}] == listed["keys"]
    assert ("revoked", "secret" in revoked) == (revoked["status"], False)


def test_first_key(deploy: Deploy) -> None:
    """A direct invoke makes an administrator's key without one."""
    deploy("KeysFunction")
    made = keys(load_event("keys-invoke"), Context())

    assert ("default", "admin") == (made["tenant"], made["role"])
    assert lets_in(made["secret"], deploy)


@pytest.mark.parametrize(
    ("event", "field"),
    [({}, "create"), ({"create": {"tenant": "all"}}, "create.tenant"), ({"revoke": "key_1"}, "revoke")],
)
def test_bad_invoke(deploy: Deploy, event: dict[str, Any], field: str) -> None:
    """A direct invoke that makes no sense is answered in the one error shape."""
    deploy("KeysFunction")

    assert ("invalid_request", field) == tuple(keys(event, Context())["error"][name] for name in ("code", "field"))


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "tenant"),
        ({"tenant": "all"}, "tenant"),
        ({"tenant": "a b"}, "tenant"),
        ({"tenant": "acme", "role": "root"}, "role"),
        ({"tenant": "acme", "expires_in_seconds": 0}, "expires_in_seconds"),
        ({"tenant": "acme", "limits": {"requests_per_minute": 0}}, "limits.requests_per_minute"),
        ({"tenant": "acme", "limits": {"per_fortnight": 1}}, "limits.per_fortnight"),
        ({"tenant": "acme", "labels": {"a": 1}}, "labels[...]"),
        ({"tenant": "acme", "secret": "llmr_mine"}, "secret"),
    ],
)
def test_bad_key(call: Call, body: dict[str, Any], field: str) -> None:
    """A key that breaks a rule is not made; the error names the field."""
    status, error = call("keys-create", body)

    assert (422, field) == (status, error["error"]["field"])
    assert [] == call("keys-list")[1]["keys"]


@pytest.mark.parametrize("name", ROUTES)
def test_users_manage_no_keys(call: Call, cloud: Cloud, name: str) -> None:
    """A user's key may do none of it, and nothing is written."""
    status, error = call(name, role="user")

    assert (403, "forbidden") == (status, error["error"]["code"])
    assert 0 == cloud.dynamodb.scan(TableName="KeyTable", Select="COUNT")["Count"]


def test_unknown_parameter(deploy: Deploy) -> None:
    """A parameter that the list does not have is refused by name."""
    deploy("KeysFunction")
    response = keys(http_event("keys-list") | {"queryStringParameters": {"tenant": "acme"}}, Context())

    assert (422, "tenant") == (response["statusCode"], body_of(response)["error"]["field"])


@pytest.mark.parametrize("name", ["keys-rotate", "keys-revoke"])
def test_unknown_key(call: Call, name: str) -> None:
    """A key that there is not is 404."""
    assert 404 == call(name)[0]


def test_changes_are_logged(call: Call, caplog: pytest.LogCaptureFixture) -> None:
    """The log tells who made and revoked which key, and no secret."""
    _, made = call("keys-create", {"tenant": "acme"})
    call("keys-revoke", key_id=made["key_id"])
    told = [(each.getMessage(), vars(each)["key_id"], vars(each)["by"]) for each in caplog.records]

    assert [("key created", made["key_id"]), ("key revoked", made["key_id"])] == [each[:2] for each in told]
    assert {"key_5f0c2ba91d3e"} == {each[2] for each in told}
    assert made["secret"] not in json.dumps([str(vars(each)) for each in caplog.records])
