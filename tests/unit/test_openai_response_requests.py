from typing import Any

import pytest

from llm_router.errors import InvalidRequestError
from llm_router.models import Turn
from llm_router.openai.parameters import RESPONSES
from llm_router.openai.response_requests import parse_response
from llm_router.request_bodies import ChatRequest
from llm_router.sampling import JsonSchema, ResponseFormat

LEAST: dict[str, Any] = {"model": "auto", "input": "What is Python?"}


def parsed(**fields: Any) -> ChatRequest:
    """Return the request that a body makes."""
    return parse_response(LEAST | fields).request


def refusal(**fields: Any) -> tuple[str, str | None, str]:
    """Return code, field and rule of the error that a body is refused with."""
    with pytest.raises(InvalidRequestError) as caught:
        parsed(**fields)
    return caught.value.code, caught.value.field, str(caught.value)


def test_least() -> None:
    """A model and an input are enough, and nobody stays in the background unasked."""
    assert ChatRequest(message="What is Python?") == parsed()
    assert not parse_response(LEAST).in_background
    assert parse_response(LEAST | {"background": True}).in_background


def test_everything() -> None:
    """All that the router can do is handed on under its own names."""
    request = parsed(temperature=0, top_p=0.5, max_output_tokens=9, metadata={"team": "a"}, model="llama3.2")

    assert (0.0, 0.5, 9, {"team": "a"}, "llama3.2") == (
        request.temperature,
        request.top_p,
        request.max_tokens,
        request.metadata,
        request.force_model,
    )


def test_input_of_messages() -> None:
    """Instructions come before those among the messages, whose earlier ones are turns."""
    request = parsed(
        instructions="Be brief.",
        input=[
            {"type": "message", "role": "developer", "content": "Be kind."},
            {"role": "user", "content": [{"type": "input_text", "text": "One?"}]},
            {
                "id": "msg_1",
                "type": "message",
                "role": "assistant",
                "status": "completed",
                "content": [{"type": "output_text", "text": "Two.", "annotations": [], "logprobs": []}],
            },
            {"role": "user", "content": "Sure?"},
        ],
    )

    assert ("Be brief.\n\nBe kind.", (Turn("One?", "Two."),), "Sure?") == (
        request.system_prompt,
        request.history,
        request.message,
    )


@pytest.mark.parametrize(
    ("wanted", "form"),
    [
        ({}, None),
        ({"verbosity": "medium"}, None),
        ({"format": {"type": "text"}}, None),
        ({"format": {"type": "json_object"}}, ResponseFormat(type="json_object")),
        (
            {"format": {"type": "json_schema", "name": "a", "schema": {"type": "object"}, "strict": True}},
            ResponseFormat(
                type="json_schema", json_schema=JsonSchema(name="a", schema={"type": "object"}, strict=True)
            ),
        ),
    ],
)
def test_format(wanted: dict[str, Any], form: ResponseFormat | None) -> None:
    """The form of the answer is the same as in chat completions, though it is written in another way."""
    assert form == parsed(text=wanted).sampling.response_format


@pytest.mark.parametrize(
    ("fields", "field", "rule"),
    [
        ({"input": []}, "input", "must have at least 1 item"),
        ({"input": ""}, "input", "must have at least 1 character"),
        ({"input": 5}, "input", "must be a string or an array, not a number"),
        ({"max_output_tokens": 0}, "max_output_tokens", "must be at least 1"),
        ({"seed": 1}, "seed", "is not a known field"),
        ({"metadata": {str(number): "a" for number in range(17)}}, "metadata", "must have at most 16 fields"),
        ({"text": {"format": {"type": "json_schema", "name": "a"}}}, "text.format.schema", "is required"),
        ({"text": {"format": {"type": "json_schema", "schema": {}}}}, "text.format.name", "is required"),
        ({"text": {"format": {"name": "a"}}}, "text.format.name", "must come with the type json_schema"),
        ({"text": "short"}, "text", "must be an object or null, not a string"),
        (
            {"text": {"format": {"type": "json_schema", "name": "a", "schema": {"enum": ["a" * 20_000]}}}},
            "text.format.schema",
            "must not have more than 16,384 bytes",
        ),
    ],
)
def test_wrong(fields: dict[str, Any], field: str, rule: str) -> None:
    """What breaks a rule is refused by its path."""
    assert ("invalid_request", field, rule) == refusal(**fields)


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"stream": True}, "stream"),
        ({"store": False}, "store"),
        ({"previous_response_id": "resp_1"}, "previous_response_id"),
        ({"conversation": "conv_1"}, "conversation"),
        ({"tools": [{"type": "web_search"}]}, "tools"),
        ({"include": ["message.output_text.logprobs"]}, "include"),
        ({"reasoning": {"effort": "high"}}, "reasoning"),
        ({"truncation": "auto"}, "truncation"),
        ({"text": {"verbosity": "low"}}, "text.verbosity"),
        ({"input": [{"type": "function_call_output", "call_id": "1", "output": "4"}]}, "input[0].type"),
        ({"input": [{"role": "user", "content": [{"type": "input_image"}]}]}, "input[0].content[0].type"),
    ],
)
def test_unsupported(fields: dict[str, Any], field: str) -> None:
    """What the router cannot do is refused by its path."""
    code, found, _ = refusal(**fields)

    assert ("unsupported_parameter", field) == (code, found)


@pytest.mark.parametrize("name", RESPONSES)
def test_harmless(name: str) -> None:
    """The same parameters ask for nothing where they are null, or at what is the default."""
    values = RESPONSES[name]
    for value in (None, *(("anything",) if values is None else values)):
        assert parsed() == parsed(**{name: value})
