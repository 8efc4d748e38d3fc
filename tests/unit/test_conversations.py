from collections.abc import Callable
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from llm_router.box import answer_limit_tokens, context_tokens
from llm_router.conversations import (
    CLAIM_HOLDS_MS,
    MAX_HISTORY_TOKENS,
    Conversations,
    continued,
    fitting,
    message_tokens,
    newest,
)
from llm_router.errors import ConflictError, RequestTooLargeError, RouterError, StoreError
from llm_router.jobs import cancelled, failed, succeeded
from llm_router.models import Conversation, Failure, Job, JobStatus, Turn
from tests.builders import TINY, make_answer, make_job, make_request
from tests.fakes import NOW_MS, FakeConversationStore, FakeJobStore, SettableClock

LARGE = "ollama/llama3.2"
FAILURE = Failure(code="model_error", message="it failed")
TOO_LONG = Failure(code="prompt_too_long", message="it does not fit")
TURNS = tuple(Turn(f"question {number}", f"answer {number}") for number in range(4))

texts = st.text(max_size=300) | st.integers(0, 9000).map("x".__mul__)
turns = st.lists(st.builds(Turn, texts, texts), max_size=12).map(tuple)


def tokens_of(said: tuple[Turn, ...]) -> int:
    """Return what some turns take together."""
    return sum(message_tokens(text) for turn in said for text in (turn.question, turn.answer))


class World:
    """Conversations and the parts they are made of."""

    def __init__(self, look: Callable[[str], Job] | None = None) -> None:
        self.clock = SettableClock()
        self.store = FakeConversationStore(self.clock)
        self.jobs = FakeJobStore(self.clock)
        self.conversations = Conversations(self.store, look or self.jobs.get, self.clock)

    def read(self, job_id: str | None = None, *, tenant: str = "default") -> Conversation:
        """Return the usual conversation as a request finds it."""
        conversation = self.conversations.read(tenant, "c", job_id)
        assert conversation is not None
        return conversation

    def ask(self, job_id: str, prompt: str = "What is Python?", error: RouterError | None = None) -> None:
        """Begin a request, unless `error` keeps it from being stored."""
        with self.conversations.claimed(self.read(job_id), job_id):
            if error is not None:
                raise error
            self.jobs.open(make_job(job_id, prompt, flight=None))

    def end(self, job_id: str, end: Callable[[Job], Job]) -> None:
        """Let a request end."""
        self.jobs.jobs[job_id] = end(self.jobs.jobs[job_id])


def answered(text: str = "A language.") -> Callable[[Job], Job]:
    """Return what ends a request with an answer."""
    return lambda job: succeeded(job, make_answer(text), NOW_MS)


@given(turns, st.integers(-1000, 20_000))
def test_newest_turns(said: tuple[Turn, ...], bound: int) -> None:
    """What is kept is the end of the conversation, takes no more than the bound, and one turn more would."""
    kept = newest(said, bound)
    left_out = said[: len(said) - len(kept)]

    assert said == left_out + kept
    assert kept == () or tokens_of(kept) <= bound
    assert left_out == () or tokens_of((left_out[-1], *kept)) > bound


@given(turns, st.sampled_from([TINY, LARGE]), st.text(min_size=1, max_size=2000), st.none() | st.text(max_size=2000))
def test_turns_that_fit(said: tuple[Turn, ...], model: str, message: str, system_prompt: str | None) -> None:
    """Turns, instruction, question and a usual answer stay within the model's context; the end of the turns is sent."""
    request = make_request(message, system_prompt=system_prompt)
    sent = fitting(said, model, request)
    beside = message_tokens(message) + message_tokens(system_prompt or "") + answer_limit_tokens(model)

    assert sent == said[len(said) - len(sent) :]
    assert sent == () or tokens_of(sent) + beside <= context_tokens(model)


@given(turns)
def test_cloud_gets_what_is_kept(said: tuple[Turn, ...]) -> None:
    """A cloud model's context holds every turn there is."""
    assert said == fitting(said, "cloud/gpt-4o-mini", make_request())


