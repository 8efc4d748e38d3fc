"""The official OpenAI client against the twin, with nothing changed but its base URL."""

import asyncio
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import openai
import pytest
from pydantic import BaseModel

from infra.local.ollama_exchange import Behaviour, Fault
from llm_router.openai.completions import PIECE_CHARS

SLOW = Behaviour(token_delay_s=0.2)
"""About ten seconds for an answer: what is to happen meanwhile happens meanwhile."""
STAND_IN = "ollama/tinyllama+stand-in"


def of_router(router: Any) -> dict[str, Any]:
    """Return the arguments of a client of the router."""
    key = router.http.headers.get("authorization", "Bearer none").removeprefix("Bearer ")
    return {"base_url": f"{router.twin.url}/v1", "api_key": key, "max_retries": 0}


@pytest.fixture(scope="module")
def client(router: Any) -> Iterator[openai.OpenAI]:
    """The client as a program would build it, but that it asks once."""
    with openai.OpenAI(**of_router(router)) as built:
        yield built


def asked(question: str) -> list[Any]:
    """Return the messages of a single question."""
    return [{"role": "user", "content": question}]


def heard(router: Any) -> list[tuple[str, str]]:
    """Return what the box was sent last, by role."""
    return [(each.role, each.content) for each in router.box.calls[-1].messages]


def test_answer(client: openai.OpenAI) -> None:
    """A question is answered in OpenAI's shape, and again from the cache; headers tell what the router did."""
    first = client.chat.completions.with_raw_response.create(model="auto", messages=asked("What is a lantern?"))
    again = client.chat.completions.with_raw_response.create(model="auto", messages=asked("What is a lantern?"))
    reworded = client.chat.completions.with_raw_response.create(model="auto", messages=asked("what's a lantern"))
    answer, hit = first.parse(), again.parse()

    assert ("chat.completion", STAND_IN, "stop") == (answer.object, answer.model, answer.choices[0].finish_reason)
    assert answer.choices[0].message.content is not None
    assert answer.choices[0].message.content.startswith("You asked tinyllama: What is a lantern?")
    assert answer.usage is not None
    assert answer.usage.prompt_tokens + answer.usage.completion_tokens == answer.usage.total_tokens
    assert answer.usage.total_tokens > 0
    assert answer.system_fingerprint
    assert f"req_{answer.id.removeprefix('chatcmpl-')}" == first.headers["x-request-id"]
    assert ("miss", "simple", STAND_IN) == tuple(
        first.headers[f"x-router-{name}"] for name in ("cache", "complexity", "model")
    )
    assert float(first.headers["x-router-cost-usd"]) > 0
    assert ("exact", "0.000000000") == (again.headers["x-router-cache"], again.headers["x-router-cost-usd"])
    assert answer.choices == hit.choices
    assert "semantic" == reworded.headers["x-router-cache"]
    assert 0.85 <= float(reworded.headers["x-router-similarity"]) < 1
    assert "x-router-similarity" not in first.headers
    assert "x-router-similarity" not in again.headers


def test_parameters_reach_the_box(client: openai.OpenAI, router: Any) -> None:
    """What the client wants of the model is what the box is asked for, and a cut answer says so."""
    schema = {"type": "object", "properties": {"name": {"type": "string"}}}
    answer = client.chat.completions.create(
        model="llama3.2",
        messages=[{"role": "system", "content": "Be brief."}, *asked("Describe a candle")],
        temperature=0.5,
        top_p=0.9,
        seed=7,
        stop=["END"],
        max_completion_tokens=3,
        presence_penalty=0.5,
        response_format={"type": "json_schema", "json_schema": {"name": "candle", "schema": schema}},
        user="somebody",
    )
    sent = router.box.calls[-1]

    assert [("system", "Be brief."), ("user", "Describe a candle")] == heard(router)
    assert ("llama3.2", schema) == (sent.model, sent.format)
    assert {
        "num_ctx": 10_240,
        "num_predict": 3,
        "temperature": 0.5,
        "top_p": 0.9,
        "seed": 7,
        "stop": ["END"],
        "presence_penalty": 0.5,
    } == sent.options
    assert ("ollama/llama3.2+stand-in", "length") == (answer.model, answer.choices[0].finish_reason)
    assert answer.usage is not None
    assert 3 == answer.usage.completion_tokens


