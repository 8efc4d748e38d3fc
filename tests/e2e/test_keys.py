"""Keys: how they are made and end, what they open, and that tenants see nothing of each other."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from infra.local.dev_key import bearer
from infra.local.resources import Route
from llm_router.access.keys import Role
from status.operations import OPERATIONS
from tests.e2e.conftest import Router, stack
from tests.keyed import keyed_client

ADMIN_ROUTES = (
    ("DELETE", "/api/v1/cache?tenant=all"),
    ("DELETE", "/api/v1/cache?tenant=globex"),
    ("POST", "/api/v1/keys"),
    ("GET", "/api/v1/keys"),
    ("POST", "/api/v1/keys/key_000000000000/rotate"),
    ("DELETE", "/api/v1/keys/key_000000000000"),
    ("GET", "/api/v1/analytics/summary?tenant=all"),
    ("GET", "/api/v1/analytics/costs?tenant=all"),
    ("GET", "/api/v1/analytics/daily?tenant=all"),
    ("GET", "/api/v1/analytics/cache-stats?tenant=all"),
    ("GET", "/api/v1/analytics/summary?tenant=acme"),
)
"""Whatever an administrator may do and a user may not."""


@pytest.fixture(scope="module")
def router(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Router]:
    """A stack whose gateway asks about a key each time, so that nobody has to wait a minute."""
    with stack(tmp_path_factory.mktemp("twin"), authorizer_ttl_seconds=0) as router:
        yield router


def models_for(router: Router, headers: dict[str, str]) -> httpx.Response:
    """Ask for the models, which every key may see, with these headers and no others."""
    return httpx.get(f"{router.twin.url}/api/v1/models", headers=headers, timeout=40)


def works(router: Router, secret: str) -> int:
    """Return the status that a key gets."""
    return models_for(router, bearer(secret)).status_code


def test_life_of_a_key(router: Router) -> None:
    """A key works from the moment it is made, its next secret instead of it, and none once it is revoked."""
    made = router.http.post("/api/v1/keys", json={"tenant": "acme", "labels": {"team": "search"}}).json()
    place = f"/api/v1/keys/{made['key_id']}"
    seen = [works(router, made["secret"])]
    rotated = router.http.post(f"{place}/rotate", json={"grace_seconds": 60}).json()
    seen += [works(router, made["secret"]), works(router, rotated["secret"])]
    again = router.http.post(f"{place}/rotate", json={}).json()
    seen += [works(router, rotated["secret"]), works(router, again["secret"])]
    revoked = router.http.delete(place).json()
    seen.append(works(router, again["secret"]))
    listed = {key["key_id"]: key for key in router.http.get("/api/v1/keys").json()["keys"]}

    assert [200, 200, 200, 403, 200, 403] == seen
    assert "revoked" == revoked["status"] == listed[made["key_id"]]["status"]
    assert "secret" not in str(listed)


def test_expiry(router: Router) -> None:
    """A key that has expired works no more."""
    with keyed_client(router.twin, expires_at_ms=1) as expired:
        assert 403 == expired.get("/api/v1/models").status_code


def test_first_key(router: Router) -> None:
    """Who may invoke the function gets a key without having one."""
    made = router.twin.invoke("KeysFunction", {"create": {"tenant": "default", "role": "admin"}}).json()

    assert 200 == works(router, made["secret"])


@pytest.mark.parametrize(
    ("headers", "status", "message"),
    [
        ({}, 401, "Unauthorized"),
        ({"Authorization": "Bearer llmr_" + "a" * 43}, 403, "Forbidden"),
        ({"Authorization": "Basic dXNlcjpwYXNz"}, 403, "Forbidden"),
        ({"X-Api-Key": "llmr_" + "a" * 43}, 401, "Unauthorized"),
    ],
)
def test_bad_keys(router: Router, headers: dict[str, str], status: int, message: str) -> None:
    """Without a key, and with a wrong one, the gateway answers in its own words."""
    response = models_for(router, headers)

    assert (status, {"message": message}) == (response.status_code, response.json())


def test_nothing_else_is_open(router: Router) -> None:
    """Every route of the template, and every path that is none, needs a key, but for those that show no data."""
    with httpx.Client(base_url=router.twin.url, timeout=40) as nobody:
        answers = {
            route.key: nobody.request(route.method.replace("ANY", "PUT"), route.path.replace("{proxy+}", "nowhere"))
            for route in router.twin.template.events_of(Route)
        }
    answered = {key for key, response in answers.items() if response.status_code != 401}

    assert {route.key for route in router.twin.template.events_of(Route) if route.authorizer is None} == answered
    assert "GET /health" in answered


def test_every_route_for_administrators_is_tried() -> None:
    """What the description keeps for administrators is in the list of what a user's key is refused."""
    described = {(each.method.upper(), each.path) for each in OPERATIONS if each.is_admin}
    tried = {(method, path.replace("key_000000000000", "{key_id}")) for method, path in ADMIN_ROUTES}

    assert described
    assert described <= tried


