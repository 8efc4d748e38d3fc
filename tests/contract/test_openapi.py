"""The API's description, its routes in the template, and its routes in the code are one."""

from collections.abc import Iterator
from importlib import import_module
from typing import Any

from aws_lambda_powertools.event_handler import APIGatewayHttpResolver
from openapi_spec_validator import validate

from infra.local.resources import Route
from llm_router.api import STATUS
from llm_router.errors import InvalidRequestError
from status.description import openapi
from status.operations import OPERATIONS
from tests.contract.sam_template import TEMPLATE


def template_routes() -> dict[tuple[str, str], str]:
    """Return the function behind every route of the template, but for the one that answers 404 to anything else."""
    return {
        (route.method, route.path): TEMPLATE.functions[route.function].handler.partition(".")[0]
        for route in TEMPLATE.events_of(Route)
        if route.path != "/{proxy+}"
    }


def code_routes() -> dict[tuple[str, str], str]:
    """Return the function behind every route of the resolvers."""
    routes = {}
    for function in sorted({handler.partition(".")[0] for handler in handlers()}):
        app = getattr(import_module(f"{function}.app"), "app", None)
        if isinstance(app, APIGatewayHttpResolver):
            for route in app._static_routes + app._dynamic_routes:  # noqa: SLF001 - there is no public list
                path = route.path.replace("<", "{").replace(">", "}")
                routes[route.method, path] = function
    return routes


def handlers() -> Iterator[str]:
    """Yield the handlers of the template."""
    return (function.handler for function in TEMPLATE.functions.values())


def operations() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the name and the description of every operation."""
    for path, methods in openapi()["paths"].items():
        for method, operation in methods.items():
            yield f"{method.upper()} {path}", operation


def test_routes_agree() -> None:
    """Every route of the template is served by its function, and there are no others."""
    assert template_routes() == code_routes()


def test_routes_are_described() -> None:
    """Every route is described, and nothing else is."""
    described = [(operation.method.upper(), operation.path) for operation in OPERATIONS]

    assert sorted(template_routes()) == sorted(described)


def test_document_is_valid() -> None:
    """The document is valid OpenAPI 3.1."""
    validate(openapi())


def test_operation_ids() -> None:
    """Every operation has an id of its own, which client generators make names of."""
    ids = [operation["operationId"] for _, operation in operations()]

    assert sorted(set(ids)) == sorted(ids)
    assert all(each.replace("_", "").isalnum() for each in ids), ids


def test_errors_have_the_one_shape() -> None:
    """Every documented error has the shape of its path, but for health, whose 503 is a report, and the gateway's."""
    shapes = {
        (name, status): response["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
        for name, operation in operations()
        for status, response in operation["responses"].items()
        if int(status) >= 400 and status not in {"401", "403"}
    }

    assert "HealthResponse" == shapes.pop(("GET /health", "503"))
    assert {"ErrorBody"} == {shape for (name, _), shape in shapes.items() if " /v1/" not in name}
    assert {"OpenAIErrorBody"} == {shape for (name, _), shape in shapes.items() if " /v1/" in name}


def test_what_needs_a_key_says_so() -> None:
    """The description and the template agree about what is open; the rest documents what a bad key is answered with."""
    guarded = {route.key for route in TEMPLATE.events_of(Route) if route.authorizer is not None}
    described = {name for name, operation in operations() if "security" not in operation}
    refusing = {name for name, operation in operations() if {"401", "403"} <= operation["responses"].keys()}

    assert guarded - {"ANY /{proxy+}"} == described == refusing
    assert "ANY /{proxy+}" in guarded
    assert [{"key": []}] == openapi()["security"]


def test_body_errors_are_documented() -> None:
    """Every operation with a body documents what a bad one is answered with."""
    with_body = {name: operation for name, operation in operations() if "requestBody" in operation}

    def of_bad_bodies(name: str) -> set[int]:
        return {400, 413, 415} | (set() if " /v1/" in name else {STATUS[InvalidRequestError]})

    assert 9 == len(with_body)
    assert [] == [
        name
        for name, operation in with_body.items()
        if not of_bad_bodies(name) <= set(map(int, operation["responses"]))
    ]


def test_every_status_is_documented() -> None:
    """Every status that an error can have is documented somewhere, and no other error status is."""
    documented = {int(status) for _, operation in operations() for status in operation["responses"]}

    assert set(STATUS.values()) == {status for status in documented if status >= 400}


def test_responses_are_described() -> None:
    """Every response says in words what it means."""
    silent = [
        (name, status)
        for name, operation in operations()
        for status, response in operation["responses"].items()
        if not response["description"]
    ]

    assert [] == silent
