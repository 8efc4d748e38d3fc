"""How the grader turns measurements into a tier, a confidence and reasons."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_router.classification import Complexity, Features, RuleClassifier
from llm_router.classification.scoring import SCORING_TABLE, confidence, points, tier

SHORT = "What is Python?"
DESIGN = (
    "Design a distributed cache system for a social media platform that handles 10 million requests per second with "
    "high availability"
)
VOCABULARY = [
    *["why", "compare", "explain", "redis", "api", "sql", "python", "database", "microservices", "sharding", "quorum"],
    *[", then", "Stop.", "Why?", "def f(x):", "e.g.", "3.14", "the", "rest", "of", "it", "\n", "1. a\n2. b", "```"],
]  # fmt: skip
prompts = st.text(max_size=300) | st.lists(st.sampled_from(VOCABULARY), max_size=150).map(" ".join)


def features(**measured: int) -> Features:
    nothing = dict.fromkeys(Features.__struct_fields__, 0)
    return Features(**{**nothing, **measured})


@pytest.mark.parametrize(
    ("feature", "amount", "score"),
    [
        *(("word_count", amount, score) for amount, score in ((0, 0), (30, 0), (31, 1), (100, 1), (101, 2))),
        *(("has_code", amount, score) for amount, score in ((False, 0), (True, 2))),
        *(("reasoning_indicators", amount, score) for amount, score in ((0, 0), (1, 1), (2, 1), (3, 2), (9, 2))),
        *(("technical_term_count", amount, score) for amount, score in ((1, 0), (2, 1), (4, 1), (5, 2), (50, 2))),
        *(("system_design_terms", amount, score) for amount, score in ((0, 0), (1, 2), (2, 2), (3, 3), (30, 3))),
        *(("is_multi_step", amount, score) for amount, score in ((False, 0), (True, 1))),
        *(("sentence_count", amount, score) for amount, score in ((3, 0), (4, 1), (40, 1))),
    ],
)
def test_table_rows(feature: str, amount: int, score: int) -> None:
    """Each row of the table gives its points from its boundary on, and a stronger row replaces a weaker one."""
    assert ({feature: score} if score else {}) == points(features(**{feature: amount}))


@pytest.mark.parametrize(
    ("total_score", "complexity"),
    [
        (0, Complexity.SIMPLE),
        (1, Complexity.SIMPLE),
        (2, Complexity.MEDIUM),
        (3, Complexity.MEDIUM),
        (4, Complexity.COMPLEX),
        (13, Complexity.COMPLEX),
    ],
)
def test_tiers(total_score: int, complexity: Complexity) -> None:
    """Totals up to 1 are simple, up to 3 medium, above that complex."""
    assert complexity == tier(total_score)


@pytest.mark.parametrize(("count", "score"), [(30, 0), (31, 1), (100, 1), (101, 2)])
def test_words_at_the_boundaries(count: int, score: int) -> None:
    """A prompt of 30 words gets nothing for its length, of 31 one point, of 101 two."""
    assert score == RuleClassifier().classify("word " * count).features.total_score


@pytest.mark.parametrize(
    ("prompt", "complexity"),
    [
        (SHORT, Complexity.SIMPLE),
        ("what's Python", Complexity.SIMPLE),
        ("Good morning!", Complexity.SIMPLE),
        ("Who painted the ceiling of the Sistine Chapel?", Complexity.SIMPLE),
        ("Explain the difference between REST and GraphQL APIs", Complexity.MEDIUM),
        ("Write a Python script that reads a CSV file", Complexity.MEDIUM),
        ("Find the mistake:\n```python\nprint(1/0)\n```", Complexity.MEDIUM),
        (DESIGN, Complexity.COMPLEX),
        (
            "Compare Kafka with RabbitMQ for an event-driven architecture, evaluate throughput and say why",
            Complexity.COMPLEX,
        ),
    ],
)
def test_grades(prompt: str, complexity: Complexity) -> None:
    """Greetings and facts are simple, comparisons and small programs medium, system designs complex."""
    assert complexity == RuleClassifier().classify(prompt).complexity


def test_features_of_a_prompt() -> None:
    """All ten features are reported, the score among them."""
    expected = Features(
        word_count=8,
        char_count=52,
        has_code=False,
        reasoning_indicators=2,
        technical_term_count=3,
        system_design_terms=0,
        is_multi_step=False,
        has_question_mark=False,
        sentence_count=1,
        total_score=2,
    )

    assert expected == RuleClassifier().classify("Explain the difference between REST and GraphQL APIs").features


def test_reasons_name_what_fired() -> None:
    """A reason names the feature, the terms behind it and its points; a feature without points is left out."""
    graded = RuleClassifier().classify("Compare Redis, JWT and latency under high availability, then stop.")

    assert graded.reasons == (
        "1 reasoning word (compare): +1",
        "3 technical terms (redis, jwt, latency): +1",
        "1 system-design term (high availability): +2",
        "1 chain of steps: +1",
    )


def test_long_lists_of_terms_are_cut() -> None:
    """A reason shows six terms at most."""
    graded = RuleClassifier().classify("redis mysql sqlite kotlin haskell erlang elixir")

    assert graded.reasons == ("7 technical terms (redis, mysql, sqlite, kotlin, haskell, erlang, ...): +2",)


def test_no_evidence_no_reasons() -> None:
    """A prompt in which nothing scores has no reasons and the lowest confidence there is."""
    graded = RuleClassifier().classify("Hello")

    assert (graded.complexity, graded.confidence, graded.reasons) == (Complexity.SIMPLE, 0.4, ())


def test_a_question_mark_is_seen() -> None:
    """A question mark is reported, in its full width as well, and scores nothing."""
    graded = [RuleClassifier().classify(prompt).features for prompt in ("So", "So?", "So\N{FULLWIDTH QUESTION MARK}")]

    assert [(each.has_question_mark, each.total_score) for each in graded] == [(False, 0), (True, 0), (True, 0)]


@given(st.dictionaries(st.sampled_from(list(SCORING_TABLE)), st.integers(0, 200)), st.sampled_from(list(SCORING_TABLE)))
def test_confidence_never_falls_with_more_evidence(amounts: dict[str, int], grown: str) -> None:
    """More of any feature never lowers the confidence, which stays between 0.4 and 0.95."""
    before = confidence(points(features(**amounts)))
    after = confidence(points(features(**{**amounts, grown: amounts.get(grown, 0) + 100})))

    assert 0.4 <= before <= after <= 0.95


def test_any_evidence_beats_none() -> None:
    """A single point of one feature is worth more confidence than nothing at all."""
    assert confidence({}) < confidence({"is_multi_step": 1})


def test_confidence_grows_with_the_distance_from_the_last_boundary() -> None:
    """Of equally many features, those that lift the total far above the boundary give more confidence."""
    near = confidence({"word_count": 1, "reasoning_indicators": 1, "system_design_terms": 2})
    far = confidence({"word_count": 2, "reasoning_indicators": 2, "system_design_terms": 3})

    assert near < far


@given(prompts)
def test_the_reasons_add_up(prompt: str) -> None:
    """The points in the reasons sum to the total score, and the tier follows from it."""
    graded = RuleClassifier().classify(prompt)
    total_score = sum(int(reason.rpartition("+")[2]) for reason in graded.reasons)

    assert (total_score, tier(total_score)) == (graded.features.total_score, graded.complexity)


@given(prompts, st.text(" \t\r\n", max_size=5), st.text(" \t\r\n", max_size=5))
def test_surrounding_white_space_changes_nothing(prompt: str, before: str, after: str) -> None:
    """White space around a prompt is not part of it."""
    assert RuleClassifier().classify(prompt) == RuleClassifier().classify(f"{before}{prompt}{after}")


@given(st.lists(st.sampled_from(VOCABULARY), max_size=30))
def test_reasons_are_single_lines(words: list[str]) -> None:
    """A reason is one short line that ends in its points."""
    graded = RuleClassifier().classify(" ".join(words))

    assert all(re.fullmatch(r"\d+ [^\n]{3,160}: \+[123]", reason) for reason in graded.reasons)


@pytest.mark.parametrize(
    "unit",
    [
        *["a", "a ", " \n", "\t\n", "(", "{", '{"', "<", "<a ", "[{ ", "`", "=", "$ ", "| ", ".", "a.", "...", "! "],
        *["1. ", "select a,", "let a = ", "(a, ", "def a", "for a in ", "and then ", "design a ", "multi head ", "🚀"],
    ],
)  # fmt: skip
def test_hostile_prompts(unit: str) -> None:
    """A longest possible prompt made of one repeated piece is graded like any other."""
    prompt = f"q {unit * 32_000}"[:31_999] + "z"

    assert RuleClassifier().classify(prompt).features.char_count == 32_000
