from itertools import groupby
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_router.classification import Complexity
from llm_router.errors import InvalidRequestError, PromptTooLongError, RouterError, UnsupportedParameterError
from llm_router.models import Turn
from llm_router.openai.parameters import CHAT_COMPLETIONS, RESPONSES
from llm_router.openai.requests import ChatCompletionBody, parse_chat_completion
from llm_router.openai.response_requests import ResponseBody, parse_response
from llm_router.request_bodies import MAX_MESSAGE_CHARS, ChatRequest
from llm_router.sampling import ResponseFormat
from llm_router.validation import parse_json

ASKED = [{"role": "user", "content": "What is Python?"}]


def parsed(messages: object = ASKED, **fields: Any) -> ChatRequest:
    """Return the request that a body makes."""
    return parse_chat_completion({"model": "auto", "messages": messages, **fields}).request


def refusal(messages: object = ASKED, **fields: Any) -> tuple[str, str | None, str]:
    """Return code, field and rule of the error that a body is refused with."""
    with pytest.raises(InvalidRequestError) as caught:
        parsed(messages, **fields)
    return caught.value.code, caught.value.field, str(caught.value)


def said(role: str, content: object) -> dict[str, object]:
    """Return a message."""
    return {"role": role, "content": content}


def test_least() -> None:
    """A model and a message of the user's are enough."""
    assert ChatRequest(message="What is Python?") == parsed()


def test_everything() -> None:
    """All that the router can do is handed on under its own names."""
    schema = {"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "object"}, "strict": True}}
    request = parsed(
        temperature=0,
        top_p=0.5,
        frequency_penalty=1,
        presence_penalty=-1,
        seed=7,
        stop=["a", "b"],
        max_completion_tokens=9,
        response_format=schema,
        metadata={"team": "a"},
    )

    assert (0.0, 0.5, 1.0, -1.0, 7, ("a", "b"), 9) == (
        request.temperature,
        request.top_p,
        request.frequency_penalty,
        request.presence_penalty,
        request.seed,
        request.stop,
        request.max_tokens,
    )
    assert {"team": "a"} == request.metadata
    assert request.sampling.response_format is not None
    assert request.sampling.response_format.json_schema is not None
    assert {"type": "object"} == request.sampling.response_format.json_schema.schema


@pytest.mark.parametrize(
    ("model", "tier", "forced"),
    [
        ("auto", None, None),
        ("complex", Complexity.COMPLEX, None),
        ("llama3.2", None, "llama3.2"),
        ("ollama/llama3.2", None, "ollama/llama3.2"),
    ],
)
def test_model(model: str, tier: Complexity | None, forced: str | None) -> None:
    """The model's name leaves the choice to the router, names a tier, or a model."""
    request = parsed(model=model)

    assert (tier, forced) == (request.force_tier, request.force_model)


def test_messages() -> None:
    """Instructions become one, those of one role in a row too, and what comes before the question becomes turns."""
    request = parsed(
        [
            said("assistant", "Hello."),
            said("system", "Be brief."),
            said("user", "One?"),
            said("user", [{"type": "text", "text": "Or "}, {"type": "text", "text": "two?"}]),
            said("developer", "Be kind."),
            said("assistant", "Two."),
            said("user", "Sure?"),
        ]
    )

    assert "Be brief.\n\nBe kind." == request.system_prompt
    assert (Turn("", "Hello."), Turn("One?\n\nOr two?", "Two.")) == request.history
    assert "Sure?" == request.message


roles = st.sampled_from(["system", "developer", "user", "assistant"])
texts = st.text(alphabet="ab c", min_size=1, max_size=5).map("x{}".format)


@given(st.lists(st.tuples(roles, texts), max_size=12), texts)
def test_nothing_is_lost(before: list[tuple[str, str]], question: str) -> None:
    """Whatever the roles, the model gets every text, in its order, the instructions first."""
    messages = [said(role, text) for role, text in before] + [said("user", question)]
    request = parsed(messages)
    spoken = [(role, text) for role, text in [*before, ("user", question)] if role in {"user", "assistant"}]
    merged = [(role, "\n\n".join(text for _, text in run)) for role, run in groupby(spoken, lambda each: each[0])]
    turns = [pair for turn in request.history for pair in (("user", turn.question), ("assistant", turn.answer))]

    assert merged == [pair for pair in [*turns, ("user", request.message)] if pair[1]]
    assert "\n\n".join(text for role, text in before if role in {"system", "developer"}) == (
        request.system_prompt or ""
    )


def test_answer_that_comes_back() -> None:
    """A message as a client got it, with all that it leaves empty, can be sent again."""
    returned = said("assistant", "Two.") | {
        "refusal": None,
        "annotations": [],
        "audio": None,
        "function_call": None,
        "tool_calls": None,
    }

    assert (Turn("One?", "Two."),) == parsed([said("user", "One?"), returned, said("user", "Sure?")]).history


@pytest.mark.parametrize(
    ("messages", "field", "rule"),
    [
        ([], "messages", "must have at least 1 item"),
        ("Hello", "messages", "must be an array, not a string"),
        (["Hello"], "messages[0]", "must be an object, not a string"),
        ([said("assistant", "Hello")], "messages", "must end with a message of the user's"),
        ([said("system", "Hello")], "messages", "must end with a message of the user's"),
        ([*ASKED, said("system", "Hello")], "messages", "must end with a message of the user's"),
        ([said("user", " ")], "messages[0].content", "must not be blank"),
        ([said("user", 5)], "messages[0].content", "must be a string or an array, not a number"),
        ([said("user", ["Hello"])], "messages[0].content[0]", "must be an object, not a string"),
        ([said("user", [{"type": "text"}])], "messages[0].content[0].text", "is required"),
        ([{"role": "user"}], "messages[0].content", "is required"),
        ([{"content": "Hello"}], "messages[0].role", "is required"),
        ([ASKED[0] | {"mood": "glad"}], "messages[0].mood", "is not a known field"),
    ],
)
def test_wrong_messages(messages: object, field: str, rule: str) -> None:
    """Messages that make no question are refused by the path of what is wrong."""
    assert ("invalid_request", field, rule) == refusal(messages)


@pytest.mark.parametrize(
    ("messages", "field"),
    [
        ([said("user", [{"type": "image_url", "image_url": {"url": "…"}}])], "messages[0].content[0].type"),
        ([said("tool", "4"), *ASKED], "messages[0].role"),
        ([*ASKED, {"role": "assistant", "content": "", "tool_calls": [{}]}, *ASKED], "messages[1].tool_calls"),
        ([ASKED[0] | {"name": "Ann"}], "messages[0].name"),
    ],
)
def test_more_than_text(messages: object, field: str) -> None:
    """What is not text is refused by its path, and not left out."""
    code, found, _ = refusal(messages)

    assert ("unsupported_parameter", field) == (code, found)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("n", 2),
        ("n", True),
        ("logprobs", True),
        ("top_logprobs", 3),
        ("tools", [{"type": "function"}]),
        ("tool_choice", "required"),
        ("logit_bias", {"50256": -100}),
        ("modalities", ["text", "audio"]),
        ("audio", {"voice": "alloy"}),
        ("store", True),
        ("reasoning_effort", "high"),
        ("functions", [{}]),
    ],
)
def test_unsupported(name: str, value: object) -> None:
    """What the router cannot do is refused by its name."""
    assert ("unsupported_parameter", name, "is not supported") == refusal(**{name: value})


