"""A caller of one tenant against another, on every route that there is."""

from collections.abc import Iterator
from enum import StrEnum
from typing import Any

import httpx
import pytest
from msgspec import Struct

from infra.local.resources import Route
from llm_router.access.keys import Role
from status.description import openapi
from tests.e2e.conftest import Router
from tests.keyed import keyed_client

VICTIM, ATTACKER = "victim-and-sons", "mallory"
QUESTION = "What is a chronometer?"


class Reach(StrEnum):
    """What a route can have to do with somebody else's data."""

    OPEN = "open"
    """Needs no key and shows nothing of anybody."""
    COMMON = "common"
    """The same for every key, or made of nothing but the request."""
    OWN = "own"
    """About the caller's tenant, whatever the request says."""
    NAMED = "named"
    """About something by its id; what is somebody else's is not told from what there is not."""
    ADMIN = "admin"
    """Of all tenants, for administrators."""


ROUTES = {
    "ANY /{proxy+}": Reach.COMMON,
    "DELETE /api/v1/batches/{batch_id}": Reach.NAMED,
    "DELETE /api/v1/cache": Reach.OWN,
    "DELETE /api/v1/cache/{entry_id}": Reach.NAMED,
    "DELETE /api/v1/keys/{key_id}": Reach.ADMIN,
    "DELETE /api/v1/requests/{job_id}": Reach.NAMED,
    "GET /api/v1/analytics/cache-stats": Reach.OWN,
    "GET /api/v1/analytics/costs": Reach.OWN,
    "GET /api/v1/analytics/daily": Reach.OWN,
    "GET /api/v1/analytics/savings-report": Reach.OWN,
    "GET /api/v1/analytics/summary": Reach.OWN,
    "GET /api/v1/batches/{batch_id}": Reach.NAMED,
    "GET /api/v1/batches/{batch_id}/results": Reach.NAMED,
    "GET /api/v1/cache/stats": Reach.OWN,
    "GET /api/v1/keys": Reach.ADMIN,
    "GET /api/v1/models": Reach.COMMON,
    "GET /api/v1/requests/{job_id}": Reach.NAMED,
    "GET /dashboard": Reach.OPEN,
    "GET /docs": Reach.OPEN,
    "GET /health": Reach.OPEN,
    "GET /metrics": Reach.OWN,
    "GET /openapi.json": Reach.OPEN,
    "GET /v1/models": Reach.COMMON,
    "GET /v1/models/{model}": Reach.COMMON,
    "GET /v1/models/{provider}/{model}": Reach.COMMON,
    "GET /v1/responses/{response_id}": Reach.NAMED,
    "POST /api/v1/batches": Reach.OWN,
    "POST /api/v1/cache/lookup": Reach.OWN,
    "POST /api/v1/chat": Reach.OWN,
    "POST /api/v1/classify": Reach.COMMON,
    "POST /api/v1/feedback": Reach.NAMED,
    "POST /api/v1/keys": Reach.ADMIN,
    "POST /api/v1/keys/{key_id}/rotate": Reach.ADMIN,
    "POST /v1/chat/completions": Reach.OWN,
    "POST /v1/responses": Reach.OWN,
    "POST /v1/responses/{response_id}/cancel": Reach.NAMED,
}
REPORTS = [route for route in ROUTES if route.startswith("GET /api/v1/analytics")] + ["DELETE /api/v1/cache"]
SENT = {"headers": {"idempotency-key": "theirs"}}


class Victim(Struct, frozen=True):
    """A tenant with one of everything, and the ids of it."""

    client: httpx.Client
    ids: dict[str, str]

    def view(self) -> list[Any]:
        """Return all that it sees of its own."""
        paths = ("requests/{job_id}", "batches/{batch_id}", "batches/{batch_id}/results")
        seen = [self.client.get("/api/v1/" + path.format(**self.ids)) for path in paths]
        looked_up = self.client.post("/api/v1/cache/lookup", json={"message": QUESTION})
        assert [200] * 4 == [each.status_code for each in (*seen, looked_up)]
        return [*(each.text for each in seen), looked_up.json()["hit"]]


@pytest.fixture(scope="module")
def victim(router: Router) -> Iterator[Victim]:
    """Somebody who has asked, and has a batch, a conversation and a key."""
    with keyed_client(router.twin, tenant=VICTIM, role=Role.USER) as client:
        answer = client.post("/api/v1/chat", json={"message": QUESTION}, **SENT).json()
        client.post("/api/v1/chat", json={"message": "And who made one?", "conversation_id": "c-1"})
        batch = client.post("/api/v1/batches", json={"requests": [{"message": "What is a sundial?"}]}, **SENT).json()
        router.twin.drain()
        ids = {
            "job_id": answer["request_id"],
            "response_id": answer["request_id"].replace("req_", "resp_"),
            "entry_id": client.post("/api/v1/chat", json={"message": QUESTION}).json()["cache_entry_id"],
            "batch_id": batch["batch_id"],
            "key_id": router.http.post("/api/v1/keys", json={"tenant": VICTIM}).json()["key_id"],
        }
        yield Victim(client, ids)


@pytest.fixture(scope="module", params=[Role.USER, Role.ADMIN])
def attacker(request: pytest.FixtureRequest, router: Router) -> Iterator[httpx.Client]:
    """Somebody else, who may or may not be an administrator."""
    with keyed_client(router.twin, tenant=ATTACKER, role=request.param) as client:
        yield client


