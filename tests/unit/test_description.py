import re

import msgspec

from status.description import docs_page, openapi
from status.operations import OPERATIONS


def test_document_is_json() -> None:
    """The description can be written as JSON as it is."""
    document = openapi()

    assert document == msgspec.json.decode(msgspec.json.encode(document))


def test_chat_body() -> None:
    """The limits that a request is checked against are the ones described."""
    schema = openapi()["components"]["schemas"]["ChatRequest"]

    assert ["message"] == schema["required"]
    assert schema["additionalProperties"] is False
    assert (1, 32_000) == (schema["properties"]["message"]["minLength"], schema["properties"]["message"]["maxLength"])
    assert (0, 25) == (
        schema["properties"]["wait_seconds"]["minimum"],
        schema["properties"]["wait_seconds"]["maximum"],
    )


def test_examples_can_be_sent() -> None:
    """Every operation with a body shows one that it would accept."""
    with_body = [operation for operation in OPERATIONS if operation.body is not None]
    shown = [
        openapi()["paths"][each.path][each.method]["requestBody"]["content"]["application/json"]["example"]
        for each in with_body
    ]

    accepted = [
        msgspec.json.decode(msgspec.json.encode(example), type=each.body)
        for each, example in zip(with_body, shown, strict=True)
    ]

    assert [each.body for each in with_body] == [type(body) for body in accepted]


def test_statuses_are_in_order() -> None:
    """The statuses of an operation are listed from the lowest to the highest."""
    listed = [list(map(int, each["responses"])) for methods in openapi()["paths"].values() for each in methods.values()]

    assert [sorted(statuses) for statuses in listed] == listed
    assert [200, 202, 400, 401, 403, 409, 413, 415, 422, 429, 502, 503, 504] in listed


def test_status_of_its_own_meaning() -> None:
    """A status that means something of its own in one operation is described by that."""
    paths = openapi()["paths"]
    descriptions = [paths[path]["get"]["responses"]["503"]["description"] for path in ("/health", "/api/v1/models")]

    assert [
        "New questions cannot be answered; `parts` says why.",
        "Not possible right now; trying again later can help.",
    ] == descriptions


def test_docs_page() -> None:
    """The page carries the whole document and loads nothing from anywhere."""
    page = docs_page()

    assert "/api/v1/cache/lookup" in page
    assert [] == re.findall(r"<(?:script|link|img)[^>]*\s(?:src|href)=", page.split("<body>")[0])
    assert 2 == page.count("</script>")


def test_fields_say_what_they_mean() -> None:
    """A docstring under a field is its description; one that is written otherwise stays."""
    schemas = openapi()["components"]["schemas"]

    assert "Since a worker began it." == schemas["PendingResponse"]["properties"]["running_ms"]["description"]
    assert "What the user wrote; not blank." == schemas["CacheQuestion"]["properties"]["message"]["description"]
    assert "description" not in schemas["Period"]["properties"]["first_day"]
