import json
from collections.abc import Iterable
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_router.batching.batch_bodies import BadLine
from llm_router.batching.batches import LineError
from llm_router.request_bodies import ChatRequest
from submit_batch.lines import Line
from submit_batch.prompts import Prompt, Sorter


def sort(*lines: object) -> tuple[list[Prompt], list[BadLine]]:
    """Sort lines that are given as JSON values, or as the bytes they are."""
    raw = [line if isinstance(line, bytes) else json.dumps(line).encode() for line in lines]
    return sorted_lines(Sorter(), [Line(number, each) for number, each in enumerate(raw, 1)])


def sorted_lines(sorter: Sorter, lines: Iterable[Line]) -> tuple[list[Prompt], list[BadLine]]:
    """Return the lines that can be asked, and the others."""
    portion = sorter.sort(lines)
    return list(portion.prompts), list(portion.bad)


def bad(*, line: int, custom_id: str | None = None, **error: str) -> BadLine:
    """Return a line that cannot be asked."""
    return BadLine(line=line, custom_id=custom_id, error=LineError(**error))


def openai(**changes: object) -> dict[str, Any]:
    """Return a line as OpenAI's batches have it, but for some fields; None leaves one out."""
    line = {
        "custom_id": "a",
        "method": "POST",
        "url": "/v1/chat/completions",
        "body": {"model": "auto", "messages": [{"role": "user", "content": "Hello"}]},
    }
    return {name: value for name, value in (line | changes).items() if value is not None}


def test_own_line() -> None:
    """A line has the fields of a chat request, and a name if its caller wants one."""
    prompts, errors = sort({"message": "One"}, {"custom_id": "b", "message": "Two", "max_tokens": 5})

    assert [] == errors
    assert [
        Prompt(1, None, ChatRequest(message="One")),
        Prompt(2, "b", ChatRequest(message="Two", max_tokens=5)),
    ] == prompts


def test_openai_line() -> None:
    """A line of OpenAI's batches asks the same question as its body would."""
    body = {
        "model": "ollama/llama3.2",
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello"}],
        "temperature": 0.5,
        "max_tokens": 7,
    }
    prompts, errors = sort(openai(), openai(custom_id="b", body=body))
    asked = ChatRequest(
        message="Hello", system_prompt="Be brief.", force_model="ollama/llama3.2", temperature=0.5, max_tokens=7
    )

    assert [] == errors
    assert [Prompt(1, "a", ChatRequest(message="Hello")), Prompt(2, "b", asked)] == prompts


@pytest.mark.parametrize(
    ("line", "error"),
    [
        (b"{", bad(line=1, code="malformed_body", field="body", message="must be JSON in UTF-8")),
        (
            b'{"message": "\xff"}',
            bad(line=1, code="malformed_body", field="body", message="must be JSON in UTF-8"),
        ),
        (b"5", bad(line=1, code="invalid_request", field="body", message="must be an object, not a number")),
        ({}, bad(line=1, code="invalid_request", field="message", message="is required")),
        (
            {"custom_id": "a", "message": " "},
            bad(line=1, custom_id="a", code="invalid_request", field="message", message="must not be blank"),
        ),
        (
            {"custom_id": "a", "message": "b", "batch_id": "c"},
            bad(line=1, custom_id="a", code="invalid_request", field="batch_id", message="is not a known field"),
        ),
        (
            {"custom_id": 5, "message": "b"},
            bad(line=1, code="invalid_request", field="custom_id", message="must be a string or null, not a number"),
        ),
        (
            {"custom_id": "x" * 129, "message": "b"},
            bad(
                line=1,
                custom_id="x" * 128,
                code="invalid_request",
                field="custom_id",
                message="must be 1 to 128 visible characters of ASCII",
            ),
        ),
        (
            openai(method="GET"),
            bad(line=1, custom_id="a", code="invalid_request", field="method", message="must be POST"),
        ),
        (
            openai(url="/v1/embeddings"),
            bad(line=1, custom_id="a", code="invalid_request", field="url", message="must be /v1/chat/completions"),
        ),
        (openai(custom_id=None), bad(line=1, code="invalid_request", field="custom_id", message="is required")),
        (
            openai(body=None),
            bad(line=1, custom_id="a", code="invalid_request", field="body", message="is required"),
        ),
        (
            openai(body={"messages": []}),
            bad(
                line=1,
                custom_id="a",
                code="invalid_request",
                field="body.messages",
                message="must have at least 1 item",
            ),
        ),
        (
            openai(body=5),
            bad(line=1, custom_id="a", code="invalid_request", field="body", message="must be an object, not a number"),
        ),
    ],
)
def test_wrong_line(line: object, error: LineError) -> None:
    """A line that breaks a rule is told by its number, its name where that can be read, and the rule."""
    assert ([], [error]) == sort(line)


def test_long_line() -> None:
    """A line that was too long to be read is refused, and the others are not."""
    prompts, errors = sorted_lines(Sorter(), [Line(1, None), Line(2, b'{"message": "Hello"}')])

    assert [
        bad(line=1, code="request_too_large", field="body", message="must not have more than 1,000,000 bytes")
    ] == errors
    assert [2] == [prompt.line for prompt in prompts]


def test_names_are_told_apart() -> None:
    """The second line of a name is refused with the number of the first, also when it is read later."""
    sorter = Sorter()
    first, _ = sorted_lines(sorter, [Line(1, b'{"message": "One", "custom_id": "a"}')])
    prompts, errors = sorted_lines(
        sorter, [Line(5, b'{"message": "Two", "custom_id": "a"}'), Line(6, b'{"message": "Three", "custom_id": "b"}')]
    )

    assert ([1], [6]) == ([prompt.line for prompt in first], [prompt.line for prompt in prompts])
    assert [
        bad(line=5, custom_id="a", code="invalid_request", field="custom_id", message="is the name of line 1, too")
    ] == errors


@given(st.lists(st.binary(max_size=200) | st.recursive(st.none() | st.text() | st.floats(), st.lists)))
def test_whatever_comes(lines: list[object]) -> None:
    """Every line is told, whatever it is, in its order, and can be repeated to its caller."""
    raw = [line if isinstance(line, bytes) else json.dumps(line).encode() for line in lines]
    prompts, errors = sorted_lines(Sorter(), [Line(number, each) for number, each in enumerate(raw, 1)])

    assert list(range(1, len(raw) + 1)) == sorted(each.line for each in [*prompts, *errors])
    assert msgspec.json.encode(errors)
