"""The Ollama client against scripted answers; no socket is opened."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from msgspec.structs import replace

from llm_router.adapters.ollama import OllamaClient
from llm_router.box import BoxState, InstalledModel, ResidentModel, context_tokens, same_model
from llm_router.errors import (
    ModelError,
    ModelNotFoundError,
    ModelTimeoutError,
    ModelUnavailableError,
    PromptTooLongError,
    ResponseFormatError,
)
from llm_router.models import Generation, ModelCall, Turn
from llm_router.sampling import JsonSchema, ResponseFormat, Sampling

NOW_MS = 1_700_000_000_000
DEADLINE_MS = NOW_MS + 60_000
CALL = ModelCall(model="ollama/tinyllama", prompt="What is Python?", max_tokens=64)
LAST = {
    "model": "tinyllama",
    "created_at": "2026-01-01T00:00:00Z",
    "message": {"role": "assistant", "content": ""},
    "done": True,
    "done_reason": "stop",
    "total_duration": 9,
    "load_duration": 2,
    "prompt_eval_count": 7,
    "prompt_eval_duration": 3,
    "eval_count": 5,
    "eval_duration": 4,
}

Handler = Callable[[httpx.Request], httpx.Response]


class Body(httpx.SyncByteStream):
    """A response body that comes in given pieces and may fail after them."""

    def __init__(self, *pieces: bytes, then: Exception | None = None) -> None:
        self.pieces = pieces
        self.then = then
        self.closed = False

    def __iter__(self) -> Iterator[bytes]:
        yield from self.pieces
        if self.then:
            raise self.then

    def close(self) -> None:
        """Note that the client let go."""
        self.closed = True


def line(content: str) -> bytes:
    return json.dumps({"model": "tinyllama", "message": {"role": "assistant", "content": content}}).encode() + b"\n"


def last(**changes: Any) -> bytes:
    return json.dumps(LAST | changes).encode() + b"\n"


def client(handler: Handler, clock: Callable[[], int] = lambda: NOW_MS) -> OllamaClient:
    return OllamaClient("http://box:11434", transport=httpx.MockTransport(handler), clock=clock)


def ask(response: httpx.Response, call: ModelCall = CALL) -> list[str | Generation]:
    return list(client(lambda _: response).generate(call, deadline_ms=DEADLINE_MS))


def streamed(*pieces: bytes, then: Exception | None = None) -> httpx.Response:
    return httpx.Response(200, stream=Body(*pieces, then=then))


def sent_body(call: ModelCall) -> Any:
    seen = []

    def handler(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return streamed(last())

    list(client(handler).generate(call, deadline_ms=DEADLINE_MS))
    assert [(each.method, str(each.url)) for each in seen] == [("POST", "http://box:11434/api/chat")]
    return json.loads(seen[0].content)


def test_request_names_the_model_without_its_provider_and_fixes_every_option() -> None:
    """A call streams, forbids truncation, stays resident, bounds the answer and always sends the same context size."""
    expected = {
        "model": "tinyllama",
        "messages": [{"role": "user", "content": "What is Python?"}],
        "stream": True,
        "truncate": False,
        "keep_alive": -1,
        "options": {"num_ctx": 2048, "num_predict": 64},
    }

    assert expected == sent_body(CALL)


def test_request_carries_earlier_turns() -> None:
    """The turns before the question come before it, in their order, and after the system prompt."""
    turns = (Turn("One?", "Two."), Turn("Three?", "Four."))
    messages = sent_body(replace(CALL, system_prompt="Count.", history=turns))["messages"]

    assert ["system", "user", "assistant", "user", "assistant", "user"] == [each["role"] for each in messages]
    assert ["Count.", "One?", "Two.", "Three?", "Four.", CALL.prompt] == [each["content"] for each in messages]


def test_request_carries_system_prompt_and_temperature_when_given() -> None:
    """The system prompt comes first, and a temperature of zero is a temperature."""
    body = sent_body(
        ModelCall(model="ollama/llama3.2", prompt="Hi", system_prompt="Be brief.", max_tokens=8, temperature=0.0)
    )

    assert body["options"] == {"num_ctx": 10_240, "num_predict": 8, "temperature": 0.0}
    assert body["messages"] == [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]


def test_request_carries_sampling() -> None:
    """How the model is to choose its words are options, and the form of the answer is the format."""
    schema = {"type": "object", "properties": {"b": {}, "a": {}}}
    form = ResponseFormat(type="json_schema", json_schema=JsonSchema(name="x", schema=schema))
    sampling = Sampling(
        top_p=0.0, frequency_penalty=0.5, presence_penalty=-0.5, seed=0, stop=("END",), response_format=form
    )
    body = sent_body(replace(CALL, sampling=sampling))
    free = sent_body(replace(CALL, sampling=Sampling(response_format=ResponseFormat(type="json_object"))))

    assert body["options"] == {
        "num_ctx": 2048,
        "num_predict": 64,
        "top_p": 0.0,
        "frequency_penalty": 0.5,
        "presence_penalty": -0.5,
        "seed": 0,
        "stop": ["END"],
    }
    assert body["format"] == schema
    assert free["format"] == "json"


def test_leading_answer_has_no_question() -> None:
    """A turn that begins with an answer is sent as that answer alone."""
    messages = sent_body(replace(CALL, history=(Turn("", "Hello."),)))["messages"]

    assert [("assistant", "Hello."), ("user", CALL.prompt)] == [(each["role"], each["content"]) for each in messages]


@pytest.mark.parametrize(
    ("model", "tokens"),
    [
        ("ollama/tinyllama", 2048),
        ("ollama/tinyllama:latest", 2048),
        ("tinyllama:1.1b-chat", 2048),
        ("ollama/llama3.2", 10_240),
        ("ollama/tinyllama2", 4096),
    ],
)
def test_context_is_fixed_per_model_family(model: str, tokens: int) -> None:
    """The context size depends on the model's name, not on its tag or provider."""
    assert tokens == context_tokens(model)


