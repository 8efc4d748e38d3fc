from collections.abc import Sequence

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_router.classification import Complexity, Grader, LearnedClassifier, RuleClassifier
from llm_router.classification.expected_cost import cheapest_tier, expected_costs
from llm_router.classification.learned import softmax
from llm_router.classification.signals import NUMBERS, numbers, words
from llm_router.classification.weights import Head, Weights, shipped_weights
from llm_router.errors import EmbeddingError

NO_NUMBERS = (0.0,) * len(NUMBERS)
TOY = Weights(
    embedder_version="toy",
    fitted_on={},
    checksum="",
    divisor=1.0,
    number_names=NUMBERS,
    number_means=NO_NUMBERS,
    tiers=(Head(1.0, (0.0,), NO_NUMBERS), Head(0.0, (0.0,), NO_NUMBERS), Head(0.0, (2.0,), NO_NUMBERS)),
    words={"prove": (-1.0, 0.0, 4.0), "hello": (3.0, 0.0, -3.0)},
    strong_needed=Head(0.5, (1.0,), NO_NUMBERS),
)


def zero(prompt: str) -> Sequence[float]:
    """Embed nothing."""
    return [0.0] * len(TOY.tiers[0].embedding)


def broken(prompt: str) -> Sequence[float]:
    """Fail as an embedder does whose model is missing."""
    raise EmbeddingError("the embedding model is missing or broken")


def test_words_decide() -> None:
    """A word with weight for a tier moves a prompt there, and the reasons say so."""
    graded = LearnedClassifier(zero, weights=TOY).classify("Prove it")

    assert Complexity.COMPLEX is graded.complexity
    assert graded.reasons[0].startswith('"prove": +')
    assert Complexity.SIMPLE is LearnedClassifier(zero, weights=TOY).classify("Hello").complexity


def test_embedding_decides() -> None:
    """The same words with another embedding are graded by their meaning."""
    graded = LearnedClassifier(lambda _: [3.0], weights=TOY).classify("That one")

    assert Complexity.COMPLEX is graded.complexity
    assert ("meaning of the text: +6.0",) == graded.reasons
    assert 3.5 == graded.strong_needed


def test_grade_carries_what_a_caller_may_want_to_know() -> None:
    """Chances add up to one, the confidence is that of the tier, and the features are those of the rules."""
    graded = LearnedClassifier(zero, weights=TOY).classify("Prove it")

    assert Grader.LEARNED is graded.grader
    assert graded.chances is not None
    assert pytest.approx(1, abs=1e-3) == sum(graded.chances.values())
    assert pytest.approx(graded.chances[graded.complexity], abs=1e-3) == graded.confidence
    assert RuleClassifier().classify("Prove it").features == graded.features


def test_rules_stand_in_for_a_missing_embedder() -> None:
    """Without an embedding the rules grade the prompt, and the grade says that it is degraded."""
    prompt = "Explain the difference between REST and GraphQL APIs"
    graded = LearnedClassifier(broken, weights=TOY).classify(prompt)

    assert graded.degraded
    assert RuleClassifier().classify(prompt) == msgspec.structs.replace(graded, degraded=False)


def test_under_routing_costs_the_bias() -> None:
    """One tier too low costs the bias, two tiers twice that, and too high one a tier."""
    assert (0.5 * 3 + 0.25 * 6, 0.25 + 0.25 * 3, 0.25 * 2 + 0.5) == expected_costs((0.25, 0.5, 0.25), 3)


def test_bias_moves_the_threshold() -> None:
    """Of two tiers the lower one is chosen above a chance of bias / (1 + bias) only."""
    assert [0, 1] == [cheapest_tier((chance, 1 - chance, 0.0), 3) for chance in (0.77, 0.73)]
    assert [0, 1] == [cheapest_tier((chance, 1 - chance, 0.0), 1) for chance in (0.52, 0.48)]


def test_a_tie_goes_up() -> None:
    """Of tiers that cost nearly the same, the strongest is chosen."""
    assert 1 == cheapest_tier((0.505, 0.495, 0.0), 1)
    assert 2 == cheapest_tier((0.0, 0.505, 0.495), 1)


@given(st.lists(st.floats(-5, 5), min_size=3, max_size=3), st.floats(0.1, 10), st.floats(1, 5))
def test_a_larger_bias_never_sends_a_prompt_down(scores: list[float], bias: float, factor: float) -> None:
    """The tier never falls as under-routing becomes dearer."""
    assert cheapest_tier(softmax(scores), bias) <= cheapest_tier(softmax(scores), bias * factor)


@given(st.text(max_size=300))
def test_signals_of_any_text(prompt: str) -> None:
    """Every text has all numbers, each of the order of 1, and words."""
    measured = numbers(prompt, RuleClassifier().classify(prompt).features)

    assert len(NUMBERS) == len(measured)
    assert all(0 <= number <= 10 for number in measured)
    assert all(words(prompt))


def test_words_know_what_a_prompt_begins_with() -> None:
    """The first words count by themselves, numbers are all the same word, and case does not matter."""
    assert {"write", "<number>", "!", "^write", "^write <number>"} == words("Write 15!")
    assert frozenset() == words("")


def test_pasted_material_is_not_read_to_its_end() -> None:
    """What comes after the first 2,000 characters adds no word."""
    assert "needle" not in words(f"Summarise: {'hay ' * 600} needle")


def test_shipped_weights_are_the_ones_their_checksum_describes() -> None:
    """Weights and checksum were not edited without the other, and the shapes fit the code."""
    weights = shipped_weights()

    assert weights.with_checksum() == weights
    assert NUMBERS == weights.number_names
    assert {(384, len(NUMBERS))} == {
        (len(head.embedding), len(head.numbers)) for head in (*weights.tiers, weights.strong_needed)
    }
