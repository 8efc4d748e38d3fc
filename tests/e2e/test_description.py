"""The API does what its own description says, whatever the description allows to be sent and whatever it forbids."""

from copy import deepcopy
from typing import Any, Final

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.specs.openapi.checks import positive_data_acceptance, unsupported_method

from infra.local.dev_key import add_key, bearer
from llm_router.access.keys import Role
from status.description import openapi

SOME: Final = settings(
    max_examples=3, derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck)
)
NOT_CHECKED: Final = [
    # Rules between fields (`days` or `from` and `to`), and values that only an installation knows (models, buckets),
    # are in words in the description: JSON Schema has none for them, or none that a reader would understand.
    positive_data_acceptance,
    # An HTTP API has no 405: a path that has no such method is a 404, like any other that is unknown.
    unsupported_method,
]


def asking(**phases: Any) -> Any:
    """Return what makes requests of the description, some of them for things that there are."""
    document = deepcopy(openapi())
    for operation in (each for methods in document["paths"].values() for each in methods.values()):
        for parameter in operation["parameters"]:
            if parameter["in"] == "path":
                parameter["example"] = f"known {parameter['name']}"
    # The gateway's own tests send wrong keys; here the right one would only hide them.
    config = {"generation": {"with-security-parameters": False}, "phases": phases}
    return schemathesis.openapi.from_dict(document, config=schemathesis.Config.from_dict(config))


schemathesis.serializer.alias(["application/jsonl", "application/x-ndjson"], "text/plain")
# An administrator's key opens every door, so that is the one to try every boundary of every field with.
thorough = asking()
brief = asking(coverage={"enabled": False})


@pytest.fixture(scope="module")
def known(router: Any) -> dict[str, str]:
    """One of everything that has an id."""
    answer = router.answer("What is a binary tree?")
    batch = router.http.post("/api/v1/batches", json={"requests": [{"message": "What is a heap?"}]}).json()
    return {
        "known job_id": answer["request_id"],
        "known response_id": answer["request_id"].replace("req_", "resp_"),
        "known entry_id": answer["cache_entry_id"],
        "known batch_id": batch["batch_id"],
        "known key_id": router.http.post("/api/v1/keys", json={"tenant": "acme"}).json()["key_id"],
        "known provider": "ollama",
        "known model": "tinyllama",
    }


@pytest.fixture(scope="module")
def user_headers(router: Any) -> dict[str, str]:
    """The headers of a tenant that has nothing."""
    return bearer(add_key(router.twin, tenant="other", role=Role.USER))


@pytest.fixture(scope="module")
def admin_headers(router: Any) -> dict[str, str]:
    """The headers of the administrator to whom everything belongs."""
    return bearer(add_key(router.twin))


def test_description_is_the_one_that_is_served(router: Any) -> None:
    """What the tests below go by is what callers read."""
    assert openapi() == router.http.get("/openapi.json").json()


@thorough.parametrize()
@SOME
def test_every_answer_to_an_administrator_is_described(
    case: schemathesis.Case, router: Any, known: dict[str, str], admin_headers: dict[str, str]
) -> None:
    """No request has a server error, or a status, a type or a body that the description does not have."""
    ask(case, router, known, admin_headers)


@brief.parametrize()
@SOME
def test_every_answer_to_a_user_is_described(
    case: schemathesis.Case, router: Any, known: dict[str, str], user_headers: dict[str, str]
) -> None:
    """The same with a key that may not do everything, and to which nothing belongs that has an id."""
    ask(case, router, known, user_headers)


def ask(case: schemathesis.Case, router: Any, known: dict[str, str], headers: dict[str, str]) -> None:
    for name, value in case.path_parameters.items():
        case.path_parameters[name] = known.get(value, value) if isinstance(value, str) else value
    case.call_and_validate(base_url=router.twin.url, headers=headers, excluded_checks=NOT_CHECKED)
