import re

import msgspec

from status.description import docs_page, openapi


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


def test_docs_page() -> None:
    """The page carries the whole document and loads nothing from anywhere."""
    page = docs_page()

    assert "/api/v1/cache/lookup" in page
    assert [] == re.findall(r"<(?:script|link|img)[^>]*\s(?:src|href)=", page.split("<body>")[0])
    assert 2 == page.count("</script>")