@given(turns)
def test_what_is_kept_is_bounded(said: tuple[Turn, ...]) -> None:
    """However long a conversation gets, and in whatever steps, the bound holds, and the newest turns stay."""
    kept: tuple[Turn, ...] = ()
    for turn in said:
        kept = continued(kept, succeeded(make_job(prompt=turn.question), make_answer(turn.answer), NOW_MS))

        assert tokens_of(kept) <= MAX_HISTORY_TOKENS

    assert kept == newest(tuple(turn for turn in said if turn.answer.strip()), MAX_HISTORY_TOKENS)


@given(st.text())
def test_estimate_is_not_too_low(text: str) -> None:
    """A message is taken for at least a token for every three ASCII characters and every other byte."""
    assert 3 * message_tokens(text) >= len(text.encode())


def test_single_question() -> None:
    """Without an id there is no conversation: nothing is read, sent or claimed."""
    world = World()
    world.store.broken = {"get", "claim"}
    conversation = world.conversations.read("default", None)
    with world.conversations.claimed(conversation, "one"):
        pass

    assert conversation is None


def test_answers_become_turns() -> None:
    """Every answered request is a turn for the next ones, in their order."""
    world = World()
    for number in range(3):
        world.ask(f"job {number}", f"question {number}")
        world.end(f"job {number}", answered(f"answer {number}"))

    assert TURNS[:3] == world.read().turns


@pytest.mark.parametrize(
    "end",
    [
        pytest.param(lambda job: failed(job, FAILURE, NOW_MS), id="failed"),
        pytest.param(lambda job: cancelled(job, FAILURE, NOW_MS), id="cancelled"),
        pytest.param(answered(" \n"), id="empty"),
    ],
)
def test_requests_without_an_answer_are_left_out(end: Callable[[Job], Job]) -> None:
    """What has no answer is no turn, and keeps nobody from going on."""
    world = World()
    world.ask("one", "question 0")
    world.end("one", answered("answer 0"))
    world.ask("two")
    world.end("two", end)
    before = world.read().turns
    world.ask("three", "question 1")
    world.end("three", answered("answer 1"))

    assert TURNS[:1] == before
    assert TURNS[:2] == world.read().turns


def test_cut_answer_is_a_turn() -> None:
    """An answer that ran into its limit was read by its caller, who may well say: go on."""
    job = succeeded(make_job(prompt="question 0"), make_answer("answer 0", done_reason="length"), NOW_MS)

    assert TURNS[:1] == continued((), job)


@pytest.mark.parametrize(("sent", "left"), [(TURNS, TURNS[2:]), (TURNS[1:], TURNS[3:]), (TURNS[3:], ()), ((), TURNS)])
def test_turns_that_were_too_long(sent: tuple[Turn, ...], left: tuple[Turn, ...]) -> None:
    """When the model could not read what it was sent, the older half goes; a long question alone costs nothing."""
    assert left == continued(TURNS, failed(make_job(history=sent), TOO_LONG, NOW_MS))


@pytest.mark.parametrize("status", [status for status in JobStatus if not status.finished])
def test_one_at_a_time(status: JobStatus) -> None:
    """While a request is on its way the next one is refused: the conflict names the field and the request."""
    world = World()
    world.ask("one")
    world.jobs.jobs["one"] = replace(world.jobs.jobs["one"], status=status)
    with pytest.raises(ConflictError, match=r"^must wait until its request one has ended$") as refused:
        world.read("two")

    assert "conversation_id" == refused.value.field


def test_same_request_again() -> None:
    """A request is not in its own way: it finds what it found before, and may claim again."""
    world = World()
    world.ask("one", "question 0")
    world.end("one", answered("answer 0"))
    world.ask("two")
    del world.jobs.jobs["two"]  # it crashed between claim and store
    world.ask("two")

    assert TURNS[:1] == world.read("two").turns
    assert "two" in world.jobs.jobs