@pytest.fixture(scope="module")
def user(router: Router) -> Iterator[httpx.Client]:
    """Somebody else with a plain key."""
    with keyed_client(router.twin, tenant=ATTACKER, role=Role.USER) as client:
        yield client


def of(*reaches: Reach) -> list[str]:
    """Return the routes that reach so far."""
    return [route for route, reach in ROUTES.items() if reach in reaches]


def attack(client: httpx.Client, route: str, ids: dict[str, str], **more: Any) -> httpx.Response:
    """Ask a route for what these ids name, or for what the victim asked."""
    method, path = route.split()
    path = path.replace("{proxy+}", "nowhere")
    if method == "POST":
        more |= {"json": body(route, ids["job_id"])}
    response: httpx.Response = client.request(method, path.format(**{"provider": "o", "model": "m", **ids}), **more)
    return response


def body(route: str, job_id: str) -> dict[str, Any]:
    """Return the example of a route's body with the victim's question in it."""
    described = openapi()["paths"][route.split()[1]]["post"].get("requestBody")
    if described is None:
        return {}
    example: dict[str, Any] = described["content"]["application/json"]["example"]
    theirs = {
        "message": QUESTION,
        "messages": [{"role": "user", "content": QUESTION}],
        "input": QUESTION,
        "requests": [{"message": QUESTION}],
        "request_id": job_id,
    }
    return {name: theirs.get(name, value) for name, value in example.items()}


def told(response: httpx.Response) -> tuple[int, Any]:
    """Return what a response says, without its own id."""
    error = response.json()["error"]
    return response.status_code, {name: value for name, value in error.items() if name != "request_id"}


def test_every_route_is_classified(router: Router) -> None:
    """A new route is not there before somebody has said whose data it can reach."""
    routes = {route.key: route.authorizer for route in router.twin.template.events_of(Route)}

    assert ROUTES.keys() == routes.keys()
    assert set(of(Reach.OPEN)) == {key for key, authorizer in routes.items() if authorizer is None}


@pytest.mark.parametrize("route", of(Reach.NAMED))
def test_what_is_somebody_elses_is_not_there(victim: Victim, attacker: httpx.Client, route: str) -> None:
    """With the id of another tenant's thing nobody, an administrator neither, learns or changes anything."""
    before = victim.view()
    unknown = {name: f"{value[:-12]}{'0' * 12}" for name, value in victim.ids.items()}

    response = attack(attacker, route, victim.ids)

    assert 404 == response.status_code
    assert told(attack(attacker, route, unknown)) == told(response)
    assert before == victim.view()


@pytest.mark.parametrize("route", of(Reach.OWN, Reach.COMMON, Reach.OPEN))
def test_nothing_of_others_is_told(victim: Victim, user: httpx.Client, route: str) -> None:
    """The same questions, conversations and idempotency keys as the victim's show and change nothing of it."""
    before = victim.view()

    response = attack(user, route, victim.ids, **SENT)

    assert response.status_code < 500
    assert [] == [each for each in (VICTIM, *victim.ids.values()) if each in response.text]
    assert before == victim.view()


def test_answers_of_others_are_not_found(victim: Victim, router: Router) -> None:
    """Who is the first of a tenant to ask has his answer made, however often others have asked the same."""
    with keyed_client(router.twin, tenant="newcomer", role=Role.USER) as client:
        looked_up = client.post("/api/v1/cache/lookup", json={"message": QUESTION}).json()
        answer = client.post("/api/v1/chat", json={"message": QUESTION}, **SENT).json()

    assert (False, []) == (looked_up["hit"], looked_up["candidates"])
    assert (None, False) == (answer["cache_tier"], answer["was_cached"])
    assert answer["request_id"] != victim.ids["job_id"]


@pytest.mark.parametrize("route", REPORTS)
def test_users_name_no_other_tenant(victim: Victim, user: httpx.Client, route: str) -> None:
    """A plain key is refused another tenant's figures and cache, by name and all at once, and its own by name, too."""
    before = victim.view()

    assert [403] * 3 == [
        attack(user, route, victim.ids, params={"tenant": tenant}).status_code for tenant in (VICTIM, "all", ATTACKER)
    ]
    assert before == victim.view()


@pytest.mark.parametrize("route", of(Reach.ADMIN))
def test_users_reach_no_key(victim: Victim, user: httpx.Client, route: str) -> None:
    """A plain key is refused whatever concerns keys, whether there is such a key or not."""
    unknown = victim.ids | {"key_id": "key_000000000000"}

    assert [403, 403] == [attack(user, route, ids).status_code for ids in (victim.ids, unknown)]


@pytest.mark.parametrize("name", ["x-tenant", "tenant", "x-llm-router-tenant", "x-amzn-oidc-data", "x-forwarded-user"])
def test_no_header_says_who_asks(victim: Victim, user: httpx.Client, name: str) -> None:
    """The tenant is the key's, whatever else a request claims."""
    before = victim.view()
    report = user.get("/api/v1/analytics/summary", headers={name: VICTIM})
    looked_up = user.get("/api/v1/requests/{job_id}".format(**victim.ids), headers={name: VICTIM})

    assert (200, 404) == (report.status_code, looked_up.status_code)
    assert VICTIM not in report.text
    assert before == victim.view()


def test_no_field_says_who_asks(user: httpx.Client) -> None:
    """A body that names a tenant has an unknown field."""
    assert 422 == user.post("/api/v1/chat", json={"message": QUESTION, "tenant": VICTIM}).status_code
