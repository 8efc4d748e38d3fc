"""What a model behind a circuit breaker reports, and what it does when the breaker itself is broken."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from llm_router.breaker import Admission, Breaker, GuardedModel, SleepingBreaker
from llm_router.errors import (
    ConflictError,
    ModelError,
    ModelNotFoundError,
    ModelTimeoutError,
    ModelUnavailableError,
    PromptTooLongError,
    ResponseFormatError,
    RouterError,
    StoreError,
)
from llm_router.models import Generation, ModelCall
from tests.builders import make_generation
from tests.fakes import NOW_MS, FakeBreaker, FakeModel, FakeSchedule

CALL = ModelCall(model="ollama/tinyllama", prompt="Hi", max_tokens=8)
PROBE = Admission("probe")


class ScriptedBreaker:
    """Breaker that admits a probe, or raises; `reports` are the outcomes it heard of."""

    def __init__(self, *, on_check: RouterError | None = None, on_report: StoreError | None = None) -> None:
        self.reports: list[tuple[str, Admission]] = []
        self._on_check = on_check
        self._on_report = on_report

    def check(self) -> Admission:
        """Admit a probe, or raise."""
        if self._on_check:
            raise self._on_check
        return PROBE

    def succeeded(self, admission: Admission) -> None:
        """Note a success."""
        self._note("succeeded", admission)

    def failed(self, admission: Admission) -> None:
        """Note a failure."""
        self._note("failed", admission)

    def abandoned(self, admission: Admission) -> None:
        """Note a call that was given up."""
        self._note("abandoned", admission)

    def retry_after_ms(self) -> int | None:
        """Never wait."""
        return None

    def _note(self, outcome: str, admission: Admission) -> None:
        self.reports.append((outcome, admission))
        if self._on_report:
            raise self._on_report


if TYPE_CHECKING:
    _PORT: type[Breaker] = ScriptedBreaker


def guarded(
    breaker: ScriptedBreaker, *script: str | Generation | RouterError | Callable[[], object]
) -> tuple[GuardedModel, FakeModel, list[StoreError]]:
    model = FakeModel(*script)
    troubles: list[StoreError] = []
    return GuardedModel(model=model, breaker=breaker, on_store_error=troubles.append), model, troubles


def test_answer_is_a_success() -> None:
    """Everything the model says is passed on, and its end is reported with the admission of this call."""
    breaker = ScriptedBreaker()
    model, inner, _ = guarded(breaker, "A ", "language.", make_generation())

    said = list(model.generate(CALL, deadline_ms=NOW_MS))

    assert said == ["A ", "language.", make_generation()]
    assert (inner.calls, inner.deadlines_ms) == ([CALL], [NOW_MS])
    assert breaker.reports == [("succeeded", PROBE)]


def test_reader_that_leaves_with_the_answer_is_a_success() -> None:
    """Nobody needs to exhaust the stream: the answer is the success, and what is below is closed."""
    breaker = ScriptedBreaker()
    model, inner, _ = guarded(breaker, "A", make_generation(), "never read")
    stream = model.generate(CALL, deadline_ms=NOW_MS)
    said = [next(stream), next(stream)]

    stream.close()

    assert said == ["A", make_generation()]
    assert (breaker.reports, inner.closed) == ([("succeeded", PROBE)], True)


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (ModelUnavailableError("gone"), "failed"),
        (ModelTimeoutError("late"), "failed"),
        (PromptTooLongError("long"), "succeeded"),
        (ResponseFormatError("odd"), "succeeded"),
        (ModelNotFoundError("missing"), "succeeded"),
        (ModelError("rejected"), "succeeded"),
        (ConflictError("cancelled"), "abandoned"),
        (StoreError("no key"), "abandoned"),
    ],
)
def test_errors_say_whether_the_server_is_alive(error: RouterError, outcome: str) -> None:
    """A silent server has failed, one that refuses is alive, and an error from elsewhere says nothing about it."""
    breaker = ScriptedBreaker()
    model, _, _ = guarded(breaker, "A", error)

    with pytest.raises(RouterError) as caught:
        list(model.generate(CALL, deadline_ms=NOW_MS))

    assert caught.value is error
    assert breaker.reports == [(outcome, PROBE)]


def test_reader_that_leaves_early_says_nothing_about_the_server() -> None:
    """A cancelled request is neither a success nor a failure."""
    breaker = ScriptedBreaker()
    model, inner, _ = guarded(breaker, "A", "B", make_generation())
    stream = model.generate(CALL, deadline_ms=NOW_MS)
    next(stream)

    stream.close()

    assert (breaker.reports, inner.closed) == ([("abandoned", PROBE)], True)


def test_stream_that_ends_without_an_answer_is_no_success() -> None:
    """Pieces alone are no answer; the reader decides what that means."""
    breaker = ScriptedBreaker()
    model, _, _ = guarded(breaker, "A")

    list(model.generate(CALL, deadline_ms=NOW_MS))

    assert breaker.reports == [("abandoned", PROBE)]


def test_open_circuit_spares_the_model() -> None:
    """While the circuit is open the model is not asked, and nothing is reported."""
    refusal = ModelUnavailableError("open")
    breaker = ScriptedBreaker(on_check=refusal)
    model, inner, _ = guarded(breaker, make_generation())

    with pytest.raises(ModelUnavailableError) as caught:
        next(model.generate(CALL, deadline_ms=NOW_MS))

    assert caught.value is refusal
    assert (inner.calls, breaker.reports) == ([], [])


def test_unreadable_circuit_counts_as_closed() -> None:
    """A breaker must not be the outage it guards against; somebody hears that it could not be read."""
    trouble = StoreError("no table")
    breaker = ScriptedBreaker(on_check=trouble)
    model, _, troubles = guarded(breaker, make_generation())

    said = list(model.generate(CALL, deadline_ms=NOW_MS))

    assert (said, troubles) == ([make_generation()], [trouble])
    assert breaker.reports == [("succeeded", Admission())]


def test_failing_report_does_not_cost_the_answer() -> None:
    """An answer that took minutes is not lost because its success cannot be written."""
    trouble = StoreError("no table")
    model, _, troubles = guarded(ScriptedBreaker(on_report=trouble), make_generation())

    said = list(model.generate(CALL, deadline_ms=NOW_MS))

    assert (said, troubles) == ([make_generation()], [trouble])


def test_failing_report_does_not_hide_why_the_model_failed() -> None:
    """The model's error reaches the caller, whatever becomes of the report."""
    model, _, troubles = guarded(ScriptedBreaker(on_report=StoreError("no table")), ModelUnavailableError("gone"))

    with pytest.raises(ModelUnavailableError, match="gone"):
        list(model.generate(CALL, deadline_ms=NOW_MS))

    assert len(troubles) == 1