class Candle(BaseModel):
    """What an answer is to be read into."""

    name: str
    hours: int


def test_answer_of_a_form(client: openai.OpenAI) -> None:
    """An answer can be read into a model of pydantic's, by chat completions and by responses."""
    completed = client.chat.completions.parse(model="auto", messages=asked("Name a candle"), response_format=Candle)
    responded = client.responses.parse(model="auto", input="Name a candle", text_format=Candle)
    parsed = completed.choices[0].message.parsed

    assert parsed is not None
    assert parsed.name.startswith("You asked tinyllama: Name a candle")
    assert parsed == responded.output_parsed


def test_stream_helper(client: openai.OpenAI) -> None:
    """The client's own helper for streams puts the chunks together."""
    with client.chat.completions.stream(model="auto", messages=asked("What is tallow?")) as stream:
        finished = stream.get_final_completion()

    assert "stop" == finished.choices[0].finish_reason
    assert "What is tallow?" in (finished.choices[0].message.content or "")


def test_other_parameters_are_another_question(client: openai.OpenAI, router: Any) -> None:
    """An answer is shared only between requests that want the same of the model."""
    calls = len(router.box.calls)
    for fields in ({}, {"seed": 1}, {"top_p": 0.5}, {"stop": "END"}, {"response_format": {"type": "json_object"}}):
        for _ in range(2):
            client.chat.completions.create(model="auto", messages=asked("What is a wick?"), **fields)

    assert calls + 5 == len(router.box.calls)


def test_turns(client: openai.OpenAI, router: Any) -> None:
    """Earlier messages reach the model, and the same question after others is another question."""
    turns: list[Any] = [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": [{"type": "text", "text": "What is wax?"}]},
        {"role": "assistant", "content": "It is what candles are made of."},
    ]
    question = "What colour is it?"
    for messages in ([*turns, *asked(question)], [turns[0], *asked(question)], [*turns, *asked(question)]):
        client.chat.completions.create(model="auto", messages=messages)
    calls = [[each.content for each in call.messages] for call in router.box.calls[-2:]]

    assert [
        ["Be kind.", "What is wax?", "It is what candles are made of.", question],
        ["Be kind.", question],
    ] == calls


def test_stream(client: openai.OpenAI) -> None:
    """A stream says the same as the whole answer: the role, the text, how it ended, and the tokens where asked for."""
    question = asked("Describe lamps, from the first torch to the last bulb, in detail and with examples, please")
    usage: Any = {"include_usage": True}
    whole = client.chat.completions.create(model="auto", messages=question)
    streamed = list(client.chat.completions.create(model="auto", messages=question, stream=True, stream_options=usage))
    choices = [chunk.choices[0] for chunk in streamed[:-1]]
    text = whole.choices[0].message.content or ""

    assert "assistant" == choices[0].delta.role
    assert len(text) > PIECE_CHARS
    assert text == "".join(choice.delta.content or "" for choice in choices)
    assert [None] * (len(choices) - 1) + ["stop"] == [choice.finish_reason for choice in choices]
    assert [] == streamed[-1].choices
    assert whole.usage == streamed[-1].usage
    assert 1 == len({chunk.id for chunk in streamed})


def test_stream_without_usage(client: openai.OpenAI) -> None:
    """Nobody gets the tokens who did not ask for them."""
    streamed = list(client.chat.completions.create(model="auto", messages=asked("What is soot?"), stream=True))

    assert all(chunk.choices and chunk.usage is None for chunk in streamed)


