import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_router.errors import InvalidRequestError, MalformedBodyError
from llm_router.strict_json import MAX_DEPTH, refuse_ambiguous
from llm_router.validation import parse_json

DOCUMENTS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)


@given(document=DOCUMENTS, is_ascii=st.booleans())
def test_document_without_doubles_passes(*, document: Any, is_ascii: bool) -> None:
    """Whatever has each key once is fit, however its characters are written."""
    assert refuse_ambiguous(json.dumps(document, ensure_ascii=is_ascii).encode()) is None


@pytest.mark.parametrize(
    ("body", "key"),
    [
        (b'{"a": 1, "a": 1}', "a"),
        (b'{"a": 1, "\\u0061": 2}', "a"),
        (b'{"b": [{"c": {"d": 1, "e": 2, "d": 3}}]}', "d"),
        (b'{"": 1, "": 2}', ""),
        (b'{"x\\n": 1, "x\\u000a": 2}', "x\n"),
    ],
)
def test_key_that_is_there_twice_is_named(body: bytes, key: str) -> None:
    """Parsers differ in which of the two they take, so neither is, at any depth and however it is written."""
    with pytest.raises(MalformedBodyError) as caught:
        parse_json(body, dict[str, Any])

    assert (key, "must not be there twice") == (caught.value.field, str(caught.value))


def test_name_of_a_long_key_is_cut() -> None:
    """A caller does not get a megabyte back."""
    body = f'{{"{"k" * 1000}": 1, "{"k" * 1000}": 2}}'.encode()

    with pytest.raises(MalformedBodyError) as caught:
        parse_json(body, dict[str, Any])

    assert "k" * 64 == caught.value.field


@pytest.mark.parametrize(("opening", "closing"), [(b"[[", b"]]"), (b'{"a":{"a":', b"}}"), (b'[{"a":', b"}]")])
def test_nesting_is_bounded(opening: bytes, closing: bytes) -> None:
    """A document may be MAX_DEPTH deep, and no deeper."""
    deepest = opening * (MAX_DEPTH // 2) + b"1" + closing * (MAX_DEPTH // 2)

    assert refuse_ambiguous(deepest) is None
    with pytest.raises(MalformedBodyError, match="nested deeper than 64"):
        refuse_ambiguous(b"[" + deepest + b"]")


def test_brackets_in_text_are_no_nesting() -> None:
    """Programs and their escaped quotes are text."""
    assert refuse_ambiguous(json.dumps({"message": '[{"\\' * 1000}).encode()) is None


def test_many_neighbours_are_no_nesting() -> None:
    """Width is bounded by the size alone."""
    assert refuse_ambiguous(json.dumps([[], {}] * 10_000).encode()) is None


@pytest.mark.parametrize("depth", [1_000, 100_000, 500_000])
def test_abyss_is_malformed(depth: int) -> None:
    """No depth ends the parser: it is the caller's error like any other."""
    with pytest.raises(MalformedBodyError):
        parse_json(b'{"a":' + b"[" * depth + b"]" * depth + b"}", dict[str, Any])


@pytest.mark.parametrize(
    "number", [b"9" * 5_000, b"1e999999", b"-1e400", b"9" * 200_000 + b".5"], ids=["digits", "exponent", "e400", "long"]
)
def test_number_out_of_range_is_refused(number: bytes) -> None:
    """A number that no double can hold is a rule that is broken, and not converted digit by digit."""
    with pytest.raises(InvalidRequestError, match=r"(is|has) a number out of range"):
        parse_json(b'{"a": ' + number + b"}", dict[str, Any])


@pytest.mark.parametrize(
    "body", [b'{"a": "\xff"}', b'{"a": "\\ud800"}', b'{"\\udfff": 1}', b'{"a": "\x00"}', b"{}\x00"]
)
def test_text_that_is_no_unicode_is_malformed(body: bytes) -> None:
    """Half characters, bytes that are none and bare control characters go no further."""
    with pytest.raises(MalformedBodyError, match="must be JSON in UTF-8"):
        parse_json(body, dict[str, Any])