def sleeping(breaker: Breaker, wakes_in_ms: int | None) -> SleepingBreaker:
    return SleepingBreaker(breaker=breaker, schedule=FakeSchedule(wakes_in_ms), clock=lambda: NOW_MS)


def test_server_that_sleeps_is_not_asked() -> None:
    """Calls are refused until the server wakes, without looking at the circuit, and the error says how long."""
    circuit = ScriptedBreaker(on_check=StoreError("the circuit was read"))

    with pytest.raises(ModelUnavailableError, match="sleeps") as caught:
        sleeping(circuit, 7000).check()

    assert (7000, 7000) == (caught.value.retry_after_ms, sleeping(circuit, 7000).retry_after_ms())


def test_server_that_is_awake_has_its_circuit() -> None:
    """Within its hours the circuit alone decides, and hears of every call."""
    circuit, open_circuit = ScriptedBreaker(), FakeBreaker()
    open_circuit.open_for_ms = 3000
    awake = sleeping(circuit, None)
    admission = awake.check()
    for report in (awake.succeeded, awake.failed, awake.abandoned):
        report(admission)

    assert [("succeeded", PROBE), ("failed", PROBE), ("abandoned", PROBE)] == circuit.reports
    assert (None, 3000) == (awake.retry_after_ms(), sleeping(open_circuit, None).retry_after_ms())


def test_going_to_sleep_over_a_call_is_no_failure() -> None:
    """A call that the end of the hours breaks off does not open the circuit for the next morning."""
    circuit = ScriptedBreaker()
    asleep = sleeping(circuit, 7000)
    for report in (asleep.succeeded, asleep.failed, asleep.abandoned):
        report(PROBE)

    assert [("succeeded", PROBE), ("abandoned", PROBE), ("abandoned", PROBE)] == circuit.reports