@pytest.mark.parametrize(("method", "path"), ADMIN_ROUTES, ids=lambda value: value)
def test_users_are_no_administrators(router: Router, method: str, path: str) -> None:
    """A user's key gets 403 where an administrator's does not, whatever it sends."""
    body = {"tenant": "acme"} if method == "POST" and path.endswith("/keys") else {}
    sent: dict[str, Any] = {"json": body} if method == "POST" else {}
    with keyed_client(router.twin, role=Role.USER) as user:
        refused = user.request(method, path, **sent)
    allowed = router.http.request(method, path, **sent)

    assert (403, "forbidden") == (refused.status_code, refused.json()["error"]["code"])
    assert allowed.status_code in {200, 201, 404}


def test_tenants_are_apart(router: Router) -> None:
    """Two tenants ask the same; neither sees the other's answers, requests, figures, verdicts or conversations."""
    question = "What is a sextant?"
    with (
        keyed_client(router.twin, tenant="acme", role=Role.USER) as acme,
        keyed_client(router.twin, tenant="globex", role=Role.USER) as globex,
    ):
        ask = {"message": question, "conversation_id": "c-1"}
        first = acme.post("/api/v1/chat", json=ask).json()
        router.twin.drain()
        second = globex.post("/api/v1/chat", json=ask).json()
        router.twin.drain()
        plain = [client.post("/api/v1/chat", json={"message": question}).json() for client in (acme, globex)]
        router.twin.drain()
        hit = acme.post("/api/v1/chat", json={"message": question}).json()
        place, verdict = (
            f"/api/v1/requests/{first['request_id']}",
            {"request_id": hit["request_id"], "verdict": "wrong"},
        )
        foreign = [
            globex.get(place),
            globex.delete(place),
            globex.post("/api/v1/feedback", json=verdict),
            globex.delete(f"/api/v1/cache/{hit['cache_entry_id']}"),
        ]
        globex.delete("/api/v1/cache")
        still = acme.post("/api/v1/cache/lookup", json={"message": question}).json()
        gone = globex.post("/api/v1/cache/lookup", json={"message": question}).json()
        router.twin.drain()
        figures = [client.get("/api/v1/analytics/summary").json()["total_requests"] for client in (acme, globex)]

    assert [None] * 4 == [answer["cache_tier"] for answer in (first, second, *plain)]
    assert "exact" == hit["cache_tier"]
    assert [404] * 4 == [response.status_code for response in foreign]
    assert (True, False) == (still["hit"], gone["hit"])
    assert [3, 2] == figures


def test_everybodys_cache_is_cleared(router: Router) -> None:
    """An administrator clears all caches at once."""
    question = {"message": "What is an astrolabe?"}
    tenants = [keyed_client(router.twin, tenant=tenant, role=Role.USER) for tenant in ("acme", "globex")]
    for client in tenants:
        client.post("/api/v1/chat", json=question)
    router.twin.drain()
    before = [client.post("/api/v1/cache/lookup", json=question).json()["hit"] for client in tenants]
    router.http.delete("/api/v1/cache?tenant=all")
    after = [client.post("/api/v1/cache/lookup", json=question).json()["hit"] for client in tenants]
    for client in tenants:
        client.close()

    assert ([True, True], [False, False]) == (before, after)


def test_key_for_some_models(router: Router) -> None:
    """A key for one model gets it for whatever it asks, and no other by force; one for no model of a tier gets none."""
    question = {"message": "What is a theodolite?"}
    with (
        keyed_client(router.twin, tenant="umbrella", allowed_models=("llama3.2",)) as limited,
        keyed_client(router.twin, tenant="umbrella", allowed_models=("phi3",)) as useless,
        keyed_client(router.twin, tenant="umbrella") as free,
    ):
        answer = limited.post("/api/v1/chat", json=question).json()
        forced = limited.post("/api/v1/chat", json=question | {"force_model": "ollama/tinyllama"})
        graded = limited.post("/api/v1/classify", json=question).json()
        looked_up = limited.post("/api/v1/cache/lookup", json=question | {"force_model": "ollama/tinyllama"})
        nothing = [useless.post(path, json=question) for path in ("/api/v1/chat", "/api/v1/classify")]
        usual = free.post("/api/v1/chat", json=question).json()

    assert ("ollama/llama3.2+stand-in", "ollama/tinyllama+stand-in") == (answer["model_used"], usual["model_used"])
    assert "ollama/llama3.2" == graded["recommended_model"]
    assert [(403, "force_model")] * 2 == [
        (each.status_code, each.json()["error"]["field"]) for each in (forced, looked_up)
    ]
    assert [403, 403] == [each.status_code for each in nothing]
