"""The Ollama client and the stand-in over real HTTP."""

import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from infra.local.ollama_exchange import Behaviour, Fault
from infra.local.ollama_stand_in import OllamaStandIn
from llm_router.adapters.ollama import OllamaClient
from llm_router.errors import (
    ModelNotFoundError,
    ModelTimeoutError,
    ModelUnavailableError,
    PromptTooLongError,
    StoreError,
)
from llm_router.models import Generation, ModelCall
from tests.fakes import FakeSecret
from tests.patience import eventually

PATIENCE_S = 10.0
SLOWLY = Behaviour(token_delay_s=0.02)


@pytest.fixture(name="box")
def running_stand_in() -> Iterator[OllamaStandIn]:
    with OllamaStandIn() as box:
        yield box


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def client(box: OllamaStandIn, **options: Any) -> OllamaClient:
    return OllamaClient(box.base_url, clock=now_ms, **options)


def call(prompt: str = "What is Python?", model: str = "ollama/tinyllama", max_tokens: int = 500) -> ModelCall:
    return ModelCall(model=model, prompt=prompt, max_tokens=max_tokens)


def ask(box: OllamaStandIn, question: ModelCall | None = None, *, seconds: float = PATIENCE_S) -> list[Any]:
    return list(client(box).generate(question or call(), deadline_ms=now_ms() + int(seconds * 1000)))


def generation(box: OllamaStandIn, question: ModelCall | None = None) -> Generation:
    last = ask(box, question)[-1]
    assert isinstance(last, Generation)
    return last


def names(box: OllamaStandIn, path: str) -> list[str]:
    return [each["name"] for each in httpx.get(f"{box.base_url}{path}", trust_env=False).json()["models"]]


def post(box: OllamaStandIn, path: str, body: Any) -> httpx.Response:
    return httpx.post(f"{box.base_url}{path}", json=body, trust_env=False)


def test_secret_is_shown_with_every_request(box: OllamaStandIn) -> None:
    """A proxy that asks for a secret lets through who shows it: the state, a load and a question."""
    box.secrets = {"open-sesame"}
    secret = FakeSecret("open-sesame")
    knowing = client(box, secret=secret)
    state = knowing.state()
    knowing.load("ollama/tinyllama", deadline_ms=now_ms() + 10_000)
    *_, last = knowing.generate(call(), deadline_ms=now_ms() + 10_000)

    assert state.is_installed("ollama/tinyllama")
    assert (True, 1) == (isinstance(last, Generation), secret.times_read)


@pytest.mark.parametrize("present", [{"new"}, {"old", "new"}], ids=["after", "while both hold"])
def test_secret_is_rotated(box: OllamaStandIn, present: set[str]) -> None:
    """Who shows a secret that does not hold any more reads it anew and is answered; one that still holds is kept."""
    box.secrets = present
    secret = FakeSecret("old", "new")
    knowing = client(box, secret=secret)
    generations = [list(knowing.generate(call(), deadline_ms=now_ms() + 10_000))[-1] for _ in range(2)]

    assert all(isinstance(each, Generation) for each in generations)
    assert (1 if "old" in present else 2, 2) == (secret.times_read, len(box.calls))


@pytest.mark.parametrize("secret", [None, FakeSecret("wrong"), FakeSecret("wrong", "also-wrong")])
def test_without_the_secret_the_box_is_out_of_reach(box: OllamaStandIn, secret: FakeSecret | None) -> None:
    """A proxy that does not accept the secret is a box that cannot be asked, and the error says why."""
    box.secrets = {"open-sesame"}
    stranger = client(box, secret=secret)

    with pytest.raises(ModelUnavailableError, match=r"^The model server does not accept the router's secret\."):
        list(stranger.generate(call(), deadline_ms=now_ms() + 10_000))
    with pytest.raises(ModelUnavailableError, match=r"^The model server does not accept the router's secret\."):
        stranger.state()
    assert [] == box.calls