def test_two_at_once() -> None:
    """Of two who read the same state only one is accepted."""
    world = World()
    late = world.read("two")
    world.ask("one")
    with (
        pytest.raises(ConflictError, match=r"^another request of it came first$") as refused,
        world.conversations.claimed(late, "two"),
    ):
        pytest.fail("the claim was not refused")

    assert "conversation_id" == refused.value.field


def test_claim_of_one_who_crashed() -> None:
    """A claim whose request is not stored holds for half a minute, and then is as if it had never been."""
    world = World()
    world.store.claim(replace(world.read(), turns=TURNS), "lost")
    world.clock.advance(CLAIM_HOLDS_MS - 1)
    with pytest.raises(ConflictError, match="lost"):
        world.read()
    world.clock.advance(1)

    assert TURNS == world.read().turns


@pytest.mark.parametrize("error", [StoreError("the table failed"), RequestTooLargeError("too large")])
def test_request_that_cannot_be_stored(error: RouterError) -> None:
    """Who could not be stored gives the conversation back at once, with its turns."""
    world = World()
    world.ask("one", "question 0")
    world.end("one", answered("answer 0"))
    with pytest.raises(type(error)):
        world.ask("two", error=error)

    assert TURNS[:1] == world.read("three").turns


def test_request_that_is_stored_all_the_same() -> None:
    """Who is stored, though the table failed afterwards, keeps the conversation: its answer is the next turn."""
    world = World()

    def open_in_vain() -> None:
        with world.conversations.claimed(world.read("one"), "one"):
            world.jobs.open(make_job("one", prompt="question 0"))
            raise StoreError("the flight could not be claimed")

    with pytest.raises(StoreError):
        open_in_vain()
    with pytest.raises(ConflictError, match="one"):
        world.read("two")
    world.end("one", answered("answer 0"))

    assert TURNS[:1] == world.read("two").turns


def test_request_that_is_stored_already() -> None:
    """Who finds itself stored by another with the same key leaves it the conversation."""
    world = World()
    world.ask("one")
    with pytest.raises(ConflictError, match="a request with this id exists"):
        world.ask("one", error=ConflictError("a request with this id exists"))
    with pytest.raises(ConflictError, match="one"):
        world.read("two")


def test_claim_that_cannot_be_given_back() -> None:
    """What is raised is why the request was not stored, not why the claim stays."""
    world = World()
    world.store.broken = {"release"}
    with pytest.raises(StoreError, match=r"^the table failed$"):
        world.ask("one", error=StoreError("the table failed"))


@given(
    st.lists(
        st.tuples(st.sampled_from(["read", "store", "answer", "fail"]), st.integers(0, 1)), min_size=20, max_size=60
    )
)
def test_any_order_of_callers(steps: list[tuple[str, int]]) -> None:
    """However callers' steps fall between each other's, one request at a time is accepted, and it has every turn."""
    world = World()
    found: dict[int, Conversation] = {}
    answers: list[str] = []
    running: str | None = None
    for number, (step, caller) in enumerate(steps):
        with suppress(ConflictError):
            if step == "read":
                found.pop(caller, None)
                found[caller] = world.read(f"job {number}")
            elif step == "store" and caller in found:
                conversation = found.pop(caller)
                with world.conversations.claimed(conversation, f"job {number}"):
                    assert running is None
                    assert answers == [turn.question for turn in conversation.turns]

                    world.jobs.open(make_job(f"job {number}", f"job {number}", flight=None))
                    running = f"job {number}"
            elif step in {"answer", "fail"} and running is not None:
                ended = answered() if step == "answer" else lambda job: failed(job, FAILURE, NOW_MS)
                world.end(running, ended)
                answers += [running] if step == "answer" else []
                running = None


def test_tenants_are_apart() -> None:
    """Another tenant's conversation of the same name is another one."""
    world = World()
    world.ask("one")
    world.end("one", answered())

    assert () == world.read(tenant="other").turns


def test_reading_changes_nothing() -> None:
    """Reading takes no claim, however often."""
    world = World()
    world.store.broken = {"claim", "release"}

    assert world.read() == world.read()