def test_pieces_come_one_by_one_and_the_generation_last() -> None:
    """Text is yielded as it arrives; the last item has the whole text, the counts and the durations."""
    expected: list[str | Generation] = [
        "Py",
        "thon",
        Generation(
            text="Python",
            model="ollama/tinyllama",
            done_reason="stop",
            input_tokens=7,
            output_tokens=5,
            load_ns=2,
            prompt_ns=3,
            generation_ns=4,
        ),
    ]

    assert expected == ask(streamed(line("Py"), line(""), line("thon"), last()))


def test_lines_are_found_however_the_bytes_are_cut() -> None:
    """Pieces of the network need not be lines, and U+0085 or U+2028 in the text is no end of one."""
    text = "a\u0085b\u2028c\u00fc"
    message = json.dumps({"message": {"content": text}}, ensure_ascii=False).encode() + b"\n\n"
    wire = message + last().rstrip(b"\n")

    pieces = ask(streamed(*(wire[at : at + 1] for at in range(len(wire)))))

    assert text == pieces[0]


def test_missing_figures_are_zero() -> None:
    """Ollama leaves out what is zero, such as the load time of a resident model."""
    (generation,) = ask(streamed(b'{"model":"tinyllama","done":true,"done_reason":"stop"}'))

    assert (
        Generation(text="", model="ollama/tinyllama", done_reason="stop", input_tokens=0, output_tokens=0) == generation
    )


@pytest.mark.parametrize(
    ("asked", "answered", "shown"),
    [
        ("ollama/tinyllama", "tinyllama:latest", "ollama/tinyllama"),
        ("ollama/tinyllama:latest", "tinyllama", "ollama/tinyllama:latest"),
        ("ollama/tinyllama", "tinyllama+stand-in", "ollama/tinyllama+stand-in"),
        ("ollama/llama3.2", "llama3.2:1b", "ollama/llama3.2:1b"),
    ],
)
def test_model_that_answered_is_shown(asked: str, answered: str, shown: str) -> None:
    """The server's word on the model counts, except that the default tag makes no difference."""
    call = ModelCall(model=asked, prompt="Hi", max_tokens=1)

    (generation,) = ask(streamed(last(model=answered)), call)

    assert isinstance(generation, Generation)
    assert shown == generation.model