def test_secret_that_cannot_be_read_is_a_box_out_of_reach(box: OllamaStandIn) -> None:
    """A question whose secret cannot be read is not asked, and may be asked again."""
    stranger = client(box, secret=FakeSecret(StoreError("reading a secret failed")))

    with pytest.raises(ModelUnavailableError, match=r"^The key of the model server cannot be read\.$"):
        stranger.state()


def test_answer_streams_and_says_who_answers(box: OllamaStandIn) -> None:
    """An answer comes in pieces that make up its text, quotes the question, and shows that no model is at work."""
    *pieces, last = ask(box)

    assert len(pieces) == last.output_tokens
    assert "".join(pieces) == last.text
    assert "What is Python?" in last.text
    assert (last.model, last.done_reason) == ("ollama/tinyllama+stand-in", "stop")


def test_durations_follow_from_counts(box: OllamaStandIn) -> None:
    """Reported times are the counts at the model's fixed rates, whatever the clock says."""
    first, second = generation(box), generation(box)

    assert (first.load_ns, second.load_ns) == (5_101_601_104, 0)
    assert first.prompt_ns == first.input_tokens * 1_000_000_000 // 180
    assert first.generation_ns == first.output_tokens * 1_000_000_000 // 25


def test_same_question_has_same_answer(box: OllamaStandIn) -> None:
    """An answer depends on the question and on the model, and on nothing else."""
    with OllamaStandIn() as other:
        answers = [generation(box).text, generation(other).text]

    assert answers[0] == answers[1]
    assert generation(box, call("What is Ruby?")).text != answers[0]
    assert generation(box, call(model="ollama/llama3.2")).text != answers[0]


def test_longer_question_has_longer_answer(box: OllamaStandIn) -> None:
    """A question of many words is answered at more length, and its tokens are counted."""
    short = generation(box)
    long = generation(box, call("Compare the consistency models of distributed databases in depth. " * 10))

    assert long.output_tokens > short.output_tokens
    assert long.input_tokens > short.input_tokens


def test_answer_stops_at_its_limit(box: OllamaStandIn) -> None:
    """An answer with a bound is the beginning of the answer without one, and says that it was cut."""
    whole = generation(box)
    cut = generation(box, call(max_tokens=5))

    assert (cut.output_tokens, cut.done_reason) == (5, "length")
    assert whole.text.startswith(cut.text)


def test_unknown_model_is_not_found(box: OllamaStandIn) -> None:
    """A model that is not installed is named as missing."""
    with pytest.raises(ModelNotFoundError):
        ask(box, call(model="ollama/mistral"))


def test_prompt_that_does_not_fit_is_refused(box: OllamaStandIn) -> None:
    """A prompt longer than the context is an error and never silently cut."""
    with pytest.raises(PromptTooLongError):
        ask(box, call("word " * 2100))

    assert generation(box, call("word " * 2100, model="ollama/llama3.2")).input_tokens == 2108


@pytest.mark.parametrize(
    ("fault", "after_tokens", "error"),
    [
        (Fault.BUSY, 0, "busy"),
        (Fault.FAILURE, 0, "failed"),
        (Fault.ERROR_LINE, 0, "failed"),
        (Fault.ERROR_LINE, 3, "failed"),
        (Fault.CUT, 0, "broke off"),
        (Fault.CUT, 3, "broke off"),
        (Fault.RESET, 0, "broke off"),
        (Fault.RESET, 3, "broke off"),
        (Fault.GARBAGE, 0, "makes no sense"),
        (Fault.GARBAGE, 3, "makes no sense"),
    ],
)
def test_misbehaviour_is_an_unavailable_model_once(
    box: OllamaStandIn, fault: Fault, after_tokens: int, error: str
) -> None:
    """Each fault strikes one question, after the pieces before it; the next question is answered."""
    box.next_behaviours.append(Behaviour(fault=fault, after_tokens=after_tokens))
    answer = client(box).generate(call(), deadline_ms=now_ms() + 10_000)
    pieces = [next(answer) for _ in range(after_tokens)]

    with pytest.raises(ModelUnavailableError, match=error):
        next(answer)

    assert generation(box).text.startswith("".join(map(str, pieces)))
    assert len(box.calls) == 2


