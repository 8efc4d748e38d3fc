"""LangChain's ChatOpenAI against the twin, with nothing changed but its base URL."""

from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage
from langchain_openai import ChatOpenAI

MESSAGES = [
    SystemMessage("Be brief."),
    HumanMessage("What is a loom?"),
    AIMessage("It weaves cloth."),
    HumanMessage("How old is it?"),
]


@pytest.fixture
def model(router: Any) -> ChatOpenAI:
    """The model as a program would build it."""
    key = router.http.headers.get("authorization", "Bearer none").removeprefix("Bearer ")
    return ChatOpenAI(model="auto", base_url=f"{router.twin.url}/v1", api_key=key, max_retries=0)


def test_answer(model: ChatOpenAI, router: Any) -> None:
    """An instruction, turns and a question reach the box, and the answer has its tokens and its end."""
    answer = model.invoke(MESSAGES)

    assert ["system", "user", "assistant", "user"] == [each.role for each in router.box.calls[-1].messages]
    assert str(answer.content).startswith("You asked tinyllama: How old is it?")
    assert "stop" == answer.response_metadata["finish_reason"]
    assert answer.usage_metadata is not None
    assert answer.usage_metadata["output_tokens"] > 0


def test_stream(model: ChatOpenAI) -> None:
    """A stream adds up to the whole answer."""
    whole = model.invoke("What is a spindle?")
    streamed = "".join(str(chunk.content) for chunk in model.stream("What is a spindle?"))

    assert whole.content == streamed


def test_parameters(model: ChatOpenAI, router: Any) -> None:
    """What LangChain calls by names of its own reaches the box, too."""
    model.bind(stop=["END"], temperature=0.2, seed=3, max_tokens=9).invoke("What is a shuttle?")
    options = router.box.calls[-1].options

    assert (["END"], 0.2, 3, 9) == tuple(options[name] for name in ("stop", "temperature", "seed", "num_predict"))


def test_structured_output(model: ChatOpenAI, router: Any) -> None:
    """A schema is handed to the box as the form of the answer."""
    schema = {"title": "Loom", "type": "object", "properties": {"age": {"type": "integer"}}, "required": ["age"]}
    answer = model.with_structured_output(schema, method="json_schema").invoke("How old is a loom?")

    assert {"age": {"type": "integer"}} == router.box.calls[-1].format["properties"]
    assert isinstance(answer, dict)
    assert isinstance(answer["age"], int)


def test_responses(model: ChatOpenAI) -> None:
    """LangChain can also ask through responses."""
    answer = model.model_copy(update={"use_responses_api": True}).invoke("What is a bobbin?")

    assert answer.text.startswith("You asked tinyllama: What is a bobbin?")