def test_asynchronous(router: Any) -> None:
    """The asynchronous client gets whole answers and streams, too."""

    async def ask() -> tuple[str | None, str]:
        async with openai.AsyncOpenAI(**of_router(router)) as client:
            whole = await client.chat.completions.create(model="auto", messages=asked("What is a torch?"))
            stream = await client.chat.completions.create(model="auto", messages=asked("What is a torch?"), stream=True)
            pieces = [chunk.choices[0].delta.content or "" async for chunk in stream]
        return whole.choices[0].message.content, "".join(pieces)

    whole, streamed = asyncio.run(ask())

    assert whole
    assert whole == streamed


def test_models(client: openai.OpenAI) -> None:
    """`auto`, the tiers and the configured models are listed, and each can be asked for by either of its names."""
    names = [model.id for model in client.models.list()]

    assert ["auto", "simple", "medium", "complex", "ollama/tinyllama", "ollama/llama3.2"] == names
    assert [(name, "model") for name in names] == [
        (found.id, found.object) for found in map(client.models.retrieve, names)
    ]
    assert ("ollama/llama3.2", "ollama") == (
        client.models.retrieve("llama3.2").id,
        client.models.retrieve("llama3.2").owned_by,
    )


def test_errors(client: openai.OpenAI) -> None:
    """Every error is the exception that a program written for OpenAI expects, with the parameter and the code."""
    url: Any = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
    with pytest.raises(openai.BadRequestError) as several:
        client.chat.completions.create(model="auto", messages=asked("Hello"), n=2)
    with pytest.raises(openai.BadRequestError) as image:
        client.chat.completions.create(model="auto", messages=[{"role": "user", "content": [url]}])
    with pytest.raises(openai.NotFoundError) as unknown:
        client.chat.completions.create(model="gpt-4", messages=asked("Hello"))
    with pytest.raises(openai.NotFoundError) as unlisted:
        client.models.retrieve("gpt-4")
    with pytest.raises(openai.BadRequestError) as hot:
        client.chat.completions.create(model="auto", messages=asked("Hello"), temperature=3)
    with pytest.raises(openai.BadRequestError) as strange:
        client.chat.completions.create(model="auto", messages=asked("Hello"), extra_body={"moods": 3})

    assert ("n", "unsupported_parameter", "invalid_request_error") == facts(several)
    assert ("messages[0].content[0].type", "unsupported_parameter", "invalid_request_error") == facts(image)
    assert ("model", "model_not_found", "invalid_request_error") == facts(unknown) == facts(unlisted)
    assert ("temperature", "invalid_value", "invalid_request_error") == facts(hot)
    assert ("moods", "invalid_value", "invalid_request_error") == facts(strange)
    assert "`temperature` must be at most 2" in hot.value.message
    assert several.value.request_id


def facts(caught: Any) -> tuple[str | None, str | None, str | None]:
    """Return parameter, code and type of an exception."""
    return caught.value.param, caught.value.code, caught.value.type


def test_too_long(client: openai.OpenAI, router: Any) -> None:
    """Turns that the model cannot hold are refused, not left out, before anybody waits for the box."""
    calls = len(router.box.calls)
    turns = [*asked("One?"), {"role": "assistant", "content": "many words " * 5_000}, *asked("Two?")]
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model="auto", messages=turns)

    assert ("messages", "context_length_exceeded") == facts(caught)[:2]
    assert calls == len(router.box.calls)


def test_unusable_schema(client: openai.OpenAI, router: Any) -> None:
    """A schema that the box can make no grammar of is its caller's fault: it is asked once, and others are served."""
    schema = {"type": "object", "properties": {"a": {"type": "string", "maxLength": 5_000}}}
    form: Any = {"type": "json_schema", "json_schema": {"name": "a", "schema": schema}}
    calls = len(router.box.calls)
    for number in range(6):
        with pytest.raises(openai.BadRequestError) as caught:
            client.chat.completions.create(model="auto", messages=asked(f"What is {number}?"), response_format=form)

        assert "invalid_schema" == caught.value.code
    served = client.chat.completions.create(model="auto", messages=asked("What is six?"))

    assert calls + 7 == len(router.box.calls)
    assert served.choices[0].message.content