def test_refused_connection_is_an_unavailable_model(box: OllamaStandIn) -> None:
    """Nobody listens for a while; then the same address answers again."""
    with box.refusing(), pytest.raises(ModelUnavailableError, match="cannot be reached"):
        ask(box)

    assert generation(box).done_reason == "stop"


@pytest.mark.parametrize("after_tokens", [0, 3])
def test_silence_is_an_unavailable_model(box: OllamaStandIn, after_tokens: int) -> None:
    """A server silent for longer than a model takes to load is given up, and hears of it."""
    box.next_behaviours.append(Behaviour(fault=Fault.STALL, after_tokens=after_tokens))

    with pytest.raises(ModelUnavailableError, match="silent"):
        list(client(box, model_load_s=0.2).generate(call(), deadline_ms=now_ms() + 10_000))

    assert eventually(lambda: len(box.aborted) == 1)


def test_model_that_stops_in_the_middle_is_given_up_sooner(box: OllamaStandIn) -> None:
    """Once a model speaks its silences are short: a stall is noticed long before a load would have to be over."""
    box.next_behaviours.append(Behaviour(fault=Fault.STALL, after_tokens=3))

    with pytest.raises(ModelUnavailableError, match="silent"):
        list(client(box, stall_s=0.2).generate(call(), deadline_ms=now_ms() + 60_000))

    assert eventually(lambda: len(box.aborted) == 1)


def test_load_is_no_stall(box: OllamaStandIn) -> None:
    """Before the first piece a model may be silent for longer than in the middle, and pieces keep the answer alive."""
    box.next_behaviours.append(Behaviour(load_delay_s=1.3, token_delay_s=0.03))

    pieces = list(client(box, stall_s=1.0).generate(call(), deadline_ms=now_ms() + 60_000))

    assert isinstance(pieces[-1], Generation)


@pytest.mark.parametrize("after_tokens", [0, 3])
def test_deadline_ends_a_read_that_has_begun(box: OllamaStandIn, after_tokens: int) -> None:
    """At the deadline a silent connection is closed, before and after the first piece, and the server hears of it."""
    box.next_behaviours.append(Behaviour(fault=Fault.STALL, after_tokens=after_tokens))

    with pytest.raises(ModelTimeoutError):
        ask(box, seconds=1)

    assert eventually(lambda: len(box.aborted) == 1)


def test_deadline_ends_a_slow_answer(box: OllamaStandIn) -> None:
    """Pieces that keep coming do not carry an answer over its deadline."""
    box.behaviour = SLOWLY

    with pytest.raises(ModelTimeoutError):
        ask(box, call("Why? " * 80), seconds=1)

    assert eventually(lambda: len(box.aborted) == 1)


def test_closing_the_answer_stops_the_server(box: OllamaStandIn) -> None:
    """Closing the iterator closes the connection; the server stops and takes the next question."""
    box.next_behaviours.append(SLOWLY)
    answer = client(box).generate(call(), deadline_ms=now_ms() + 10_000)
    next(answer)

    answer.close()

    assert eventually(lambda: len(box.aborted) == 1)
    assert generation(box).done_reason == "stop"


def test_second_slot_answers_beside_the_first() -> None:
    """With two slots a question does not wait for the one before it."""
    with OllamaStandIn(parallel=2) as box:
        box.next_behaviours.append(Behaviour(fault=Fault.STALL))
        first = client(box).generate(call(), deadline_ms=now_ms() + 10_000)
        next(first)

        assert generation(box).done_reason == "stop"
        first.close()


def test_question_waits_for_its_turn_and_can_be_taken_back(box: OllamaStandIn) -> None:
    """One answer is made at a time, and a caller that leaves while it waits costs nothing."""
    box.next_behaviours.append(Behaviour(fault=Fault.STALL))
    first = client(box).generate(call(), deadline_ms=now_ms() + 10_000)
    next(first)

    with pytest.raises(ModelTimeoutError):
        ask(box, call(model="ollama/llama3.2"), seconds=0.2)
    assert eventually(lambda: len(box.aborted) == 1)
    first.close()
    generation(box)

    assert list(box.loads) == ["tinyllama"]