@pytest.mark.parametrize("name", CHAT_COMPLETIONS)
def test_harmless(name: str) -> None:
    """The same parameters ask for nothing where they are null, or at what is the default."""
    values = CHAT_COMPLETIONS[name]
    for value in (None, *(("anything",) if values is None else values)):
        assert parsed() == parsed(**{name: value})


@pytest.mark.parametrize(
    ("fields", "field", "rule"),
    [
        ({"max_tokens": 5, "max_completion_tokens": 5}, "max_completion_tokens", "must not come with `max_tokens`"),
        ({"stream_options": {"include_usage": True}}, "stream_options", "must come with `stream`"),
        ({"stop": ["a"] * 5}, "stop", "must have at most 4 items"),
        ({"top_p": 1.5}, "top_p", "must be at most 1"),
        ({"seed": 1.5}, "seed", "must be a whole number or null, not a decimal number"),
        ({"topp": 1}, "topp", "is not a known field"),
        ({"stream_options": {"usage": True}, "stream": True}, "stream_options.usage", "is not a known field"),
        ({"response_format": {"type": "xml"}}, "response_format.type", "is not one of the values it may have"),
        ({"response_format": {"type": "json_schema"}}, "response_format.json_schema", "is required"),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"name": "a b", "schema": {}}}},
            "response_format.json_schema.name",
            "must be 1 to 64 of A-Z, a-z, 0-9 and _ -",
        ),
    ],
)
def test_wrong_parameters(fields: dict[str, Any], field: str, rule: str) -> None:
    """A parameter that breaks its rule is refused by its path."""
    assert ("invalid_request", field, rule) == refusal(**fields)