@pytest.mark.parametrize(
    ("status", "words", "error"),
    [
        (404, "model 'tinyllama' not found", ModelNotFoundError),
        (400, "the prompt is longer than the context length currently available to the model", PromptTooLongError),
        (500, "the request exceeds the available context size", PromptTooLongError),
        (500, "failed to load model vocabulary required for format", ResponseFormatError),
        (400, "invalid JSON schema in format", ResponseFormatError),
        (400, "invalid option", ModelError),
        (503, "server busy, please try again.  maximum pending requests exceeded", ModelUnavailableError),
        (500, "llama runner process has terminated", ModelUnavailableError),
        (499, "request canceled", ModelUnavailableError),
        (302, "", ModelUnavailableError),
    ],
)
def test_refusals_have_their_error(status: int, words: str, error: type[ModelError]) -> None:
    """Each status is one error of ours; the server's words are a note for the operator and not in the message."""
    with pytest.raises(ModelError) as caught:
        ask(httpx.Response(status, json={"error": words}))

    assert error is caught.type
    assert isinstance(caught.value.__cause__, httpx.HTTPStatusError)
    assert words in caught.value.__notes__[0]
    assert words not in str(caught.value) or not words


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("model 'tinyllama' not found", "The model server does not have the model tinyllama."),
        ('model "library/llama3.2:3b" not found, try pulling it first', "library/llama3.2:3b."),
        ("404 page not found", "The model server does not have the model."),
        ("model '<script>' not found", "The model server does not have the model."),
    ],
)
def test_missing_model_is_named(words: str, message: str) -> None:
    """The error of a missing model names it, and repeats nothing that could not be a name."""
    with pytest.raises(ModelNotFoundError) as caught:
        ask(httpx.Response(404, json={"error": words}))

    assert str(caught.value).endswith(message)


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(Body(line("Py")), id="no last chunk"),
        pytest.param(Body(), id="empty body"),
        pytest.param(Body(line("Py"), b"\x00\xff garbage\n"), id="garbage"),
        pytest.param(Body(b'{"message": {"content": "\xff"}}\n'), id="not UTF-8"),
        pytest.param(Body(b'{"message": {"content": 5}}\n'), id="wrong type"),
        pytest.param(Body(line("Py"), then=httpx.ReadError("reset")), id="reset"),
        pytest.param(Body(line("Py"), then=httpx.ReadTimeout("silence")), id="stall"),
    ],
)
def test_broken_streams_are_an_unavailable_model(body: Body) -> None:
    """Whatever is wrong with a stream, its cause is kept and the connection is closed."""
    with pytest.raises(ModelUnavailableError) as caught:
        ask(httpx.Response(200, stream=body))

    assert caught.value.__cause__ is not None
    assert body.closed


def test_error_line_ends_the_answer() -> None:
    """An error in the middle of a stream is an unavailable model, after the pieces that came before it."""
    answer = client(lambda _: streamed(line("Py"), b'{"error":"runner crashed"}\n')).generate(
        CALL, deadline_ms=DEADLINE_MS
    )

    assert next(answer) == "Py"
    with pytest.raises(ModelUnavailableError, match="The model server failed"):
        next(answer)