def test_residency_is_modelled(box: OllamaStandIn) -> None:
    """Models are loaded once and stay; a third drives out the one used the longest ago."""
    with OllamaStandIn(models=("tinyllama", "llama3.2", "gemma3:1b")) as large:
        for model in ("tinyllama", "llama3.2", "tinyllama", "gemma3:1b"):
            generation(large, call(model=f"ollama/{model}"))

        assert list(large.loads) == ["tinyllama", "llama3.2", "gemma3:1b"]
        assert names(large, "/api/ps") == ["gemma3:1b", "tinyllama:latest"]
    assert names(box, "/api/ps") == []


def test_state_shows_disk_and_memory(box: OllamaStandIn) -> None:
    """The client reads what is installed, and what is resident with which context, until when."""
    generation(box)
    state = client(box).state()

    assert state.version.endswith("+stand-in")
    assert [each.name for each in state.installed] == ["tinyllama:latest", "llama3.2:latest"]
    assert [(each.name, each.context_length, each.expires_at[:4]) for each in state.resident] == [
        ("tinyllama:latest", 2048, "2318")
    ]
    assert (state.is_resident("ollama/tinyllama"), state.is_resident("ollama/llama3.2")) == (True, False)


def test_state_of_a_dead_box_is_an_unavailable_model(box: OllamaStandIn) -> None:
    """A box nobody listens on has no state."""
    with box.refusing(), pytest.raises(ModelUnavailableError):
        client(box).state()


def test_changed_load_option_loads_anew(box: OllamaStandIn) -> None:
    """Another context size or another shift costs a load, another length or temperature does not."""
    body = {"model": "tinyllama", "messages": [{"role": "user", "content": "Hi"}], "stream": False}
    variants: list[dict[str, Any]] = [
        {"options": {"num_ctx": 2048}},
        {"options": {"num_ctx": 2048, "num_predict": 3, "temperature": 1}},
        {"options": {"num_ctx": 1024}},
        {"options": {"num_ctx": 1024}, "shift": False},
    ]
    loaded = ["load_duration" in post(box, "/api/chat", body | variant).json() for variant in variants]

    assert loaded == [True, False, True, True]


def test_load_through_the_client(box: OllamaStandIn) -> None:
    """A model that was loaded beforehand stays, and answers without being loaded anew."""
    client(box).load("ollama/tinyllama", deadline_ms=now_ms() + 10_000)
    (resident,) = httpx.get(f"{box.base_url}/api/ps").json()["models"]
    answered = generation(box)

    assert "2318-01-01T00:00:00Z" == resident["expires_at"]
    assert (0, ["tinyllama"]) == (answered.load_ns, list(box.loads))


@pytest.mark.parametrize(
    ("behaviour", "model", "error"),
    [
        (Behaviour(fault=Fault.BUSY), "ollama/tinyllama", ModelUnavailableError),
        (Behaviour(), "ollama/gemma3", ModelNotFoundError),
        (Behaviour(load_delay_s=5), "ollama/tinyllama", ModelTimeoutError),
    ],
    ids=["busy", "missing", "too slow"],
)
def test_load_that_fails(box: OllamaStandIn, behaviour: Behaviour, model: str, error: type[Exception]) -> None:
    """A load fails as an answer does, with the same errors, and not later than its deadline."""
    box.next_behaviours.append(behaviour)
    with pytest.raises(error):
        client(box).load(model, deadline_ms=now_ms() + 300)


def test_load_and_unload_without_a_question(box: OllamaStandIn) -> None:
    """An empty conversation only loads a model, and with a life of zero only unloads it."""
    loaded = post(box, "/api/chat", {"model": "tinyllama", "stream": False, "keep_alive": "5m"}).json()
    resident = names(box, "/api/ps")
    unloaded = post(box, "/api/generate", {"model": "tinyllama", "stream": False, "keep_alive": 0}).json()

    assert (loaded["done_reason"], resident) == ("load", ["tinyllama:latest"])
    assert (unloaded["done_reason"], names(box, "/api/ps")) == ("unload", [])