def test_trouble(client: openai.OpenAI, router: Any) -> None:
    """A broken box is a server error, which the client asks again after by itself."""
    router.box.next_behaviours.append(Behaviour(fault=Fault.CUT))
    with pytest.raises(openai.InternalServerError) as caught:
        client.chat.completions.create(model="auto", messages=asked("What is a broken lamp?"))
    router.box.next_behaviours.append(Behaviour(fault=Fault.CUT))
    answer = client.with_options(max_retries=1).chat.completions.create(
        model="auto", messages=asked("What is a mended lamp?")
    )

    assert (503, "model_unavailable") == (caught.value.status_code, caught.value.code)
    assert answer.choices[0].message.content


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/v1/chat/completions", 404), ("POST", "/v1/embeddings", 404), ("GET", "/v1/responses/resp_1", 404)],
)
def test_no_such_thing(router: Any, method: str, path: str, status: int) -> None:
    """Paths that the router does not have are refused in OpenAI's shape, too."""
    response = router.http.request(method, path)

    assert status == response.status_code
    assert {"message", "type", "param", "code"} == response.json()["error"].keys()
    assert response.headers["x-request-id"]


def test_raw_stream(router: Any) -> None:
    """What goes over the wire is server-sent events, one chunk of JSON each, and the end mark."""
    response = router.http.post(
        "/v1/chat/completions", json={"model": "auto", "messages": asked("What is a spark?"), "stream": True}
    )
    *events, end, nothing = response.text.split("\n\n")

    assert (200, "text/event-stream; charset=utf-8") == (response.status_code, response.headers["content-type"])
    assert all(event.startswith('data: {"id":"chatcmpl-') for event in events)
    assert ("data: [DONE]", "") == (end, nothing)


def test_long_answer_is_generated_once(client: openai.OpenAI, router: Any) -> None:
    """Whom the gateway cannot keep waiting gets a 504; the retry of a client gets the answer of the same generation."""
    calls = len(router.box.calls)
    router.box.next_behaviours.append(Behaviour(token_delay_s=0.6))
    question = asked("Describe the lighthouse, at length, please")
    patient = client.with_options(max_retries=2).chat.completions.with_raw_response
    with ThreadPoolExecutor(2) as pool:
        impatient = pool.submit(client.chat.completions.create, model="auto", messages=question)
        answered = pool.submit(patient.create, model="auto", messages=question).result()
    error: Any = impatient.exception()

    assert (504, "timeout") == (error.status_code, error.code)
    assert int(error.response.headers["retry-after"]) > 0
    assert error.response.headers["x-router-request-id"].startswith("req_")
    assert answered.retries_taken > 0
    assert "Describe the lighthouse" in answered.parse().choices[0].message.content
    assert calls + 1 == len(router.box.calls)


def test_idempotency_key(client: openai.OpenAI, router: Any) -> None:
    """With a key the same request is answered once, though its answer is not to be cached; another body is refused."""
    calls = len(router.box.calls)
    keyed = client.with_options(default_headers={"Idempotency-Key": "a-key"})
    first, second = (keyed.chat.completions.create(model="auto", messages=asked("What time is it?")) for _ in range(2))
    with pytest.raises(openai.ConflictError) as caught:
        keyed.with_options(max_retries=2).chat.completions.create(model="auto", messages=asked("What day is it?"))

    assert first.id == second.id
    assert calls + 1 == len(router.box.calls)
    assert "false" == caught.value.response.headers["x-should-retry"]


