"""What the Ollama stand-in says and counts."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.local.ollama_answers import (
    CHARS_PER_TOKEN,
    MOST_SENTENCES,
    compose,
    count_prompt_tokens,
    in_form,
    tokens,
    until,
)


@given(st.text())
def test_tokens_make_up_the_text(text: str) -> None:
    """Tokens joined are the text with single spaces, and none is longer than a token is."""
    pieces = tokens(text)

    assert "".join(pieces) == " ".join(text.split())
    assert all(1 <= len(piece.strip()) <= CHARS_PER_TOKEN for piece in pieces)


@given(st.lists(st.text(min_size=1), min_size=1, max_size=3))
def test_every_question_has_one_answer(contents: list[str]) -> None:
    """Whatever is asked, the answer says what answers, and is the same each time."""
    answer = compose("tinyllama", contents)

    assert "stand-in" in answer
    assert answer == compose("tinyllama", contents)


def test_answer_length_is_bounded() -> None:
    """A very long question does not have a very long answer."""
    assert compose("m", ["word " * 10_000]).count(". ") <= MOST_SENTENCES + 1


@pytest.mark.parametrize(
    ("contents", "count"), [([], 0), (["Hi"], 9), (["Be brief.", "Python decorators"], 8 + 3 + 8 + 4)]
)
def test_prompt_tokens_are_counted_per_message(contents: list[str], count: int) -> None:
    """Every message costs its tokens and those of the chat template."""
    assert count_prompt_tokens(contents) == count


@pytest.mark.parametrize(
    ("stops", "text"), [([], "one two three"), (["two"], "one "), (["three", "e"], "on"), (["four"], "one two three")]
)
def test_stop(stops: list[str], text: str) -> None:
    """The answer ends before the first of the stop sequences that comes."""
    assert text == until("one two three", stops)


SCHEMA = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "age": {"type": "integer"},
        "sizes": {"type": "array", "items": {"type": "number"}},
        "kind": {"enum": ["a", "b"]},
        "is_old": {"type": "boolean"},
        "rest": {"type": "null"},
    },
}


def test_form() -> None:
    """With a format the answer is JSON, with a schema an object of that form; without, it is text."""
    shaped = {"name": "four", "age": 4, "sizes": [4], "kind": "a", "is_old": True, "rest": None}

    assert "four" == in_form("four", None)
    assert {"answer": "four"} == json.loads(in_form("four", "json"))
    assert shaped == json.loads(in_form("four", SCHEMA))