def test_model_stays_as_long_as_it_was_asked_to(box: OllamaStandIn) -> None:
    """A life of zero ends with the answer; the client's own calls keep the model for good."""
    post(box, "/api/generate", {"model": "tinyllama", "prompt": "Hi", "keep_alive": 0})
    after_zero = names(box, "/api/ps")
    generation(box)

    assert (after_zero, names(box, "/api/ps")) == ([], ["tinyllama:latest"])


def test_answers_in_one_piece_have_ollamas_fields(box: OllamaStandIn) -> None:
    """Without streaming, chat and generate answer one object each, with the same text and figures."""
    chat = post(
        box,
        "/api/chat",
        {"model": "tinyllama", "messages": [{"role": "user", "content": "Hi"}], "stream": False},
    ).json()
    generate = post(box, "/api/generate", {"model": "tinyllama", "prompt": "Hi", "stream": False}).json()
    common = ["done", "done_reason", "total_duration", "load_duration", "prompt_eval_count", "prompt_eval_duration"]

    assert list(chat) == ["model", "created_at", "message", *common, "eval_count", "eval_duration"]
    assert chat["message"] == {"role": "assistant", "content": generate["response"]}
    assert chat["eval_count"] == generate["eval_count"]


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        (b"{", 400, "truncated"),
        (b"{}", 400, "model is required"),
        (b'{"model": "nope"}', 404, "model 'nope' not found"),
    ],
)
def test_errors_have_ollamas_shape(box: OllamaStandIn, body: bytes, status: int, words: str) -> None:
    """An error is a status and one object with the reason."""
    answer = httpx.post(f"{box.base_url}/api/chat", content=body, trust_env=False)

    assert answer.status_code == status
    assert words in answer.json()["error"]


def test_root_says_that_it_runs(box: OllamaStandIn) -> None:
    """The root is the liveness check people know."""
    assert httpx.get(box.base_url, trust_env=False).text == "Ollama is running"


def test_stopping_ends_what_is_under_way() -> None:
    """Leaving the stand-in neither waits for a stalled answer nor leaves a thread or a socket behind."""
    before = [each for each in threading.enumerate() if each.name == "ollama-stand-in"]
    with OllamaStandIn(behaviour=Behaviour(fault=Fault.STALL)) as box:
        answer = client(box).generate(call(), deadline_ms=now_ms() + 10_000)
        next(answer)

    with pytest.raises(ModelUnavailableError, match="broke off"):
        list(answer)
    assert [each for each in threading.enumerate() if each.name == "ollama-stand-in"] == before


def test_deadline_covers_a_server_that_sends_no_status() -> None:
    """A server that accepts and then trickles header bytes is left at the deadline."""
    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor(1) as threads:

        def trickle() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.sendall(b"HTTP/1.1 200 OK\r\n")
                while connection.send(b"X-Pad: 1\r\n"):
                    time.sleep(0.02)

        server = threads.submit(trickle)
        address = f"http://127.0.0.1:{listener.getsockname()[1]}"
        answer = OllamaClient(address, clock=now_ms).generate(call(), deadline_ms=now_ms() + 300)
        with pytest.raises(ModelTimeoutError):
            next(answer)

        assert isinstance(server.exception(), OSError)


def test_stand_in_runs_by_itself() -> None:
    """As a module it serves the models it is given, says where, and ends quietly when terminated."""
    command = [sys.executable, "-m", "infra.local.ollama_stand_in", "--port", "0", "--model", "gemma3:1b"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        address = process.stdout.readline().split()[-1]
        installed = OllamaClient(address, clock=now_ms).state().installed
        process.terminate()
        _, errors = process.communicate(timeout=PATIENCE_S)

    assert [each.name for each in installed] == ["gemma3:1b"]
    assert (process.returncode, errors) == (0, "")
