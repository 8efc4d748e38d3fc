from typing import Annotated, Any, Literal

import msgspec
import pytest
from msgspec import Meta

from llm_router.access.key_bodies import NewKeyRequest
from llm_router.errors import InvalidRequestError
from llm_router.models import FeedbackVerdict
from llm_router.request_bodies import ConversationId, Message
from llm_router.validation import in_words, parse_json


def sentence(value: object, kind: Any) -> str:
    """Return what msgspec says of a value that is not of a kind."""
    with pytest.raises(msgspec.ValidationError) as caught:
        msgspec.json.decode(msgspec.json.encode(value), type=kind)
    return str(caught.value)


@pytest.mark.parametrize(
    ("value", "kind", "words"),
    [
        (7, str, "must be a string, not a number"),
        (1.5, str, "must be a string, not a decimal number"),
        (True, str, "must be a string, not a boolean"),
        ([], str | None, "must be a string or null, not an array"),
        ({}, str, "must be a string, not an object"),
        (1.5, int, "must be a whole number, not a decimal number"),
        ("1", float, "must be a number, not a string"),
        (None, bool, "must be true or false, not null"),
        (1, dict, "must be an object, not a number"),
        (1, list, "must be an array, not a number"),
    ],
)
def test_type(value: object, kind: Any, words: str) -> None:
    """A value of the wrong type is told what it must be and what it is."""
    assert words == in_words(sentence(value, kind))


@pytest.mark.parametrize(
    ("value", "limits", "words"),
    [
        ("", Meta(min_length=1), "must have at least 1 character"),
        ("a", Meta(min_length=2), "must have at least 2 characters"),
        ("aa", Meta(max_length=1), "must have at most 1 character"),
        ("a" * 32_001, Meta(max_length=32_000), "must have at most 32,000 characters"),
    ],
)
def test_length(value: str, limits: Meta, words: str) -> None:
    """A text that is too short or too long is told the bound in characters."""
    assert words == in_words(sentence(value, Annotated[str, limits]))


@pytest.mark.parametrize(
    ("value", "limits", "words"),
    [
        ([], Meta(min_length=1), "must have at least 1 item"),
        ([1] * 101, Meta(max_length=100), "must have at most 100 items"),
    ],
)
def test_items(value: list[int], limits: Meta, words: str) -> None:
    """A list that is too short or too long is told the bound in items."""
    assert words == in_words(sentence(value, Annotated[list[int], limits]))


@pytest.mark.parametrize(
    ("value", "limits", "words"),
    [({}, Meta(min_length=1), "must have at least 1 field"), ({"a": 1, "b": 2}, Meta(max_length=1), "at most 1 field")],
)
def test_fields(value: dict[str, int], limits: Meta, words: str) -> None:
    """An object with too few or too many fields is told the bound in fields."""
    assert in_words(sentence(value, Annotated[dict[str, int], limits])).endswith(words)


@pytest.mark.parametrize(
    ("value", "kind", "words"),
    [
        (0, Annotated[int, Meta(ge=1)], "must be at least 1"),
        (5_000, Annotated[int, Meta(le=4_096)], "must be at most 4,096"),
        (0, Annotated[float, Meta(gt=0)], "must be more than 0"),
        (1, Annotated[float, Meta(lt=0.25)], "must be less than 0.25"),
        (-3, Annotated[float, Meta(ge=-2)], "must be at least -2"),
        (1e9, Annotated[float, Meta(le=1_234_567.5)], "must be at most 1,234,567.5"),
    ],
)
def test_range(value: float, kind: Any, words: str) -> None:
    """A number out of its range is told the bound that it breaks."""
    assert words == in_words(sentence(value, kind))


@pytest.mark.parametrize(
    ("value", "kind", "words"),
    [
        (" \n", Message, "must not be blank"),
        ("a b", ConversationId, "must be 1 to 128 of A-Z, a-z, 0-9 and _ . : -"),
    ],
)
def test_pattern(value: str, kind: Any, words: str) -> None:
    """The patterns that the API has are put in words."""
    assert words == in_words(sentence(value, kind))


@pytest.mark.parametrize("value", ["WRONG", "right\n" * 9_000])
def test_value(value: str) -> None:
    """A value that is not among those allowed is not repeated: it may be of any length."""
    assert "is not one of the values it may have" == in_words(sentence(value, FeedbackVerdict))


def test_choices() -> None:
    """Where the kind is known, the values that are allowed are named."""
    said = sentence("bad", FeedbackVerdict)

    assert "must be wrong or right" == in_words(said, FeedbackVerdict)
    assert "must be queue or inline" == in_words(said, Literal["queue", "inline"])


def test_number_out_of_range() -> None:
    """A number that no float can hold is told so."""
    with pytest.raises(msgspec.ValidationError) as caught:
        msgspec.json.decode(b"1e999", type=float)

    assert "is a number out of range" == in_words(str(caught.value))


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ("b", Annotated[str, Meta(pattern="^a$")]),
        (3, Annotated[int, Meta(multiple_of=2)]),
        (b"a", Annotated[bytes, Meta(min_length=2)]),
        (1, bytes),
    ],
)
def test_unknown_sentence(value: object, kind: Any) -> None:
    """A sentence that nobody put in words comes through as it is."""
    plain = sentence(value, kind)

    assert plain == in_words(plain)


@pytest.mark.parametrize("body", [b'{"seed": 1e400}', b'{"messages": [{"content": 1e400}]}'])
def test_number_out_of_range_in_an_object_without_declared_fields(body: bytes) -> None:
    """Where the field's name is not told, it is the body that has it."""
    with pytest.raises(InvalidRequestError, match="has a number out of range") as caught:
        parse_json(body, dict[str, Any])

    assert "body" == caught.value.field


@pytest.mark.parametrize(
    ("name", "rule"),
    [("", "names must have at least 1 character"), ("a" * 65, "names must have at most 64 characters")],
)
def test_name_of_a_note(name: str, rule: str) -> None:
    """A name that the caller chose is told by the field that it stands in."""
    with pytest.raises(InvalidRequestError) as caught:
        parse_json(msgspec.json.encode({"tenant": "acme", "labels": {name: "a"}}), NewKeyRequest)

    assert ("labels", rule) == (caught.value.field, str(caught.value))
