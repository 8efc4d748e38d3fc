"""When a model is asked again, and when it is not."""

from collections.abc import Callable, Generator, Sequence
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_router.errors import (
    ModelError,
    ModelNotFoundError,
    ModelTimeoutError,
    ModelUnavailableError,
    PromptTooLongError,
    ResponseFormatError,
    RouterError,
)
from llm_router.models import Generation, ModelCall
from llm_router.retrying import RetryingModel, RetryPolicy
from tests.builders import make_generation
from tests.fakes import NOW_MS, FakeModel, SettableClock

if TYPE_CHECKING:
    from llm_router.ports import LanguageModel

CALL = ModelCall(model="ollama/tinyllama", prompt="Hi", max_tokens=8)
DEADLINE_MS = NOW_MS + 60_000
POLICY = RetryPolicy(max_attempts=3, base_ms=500, longest_wait_ms=5_000)

Script = Sequence[str | Generation | RouterError | Callable[[], object]]


class FickleModel:
    """LanguageModel that plays the next script at each call."""

    def __init__(self, *scripts: Script) -> None:
        self.left = [FakeModel(*script) for script in scripts]
        self.asked: list[FakeModel] = []

    def generate(self, call: ModelCall, *, deadline_ms: int) -> Generator[str | Generation, None, None]:
        """Play the next script."""
        self.asked.append(self.left.pop(0))
        return self.asked[-1].generate(call, deadline_ms=deadline_ms)


class Waits:
    """Sleeps by moving the clock; `seconds` are the waits."""

    def __init__(self, clock: SettableClock) -> None:
        self.seconds: list[float] = []
        self._clock = clock

    def __call__(self, seconds: float) -> None:
        """Let time pass."""
        self.seconds.append(seconds)
        self._clock.advance(int(seconds * 1000))


def unavailable(retry_after_ms: int | None = None) -> ModelUnavailableError:
    error = ModelUnavailableError("gone")
    error.retry_after_ms = retry_after_ms
    return error


def retrying(model: "LanguageModel", *, share: float = 1.0) -> tuple[RetryingModel, Waits]:
    clock = SettableClock()
    waits = Waits(clock)
    return RetryingModel(model=model, policy=POLICY, clock=clock, sleep=waits, random=lambda: share), waits


def test_answer_needs_one_try() -> None:
    """Without trouble nothing is repeated and nobody waits."""
    model = FickleModel(["A", make_generation()])
    outer, waits = retrying(model)

    said = list(outer.generate(CALL, deadline_ms=DEADLINE_MS))

    assert (said, waits.seconds) == (["A", make_generation()], [])
    assert (model.asked[0].calls, model.asked[0].deadlines_ms) == ([CALL], [DEADLINE_MS])


def test_server_that_is_away_for_a_moment_is_asked_again() -> None:
    """Two refused tries and an answer are an answer, after waits that double."""
    model = FickleModel([unavailable()], [unavailable()], [make_generation()])
    outer, waits = retrying(model)

    said = list(outer.generate(CALL, deadline_ms=DEADLINE_MS))

    assert (said, waits.seconds) == ([make_generation()], [0.5, 1.0])
    assert all(each.closed for each in model.asked)


def test_last_try_says_why_it_failed() -> None:
    """After the last try its own error is raised, without another wait."""
    last = unavailable()
    outer, waits = retrying(FickleModel([unavailable()], [unavailable()], [last]))

    with pytest.raises(ModelUnavailableError) as caught:
        list(outer.generate(CALL, deadline_ms=DEADLINE_MS))

    assert caught.value is last
    assert waits.seconds == [0.5, 1.0]


def test_nothing_is_repeated_after_the_first_piece() -> None:
    """Text that has been passed on is not followed by another answer."""
    model = FickleModel(["A", unavailable()], [make_generation()])
    outer, waits = retrying(model)
    stream = outer.generate(CALL, deadline_ms=DEADLINE_MS)
    first = next(stream)

    with pytest.raises(ModelUnavailableError):
        next(stream)

    assert (first, len(model.asked), waits.seconds) == ("A", 1, [])


@pytest.mark.parametrize(
    "error",
    [
        PromptTooLongError("long"),
        ResponseFormatError("odd"),
        ModelNotFoundError("missing"),
        ModelError("rejected"),
        ModelTimeoutError("late"),
    ],
    ids=lambda error: error.code,
)
def test_what_stays_wrong_is_not_repeated(error: ModelError) -> None:
    """Asking again would only cost time."""
    model = FickleModel([error], [make_generation()])
    outer, _ = retrying(model)

    with pytest.raises(ModelError) as caught:
        list(outer.generate(CALL, deadline_ms=DEADLINE_MS))

    assert (caught.value, len(model.asked)) == (error, 1)


def test_wait_that_would_meet_the_deadline_is_not_begun() -> None:
    """A wait of half a second is useless when half a second is left."""
    model = FickleModel([unavailable()], [make_generation()])
    outer, waits = retrying(model)

    with pytest.raises(ModelUnavailableError):
        list(outer.generate(CALL, deadline_ms=NOW_MS + 500))

    assert (len(model.asked), waits.seconds) == (1, [])


def test_leaving_the_answer_leaves_the_model() -> None:
    """Closing the stream closes the one below, and nothing is tried again."""
    model = FickleModel(["A", "B"], [make_generation()])
    outer, _ = retrying(model)
    stream = outer.generate(CALL, deadline_ms=DEADLINE_MS)
    next(stream)

    stream.close()

    assert [each.closed for each in model.asked] == [True]


@pytest.mark.parametrize(
    ("attempt", "error", "remaining_ms", "share", "delay_ms"),
    [
        (1, unavailable(), 60_000, 0.0, 0),
        (1, unavailable(), 60_000, 0.999, 499),
        (2, unavailable(), 60_000, 0.5, 500),
        (3, unavailable(), 60_000, 0.5, None),
        (1, unavailable(1_000), 60_000, 0.5, 1_250),
        (1, unavailable(0), 60_000, 0.5, 250),
        (1, unavailable(30_000), 60_000, 0.0, None),
        (1, unavailable(), 250, 0.5, None),
        (1, unavailable(), 251, 0.5, 250),
        (1, unavailable(), -1, 0.0, None),
    ],
)
def test_waits_follow_the_policy(
    attempt: int, error: ModelUnavailableError, remaining_ms: int, share: float, delay_ms: int | None
) -> None:
    """A wait is a share of a bound that doubles, on top of what the server asks for, if there is time."""
    assert delay_ms == POLICY.delay_ms(attempt, error, remaining_ms=remaining_ms, random=lambda: share)


@given(
    attempt=st.integers(1, 40),
    retry_after_ms=st.none() | st.integers(0, 10**6),
    remaining_ms=st.integers(-(10**6), 10**6),
    share=st.floats(0, 1, exclude_max=True),
)
def test_waits_keep_their_bounds(attempt: int, retry_after_ms: int | None, remaining_ms: int, share: float) -> None:
    """No wait is longer than the longest, shorter than asked for, or as long as the time left."""
    patient = RetryPolicy(max_attempts=50)
    delay_ms = patient.delay_ms(attempt, unavailable(retry_after_ms), remaining_ms=remaining_ms, random=lambda: share)

    assert delay_ms is None or (retry_after_ms or 0) <= delay_ms <= patient.longest_wait_ms
    assert delay_ms is None or delay_ms < remaining_ms
