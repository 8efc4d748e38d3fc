import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_router.estimates import Pace
from llm_router.models import Generation
from tests.fakes import NOW_MS

NS_PER_S = 1_000_000_000


def generation(**changes: object) -> Generation:
    fields = {
        "text": "x",
        "model": "ollama/llama3.2",
        "done_reason": "stop",
        "input_tokens": 100,
        "output_tokens": 200,
        "load_ns": 16 * NS_PER_S,
        "prompt_ns": 2 * NS_PER_S,
        "generation_ns": 20 * NS_PER_S,
    }
    return Generation(**(fields | changes))


def test_nothing_is_expected_of_an_unknown_box() -> None:
    """Before the first generation there is no estimate, rather than a guess."""
    assert Pace(model="m").expected_ms(prompt_chars=100, max_tokens=100, resident=True) is None


def test_first_generation_sets_the_figures() -> None:
    """The first sample is taken as it is: 50 tokens a second read, 10 written, 16 s to load."""
    pace = Pace(model="m").learn(generation(), NOW_MS)

    assert pace == Pace(
        model="m",
        load_ms=16_000,
        prompt_tokens_per_second=50,
        output_tokens_per_second=10,
        output_tokens=200,
        learned_at_ms=NOW_MS,
    )


def test_expected_time_is_load_and_prompt_and_output() -> None:
    """400 characters are 100 tokens, 2 s; 200 tokens of answer are 20 s; loading adds 16 s where it is needed."""
    pace = Pace(model="m").learn(generation(), NOW_MS)

    assert pace.expected_ms(prompt_chars=400, max_tokens=1000, resident=True) == 22_000
    assert pace.expected_ms(prompt_chars=400, max_tokens=1000, resident=False) == 38_000


def test_caller_s_limit_shortens_the_expectation() -> None:
    """An answer is not expected to be longer than the caller lets it be."""
    pace = Pace(model="m").learn(generation(), NOW_MS)

    assert pace.expected_ms(prompt_chars=0, max_tokens=50, resident=True) == 5_000


def test_newer_generations_move_the_figures() -> None:
    """A second, slower generation moves the rate a fifth of the way."""
    pace = Pace(model="m").learn(generation(), NOW_MS).learn(generation(generation_ns=40 * NS_PER_S), NOW_MS)

    assert pace.output_tokens_per_second == pytest.approx(9)


def test_finding_a_resident_model_is_no_load() -> None:
    """A load of a few milliseconds is no sample of how long loading takes."""
    pace = Pace(model="m").learn(generation(), NOW_MS).learn(generation(load_ns=20_000_000), NOW_MS)

    assert pace.load_ms == 16_000


@given(st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 10**12)), max_size=20))
def test_any_generations_give_a_usable_estimate(samples: list[tuple[int, int]]) -> None:
    """Whatever a box reports, zeros included, an estimate is a non-negative number of milliseconds or none."""
    pace = Pace(model="m")
    for tokens, duration_ns in samples:
        pace = pace.learn(generation(input_tokens=tokens, output_tokens=tokens, generation_ns=duration_ns), NOW_MS)

    expected = pace.expected_ms(prompt_chars=1000, max_tokens=100, resident=False)
    assert expected is None or expected >= 0