def test_refused_connection_is_an_unavailable_model() -> None:
    """A box that nobody listens on is unavailable."""

    def refuse(_: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused")

    with pytest.raises(ModelUnavailableError, match="cannot be reached"):
        list(client(refuse).generate(CALL, deadline_ms=DEADLINE_MS))


def test_closing_the_answer_closes_the_response() -> None:
    """Who loses interest closes the iterator, and with it the connection."""
    body = Body(line("Py"), line("thon"), last())
    answer = client(lambda _: httpx.Response(200, stream=body)).generate(CALL, deadline_ms=DEADLINE_MS)
    next(answer)

    answer.close()

    assert body.closed


def test_nothing_is_sent_after_the_deadline() -> None:
    """A deadline in the past fails before the server hears of it."""

    def fail(_: httpx.Request) -> httpx.Response:
        pytest.fail("a request was sent")

    with pytest.raises(ModelTimeoutError):
        list(client(fail).generate(CALL, deadline_ms=NOW_MS))


def test_deadline_between_two_pieces_ends_the_answer() -> None:
    """After the deadline no further piece is waited for; what came before it has been yielded."""
    ticks = iter([NOW_MS, NOW_MS, DEADLINE_MS])
    answer = client(lambda _: streamed(line("a"), line("b"), line("c"), last()), clock=lambda: next(ticks)).generate(
        CALL, deadline_ms=DEADLINE_MS
    )

    assert [next(answer), next(answer)] == ["a", "b"]
    with pytest.raises(ModelTimeoutError):
        next(answer)


def test_connecting_is_short_and_reading_covers_a_load() -> None:
    """The connect limit ends with the deadline; a read may take as long as a model takes to load."""
    seen = []

    def handler(request: httpx.Request) -> httpx.Response:
        seen.append(request.extensions["timeout"])
        return streamed(last())

    list(client(handler).generate(CALL, deadline_ms=NOW_MS + 500))

    assert seen == [{"connect": 0.5, "read": 300.0, "write": 300.0, "pool": 300.0}]


def test_state_is_read_from_three_addresses() -> None:
    """The box's version, its disk and its memory come together in one state."""
    answers = {
        "/api/version": {"version": "0.31.2"},
        "/api/tags": {"models": [{"name": "tinyllama:latest", "size": 637_700_138, "digest": "d"}]},
        "/api/ps": {
            "models": [
                {
                    "name": "tinyllama:latest",
                    "size": 800_000_000,
                    "context_length": 2048,
                    "expires_at": "2318-01-01T00:00:00Z",
                }
            ]
        },
    }
    state = client(lambda request: httpx.Response(200, json=answers[request.url.path])).state()

    expected = BoxState(
        version="0.31.2",
        installed=(InstalledModel(name="tinyllama:latest", size_bytes=637_700_138),),
        resident=(
            ResidentModel(
                name="tinyllama:latest",
                size_bytes=800_000_000,
                context_length=2048,
                expires_at="2318-01-01T00:00:00Z",
            ),
        ),
    )
    assert expected == state
    assert (state.is_installed("ollama/tinyllama"), state.is_resident("ollama/llama3.2")) == (True, False)


@pytest.mark.parametrize(
    "response",
    [
        httpx.Response(404, text="404 page not found"),
        httpx.Response(500, json={"error": "failed"}),
        httpx.Response(200, content=b"<html>"),
        httpx.Response(200, json={"models": None}),
    ],
)
def test_state_that_makes_no_sense_is_an_unavailable_model(response: httpx.Response) -> None:
    """A server that is no Ollama counts as no server."""
    with pytest.raises(ModelUnavailableError):
        client(lambda _: response).state()


@pytest.mark.parametrize(
    ("ours", "theirs", "same"),
    [
        ("ollama/tinyllama", "tinyllama:latest", True),
        ("ollama/llama3.2", "llama3.2:1b", False),
        ("ollama/llama3.2:3b", "llama3.2:3b", True),
    ],
)
def test_names_match_apart_from_provider_and_default_tag(ours: str, theirs: str, *, same: bool) -> None:
    """A configured name without a tag means the tag `latest`, as it does to Ollama."""
    assert same is same_model(ours, theirs)


def test_load_sends_no_question_and_the_load_options_of_every_call() -> None:
    """A load differs from a question only in what does not make the server load the model anew."""
    seen = []

    def handler(request: httpx.Request) -> httpx.Response:
        seen.append(json.loads(request.content))
        return httpx.Response(200, json=LAST | {"done_reason": "load"})

    client(handler).load("ollama/tinyllama", deadline_ms=DEADLINE_MS)

    assert [
        {
            "model": "tinyllama",
            "messages": [],
            "stream": True,
            "keep_alive": -1,
            "options": {"num_ctx": context_tokens("ollama/tinyllama")},
        }
    ] == seen


@pytest.mark.parametrize("body", [b"", line("x"), b'{"error": "no memory"}\n'], ids=["nothing", "not done", "error"])
def test_load_that_breaks_off(body: bytes) -> None:
    """A load that does not end with `done` has failed."""
    with pytest.raises(ModelUnavailableError):
        client(lambda _: streamed(body)).load("ollama/tinyllama", deadline_ms=DEADLINE_MS)