def nested(depth: int) -> dict[str, Any]:
    """Return a schema with as many objects within each other."""
    schema: dict[str, Any] = {}
    for _ in range(depth - 1):
        schema = {"items": schema}
    return schema


@pytest.mark.parametrize("schema", [nested(17), {"enum": ["x" * 17_000]}, {"a": [[[nested(14)]]]}])
def test_schema_without_measure(schema: dict[str, Any]) -> None:
    """A schema that is too large or too deep is refused."""
    format_ = {"type": "json_schema", "json_schema": {"name": "a", "schema": schema}}

    assert "response_format.json_schema.schema" == refusal(response_format=format_)[1]


def test_bottomless_schema() -> None:
    """A schema as deep as JSON can just be read is refused like any other, wherever the reading gives up."""
    for depth in range(900, 1000):
        schema = '{"a":' * depth + "1" + "}" * depth
        form = f'{{"type": "json_schema", "json_schema": {{"name": "a", "schema": {schema}}}}}'
        body = f'{{"model": "auto", "messages": [{{"role": "user", "content": "a"}}], "response_format": {form}}}'
        with pytest.raises(RouterError):
            parse_chat_completion(parse_json(body.encode(), dict[str, Any]))


def test_deepest_schema() -> None:
    """A schema may have 16 objects within each other."""
    format_ = {"type": "json_schema", "json_schema": {"name": "a", "schema": nested(16)}}

    assert parsed(response_format=format_).sampling.response_format is not None


def test_free_text() -> None:
    """The format `text` is no format: the request is the same as one without."""
    assert parsed().sampling == parsed(response_format={"type": "text"}).sampling
    assert (
        ResponseFormat(type="json_object") == parsed(response_format={"type": "json_object"}).sampling.response_format
    )


def test_any_json() -> None:
    """The format `json_object` is handed on."""
    request = parsed(response_format={"type": "json_object"})

    assert ResponseFormat(type="json_object") == request.sampling.response_format


def test_too_long() -> None:
    """Neither the question nor the instruction is cut."""
    text = "a" * (MAX_MESSAGE_CHARS + 1)
    for messages in ([said("user", text)], [said("system", text), *ASKED]):
        with pytest.raises(PromptTooLongError, match="32,001 characters"):
            parsed(messages)


def test_stream() -> None:
    """Whether the answer is to be a stream, with its tokens at the end, is told apart from the request."""
    streamed = parse_chat_completion(
        {"model": "auto", "messages": ASKED, "stream": True, "stream_options": {"include_usage": True}}
    )

    assert (True, True) == (streamed.is_streamed, streamed.includes_usage)
    assert parsed() == streamed.request


@pytest.mark.parametrize("document", [{}, {"model": "auto"}, {"messages": ASKED}])
def test_missing(document: dict[str, Any]) -> None:
    """Model and messages must be there."""
    with pytest.raises(InvalidRequestError, match="is required"):
        parse_chat_completion(document)


def test_unsupported_comes_first() -> None:
    """A caller learns what can never work before what he can correct."""
    with pytest.raises(UnsupportedParameterError):
        parse_chat_completion({"n": 2})


scalars = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(max_size=3))
names = st.sampled_from(
    ["role", "content", "type", "text", "name", "schema", "json_schema", "include_usage", "format", "id", "a"]
)
values = st.recursive(
    st.one_of(scalars, st.sampled_from(["user", "assistant", "system", "text", "json_schema", "message"])),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(names, inner, max_size=4)),
    max_leaves=12,
)
parameters = st.sampled_from(
    [*ChatCompletionBody.__struct_fields__, *ResponseBody.__struct_fields__, *CHAT_COMPLETIONS, *RESPONSES, "a"]
)


@given(st.dictionaries(parameters, values, max_size=6))
def test_anything(document: dict[str, Any]) -> None:
    """Whatever JSON comes, it makes a request or is refused with words for its caller."""
    for parse, least in (
        (parse_chat_completion, {"model": "auto", "messages": ASKED}),
        (parse_response, {"model": "auto", "input": "What is Python?"}),
    ):
        for body in (document, least | document):
            try:
                parse(body)
            except RouterError as error:
                assert str(error)  # noqa: PT017 - whether it is refused is not what is shown
