"""The client of OpenAI-compatible APIs against scripted answers; no socket is opened."""

import json
import logging
import traceback
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from msgspec.structs import replace

from llm_router.adapters.openai_compatible import OpenAICompatibleClient
from llm_router.errors import (
    ModelError,
    ModelNotFoundError,
    ModelTimeoutError,
    ModelUnavailableError,
    PromptTooLongError,
    ResponseFormatError,
    StoreError,
)
from llm_router.models import Generation, ModelCall, Turn
from llm_router.sampling import JsonSchema, ResponseFormat, Sampling
from tests.fakes import NOW_MS, FakeSecret

KEY = "sk-do-not-tell"
PROMPT = "What is my diagnosis?"
CALL = ModelCall(model="ollama/llama3.2", prompt=PROMPT, max_tokens=64)
DEADLINE_MS = NOW_MS + 60_000
USAGE = {"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9}

Handler = Callable[[httpx.Request], httpx.Response]


class Body(httpx.SyncByteStream):
    """A response body that comes in given pieces."""

    def __init__(self, *pieces: bytes) -> None:
        self.pieces = pieces
        self.closed = False

    def __iter__(self) -> Iterator[bytes]:
        yield from self.pieces

    def close(self) -> None:
        """Note that the client let go."""
        self.closed = True


def event(**fields: Any) -> bytes:
    return b"data: " + json.dumps({"model": "gpt-4o-mini", "choices": [], **fields}).encode() + b"\n\n"


def piece(content: str | None, finish_reason: str | None = None) -> bytes:
    return event(choices=[{"index": 0, "delta": {"content": content}, "finish_reason": finish_reason}])


END = piece(None, "stop") + event(usage=USAGE) + b"data: [DONE]\n\n"


def client(handler: Handler, **options: Any) -> OpenAICompatibleClient:
    usual: dict[str, Any] = {
        "api_key": FakeSecret(KEY),
        "model": "gpt-4o-mini",
        "clock": lambda: NOW_MS,
        "transport": httpx.MockTransport(handler),
    }
    return OpenAICompatibleClient("https://api.example.com/v1", **usual | options)


def ask(response: httpx.Response, **options: Any) -> list[str | Generation]:
    return list(client(lambda _: response, **options).generate(CALL, deadline_ms=DEADLINE_MS))


def streamed(*pieces: bytes) -> httpx.Response:
    return httpx.Response(200, stream=Body(*pieces))


def sent(call: ModelCall, **options: Any) -> httpx.Request:
    seen = []

    def handler(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return streamed(END)

    list(client(handler, **options).generate(call, deadline_ms=DEADLINE_MS))
    (request,) = seen
    return request


def test_tokens_that_are_not_told_are_estimated() -> None:
    """A server that does not report its usage is not taken for free: four characters count as a token, and it shows."""
    generation = ask(streamed(piece("Python is"), piece(None, "stop"), b"data: [DONE]\n\n"))[-1]
    told = ask(streamed(piece("Py"), END))[-1]
    chars = len(CALL.prompt) + len(CALL.system_prompt or "")

    assert (-(-chars // 4), 3, True) == (
        generation.input_tokens,
        generation.output_tokens,
        generation.tokens_estimated,
    )
    assert not told.tokens_estimated


@pytest.mark.parametrize(("prompt_tokens", "completion_tokens"), [(0, 0), (0, 2), (12, 0), (-1, -1), (12, -1)])
def test_tokens_that_cannot_be_are_estimated(prompt_tokens: int, completion_tokens: int) -> None:
    """An exchange has tokens on both sides: a server that says otherwise would make the bill too low, or negative."""
    usage = {"prompt_tokens": prompt_tokens, "completion_tokens": completion_tokens}
    generation = ask(streamed(piece("Python is"), piece(None, "stop"), event(usage=usage)))[-1]

    assert isinstance(generation, Generation)
    assert generation.tokens_estimated
    assert min(generation.input_tokens, generation.output_tokens) > 0


@pytest.mark.parametrize(
    ("details", "cached"),
    [
        ({"cached_tokens": 5, "audio_tokens": 0}, 5),
        ({"cached_tokens": 0}, 0),
        ({"cached_tokens": None}, 0),
        ({}, 0),
        (None, 0),
        ({"cached_tokens": 8}, 7),  # more than the prompt had
        ({"cached_tokens": -1}, 0),
    ],
)
def test_cached_tokens(details: dict[str, int | None] | None, cached: int) -> None:
    """What the server still knew of the prompt's 7 tokens is told; one that does not tell is paid in full."""
    answered = ask(streamed(piece("Py", "stop"), event(usage=USAGE | {"prompt_tokens_details": details})))[-1]

    assert isinstance(answered, Generation)
    assert (7, cached) == (answered.input_tokens, answered.cached_input_tokens)


def test_request_asks_the_configured_model_for_a_stream_with_its_usage() -> None:
    """Whatever model the call names, the client's own is asked, with the key as a bearer token."""
    request = sent(CALL)

    expected = {
        "model": "gpt-4o-mini",
        "messages": [{"role": "user", "content": PROMPT}],
        "stream": True,
        "stream_options": {"include_usage": True},
        "max_tokens": 64,
    }
    assert (request.method, str(request.url)) == ("POST", "https://api.example.com/v1/chat/completions")
    assert request.headers["Authorization"] == f"Bearer {KEY}"
    assert expected == json.loads(request.content)


def test_request_carries_what_the_call_has_more() -> None:
    """The system prompt comes first, a temperature of zero is one, and the bound has the name the API wants."""
    call = ModelCall(model="ollama/llama3.2", prompt="Hi", system_prompt="Be brief.", max_tokens=8, temperature=0.0)
    body = json.loads(sent(call, limit_field="max_completion_tokens").content)

    assert body["messages"] == [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]
    assert (body["max_completion_tokens"], body["temperature"]) == (8, 0.0)
    assert "max_tokens" not in body


def test_request_carries_sampling() -> None:
    """How the model is to choose its words, and the form of the answer, go on under the names they came with."""
    form = ResponseFormat(type="json_schema", json_schema=JsonSchema(name="x", schema={"type": "object"}, strict=True))
    body = json.loads(sent(replace(CALL, sampling=Sampling(seed=0, stop=("END",), response_format=form))).content)

    assert (0, ["END"]) == (body["seed"], body["stop"])
    assert {
        "type": "json_schema",
        "json_schema": {"name": "x", "schema": {"type": "object"}, "strict": True},
    } == body["response_format"]
    assert "top_p" not in body


def test_request_carries_earlier_turns() -> None:
    """The turns before the question come before it, and after the system prompt."""
    call = replace(CALL, system_prompt="Count.", history=(Turn("One?", "Two."),))
    messages = json.loads(sent(call).content)["messages"]

    assert [
        {"role": "system", "content": "Count."},
        {"role": "user", "content": "One?"},
        {"role": "assistant", "content": "Two."},
        {"role": "user", "content": PROMPT},
    ] == messages


def test_key_is_fetched_with_the_first_question() -> None:
    """Building a client asks for no secret."""
    key = FakeSecret(KEY)
    built = client(lambda _: streamed(END), api_key=key)
    before = key.times_read
    list(built.generate(CALL, deadline_ms=DEADLINE_MS))

    assert (before, key.times_read) == (0, 1)


def test_key_that_was_replaced_is_read_anew_once() -> None:
    """An API that does not know the key any more is shown the present one, and believed the second time."""
    shown = []

    def refuse(request: httpx.Request) -> httpx.Response:
        shown.append(request.headers["Authorization"])
        return httpx.Response(401, json={"error": {"message": "no"}})

    with pytest.raises(ModelError, match=r"^The cloud API does not accept the router's key\."):
        list(client(refuse, api_key=FakeSecret("old", "new", "newer")).generate(CALL, deadline_ms=DEADLINE_MS))

    assert ["Bearer old", "Bearer new"] == shown


def test_pieces_come_one_by_one_and_the_generation_last() -> None:
    """Text is yielded as it arrives; the generation has the usage's counts and no box time."""
    expected: list[str | Generation] = [
        "Py",
        "thon",
        Generation(text="Python", model="cloud/gpt-4o-mini", done_reason="stop", input_tokens=7, output_tokens=2),
    ]

    assert expected == ask(streamed(piece(""), piece("Py"), piece("thon"), END))


@pytest.mark.parametrize(
    "wire",
    [
        pytest.param((piece("Py") + END).replace(b"\n", b"\r\n"), id="CRLF"),
        pytest.param(b": keep-alive\n\nevent: message\nid: 1\n" + piece("Py") + END, id="comments and other fields"),
        pytest.param((piece("Py") + END).replace(b"data: ", b"data:"), id="no blank"),
        pytest.param(piece("Py") + piece(None, "stop") + event(choices=None, usage=USAGE), id="no end marker"),
        pytest.param(piece("Py") + piece(None, "stop") + event(usage=USAGE).rstrip(), id="no last line end"),
    ],
)
def test_dialects_of_the_stream_are_understood(wire: bytes) -> None:
    """Servers differ in line ends, comments and the end marker; the answer is the same, however the bytes are cut."""
    pieces = ask(streamed(*(wire[at : at + 7] for at in range(0, len(wire), 7))))

    assert pieces == [
        "Py",
        Generation(text="Py", model="cloud/gpt-4o-mini", done_reason="stop", input_tokens=7, output_tokens=2),
    ]


@pytest.mark.parametrize(
    ("answered", "shown"),
    [
        ("gpt-4o-mini", "cloud/gpt-4o-mini"),
        ("gpt-4o-mini-2024-07-18", "cloud/gpt-4o-mini"),
        ("gpt-4o-mini+stand-in", "cloud/gpt-4o-mini+stand-in"),
        ("gpt-4o", "cloud/gpt-4o"),
        ("gpt-4o-mini-audio", "cloud/gpt-4o-mini-audio"),
        ("", "cloud/gpt-4o-mini"),
    ],
)
def test_model_that_answered_is_shown(answered: str, shown: str) -> None:
    """The server's word on the model counts, except that a dated snapshot is the model itself."""
    wire = (piece("Py") + END).replace(b'"gpt-4o-mini"', json.dumps(answered).encode())

    generation = ask(streamed(wire))[-1]

    assert isinstance(generation, Generation)
    assert shown == generation.model


def test_cut_answer_says_why() -> None:
    """The reason of a filter or a bound is kept, so that the answer is not taken for a whole one."""
    generation = ask(streamed(piece("Py"), piece(None, "content_filter"), event(usage=USAGE)))[-1]

    assert isinstance(generation, Generation)
    assert generation.done_reason == "content_filter"


@pytest.mark.parametrize(
    ("status", "code", "error"),
    [
        (401, "invalid_api_key", ModelError),
        (403, "unsupported_country_region_territory", ModelError),
        (404, "model_not_found", ModelNotFoundError),
        (413, "request_too_large", PromptTooLongError),
        (400, "context_length_exceeded", PromptTooLongError),
        (400, "Invalid schema for response_format", ResponseFormatError),
        (400, "invalid_request_error", ModelError),
        (422, "unprocessable", ModelError),
        (408, "timeout", ModelUnavailableError),
        (429, "rate_limit_exceeded", ModelUnavailableError),
        (500, "server_error", ModelUnavailableError),
        (503, "overloaded", ModelUnavailableError),
        (302, "", ModelUnavailableError),
    ],
)
def test_refusals_have_their_error(status: int, code: str, error: type[ModelError]) -> None:
    """Each status is one error of ours."""
    with pytest.raises(ModelError) as caught:
        ask(httpx.Response(status, json={"error": {"message": "no", "code": code}}))

    assert error is caught.type


@pytest.mark.parametrize(
    ("header", "retry_after_ms"),
    [("7", 7000), ("0", 0), ("Wed, 21 Oct 2026 07:28:00 GMT", None), ("-1", None), ("", None)],
)
def test_advice_when_to_return_is_kept(header: str, retry_after_ms: int | None) -> None:
    """A number of seconds in Retry-After is passed on; a date is left alone."""
    with pytest.raises(ModelUnavailableError) as caught:
        ask(httpx.Response(429, headers={"Retry-After": header}))

    assert retry_after_ms == caught.value.retry_after_ms


@pytest.mark.parametrize(
    "response",
    [
        httpx.Response(401, json={"error": {"message": f"Incorrect API key provided: {KEY}"}}),
        httpx.Response(400, json={"error": {"message": f"cannot process: {PROMPT}"}}),
        httpx.Response(200, stream=Body(b"data: " + json.dumps({"error": {"message": KEY + PROMPT}}).encode() + b"\n")),
        httpx.Response(200, stream=Body(b"data: <" + KEY.encode() + PROMPT.encode() + b">\n")),
        httpx.Response(200, stream=Body(b'data: {"choices": "' + KEY.encode() + PROMPT.encode() + b'"}\n')),
    ],
    ids=["key echoed", "prompt echoed", "error event", "garbage", "wrong type"],
)
def test_neither_key_nor_text_is_in_an_error_or_a_log(
    response: httpx.Response, caplog: pytest.LogCaptureFixture
) -> None:
    """What a trace of the error, its causes and its notes shows has no key, no prompt and no answer in it."""
    caplog.set_level(logging.DEBUG)

    with pytest.raises(ModelError) as caught:
        ask(response)

    shown = "".join(traceback.format_exception(caught.value)) + caplog.text
    assert KEY not in shown
    assert PROMPT not in shown


@pytest.mark.parametrize("key", ["", "sk-\nnewline", "sk-ümlaut", "sk two"])
def test_malformed_key_is_not_quoted(key: str) -> None:
    """A key that cannot stand in a header is an error that does not show it, and nothing is sent."""

    def fail(_: httpx.Request) -> httpx.Response:
        pytest.fail("a request was sent")

    with pytest.raises(ModelError) as caught:
        list(client(fail, api_key=FakeSecret(key)).generate(CALL, deadline_ms=DEADLINE_MS))

    assert caught.type is ModelError
    assert caught.value.__cause__ is None
    assert not key or key not in str(caught.value)


def test_key_that_cannot_be_read_is_an_unavailable_cloud() -> None:
    """A secret store that fails may work again: the question is asked again, and fails with the reason in the end."""
    key = FakeSecret(StoreError("reading a secret failed"))

    with pytest.raises(ModelUnavailableError, match=r"^The key of the cloud API cannot be read\.$"):
        ask(streamed(END), api_key=key)


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(Body(piece("Py")), id="no finish reason"),
        pytest.param(Body(), id="empty body"),
        pytest.param(Body(b"data: [DONE]\n\n"), id="only the end"),
        pytest.param(Body(b"<html>\n"), id="a web page"),
        pytest.param(Body(piece("Py"), b"data: {\n\n"), id="broken JSON"),
        pytest.param(Body(piece("Py"), b'data: {"error": {"message": "overloaded"}}\n\n'), id="error event"),
    ],
)
def test_broken_streams_are_an_unavailable_model(body: Body) -> None:
    """An answer without its end is no answer, and the connection is closed."""
    with pytest.raises(ModelUnavailableError):
        ask(httpx.Response(200, stream=body))

    assert body.closed


def test_nothing_is_sent_after_the_deadline() -> None:
    """A deadline in the past fails before the server hears of it."""

    def fail(_: httpx.Request) -> httpx.Response:
        pytest.fail("a request was sent")

    with pytest.raises(ModelTimeoutError):
        list(client(fail).generate(CALL, deadline_ms=NOW_MS))