def test_response(client: openai.OpenAI, router: Any) -> None:
    """A response is answered at once where that is possible, and found again by its id."""
    response = client.responses.create(
        model="auto", instructions="Be brief.", input="What is a match?", metadata={"team": "a"}, temperature=0.5
    )
    seen = [("system", "Be brief."), ("user", "What is a match?")] == heard(router)
    again = client.responses.retrieve(response.id)

    assert seen
    assert ("completed", STAND_IN, {"team": "a"}, 0.5, "Be brief.") == (
        response.status,
        response.model,
        response.metadata,
        response.temperature,
        response.instructions,
    )
    assert response.output_text.startswith("You asked tinyllama: What is a match?")
    assert response.usage is not None
    assert response.usage.input_tokens + response.usage.output_tokens == response.usage.total_tokens
    assert response == again


def test_response_with_turns(client: openai.OpenAI, router: Any) -> None:
    """An output can be sent back as an input, as programs do that keep their own history."""
    first = client.responses.create(model="auto", input="What is a flint?")
    turns: list[Any] = [
        {"role": "user", "content": "What is a flint?"},
        *(each.model_dump() for each in first.output),
        {"role": "user", "content": [{"type": "input_text", "text": "Where from?"}]},
    ]
    client.responses.create(model="auto", input=turns)

    assert ["What is a flint?", first.output_text, "Where from?"] == [text for _, text in heard(router)]


def test_response_in_the_background(client: openai.OpenAI, router: Any) -> None:
    """A long answer is accepted at once, and there when it is done."""
    router.box.next_behaviours.append(SLOW)
    accepted = client.responses.create(model="auto", input="Describe the history of the oven", background=True)
    states = [accepted.status]
    response = accepted
    while response.status in {"queued", "in_progress"}:
        time.sleep(0.2)
        response = client.responses.retrieve(accepted.id)
        states.append(response.status)

    assert "queued" == states[0]
    assert {"queued", "in_progress", "completed"} == {*states}
    assert "history of the oven" in response.output_text


def test_cut_response(client: openai.OpenAI) -> None:
    """An answer that was cut is incomplete, and says why."""
    response = client.responses.create(model="auto", input="Describe a stove", max_output_tokens=2)

    assert "incomplete" == response.status
    assert response.incomplete_details is not None
    assert "max_output_tokens" == response.incomplete_details.reason
    assert response.output_text


def test_cancelled_response(client: openai.OpenAI, router: Any) -> None:
    """A response in the background can be cancelled while the box is at it."""
    router.box.next_behaviours.append(SLOW)
    accepted = client.responses.create(model="auto", input="Describe the history of the kettle", background=True)
    router.wait_for(f"/v1/responses/{accepted.id}", "in_progress")
    client.responses.cancel(accepted.id)
    ended = router.wait_for(f"/v1/responses/{accepted.id}", "cancelled")

    assert [] == ended["output"]
    assert "cancelled" == client.responses.cancel(accepted.id).status


def test_failed_response(client: openai.OpenAI, router: Any) -> None:
    """A response that comes to nothing says why."""
    router.box.next_behaviours.append(Behaviour(fault=Fault.CUT))
    accepted = client.responses.create(model="auto", input="Describe a broken pot", background=True)
    ended = router.wait_for(f"/v1/responses/{accepted.id}", "failed")

    assert "server_error" == ended["error"]["code"]
    assert "model_unavailable" in ended["error"]["message"]


def test_errors_of_responses(client: openai.OpenAI) -> None:
    """What responses cannot do is refused by its name."""
    for name, value in {
        "stream": True,
        "previous_response_id": "resp_1",
        "store": False,
        "tools": [{"type": "web_search"}],
    }.items():
        fields: dict[str, Any] = {name: value}
        with pytest.raises(openai.BadRequestError) as caught:
            client.responses.create(model="auto", input="Hello", **fields)

        assert (name, "unsupported_parameter", "invalid_request_error") == facts(caught)
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(f"resp_{'0' * 32}")
