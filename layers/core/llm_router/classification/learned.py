"""The learned grader: a linear model over the prompt's embedding, the rule grader's features and the prompt's words."""

import math
from collections.abc import Callable, Sequence
from operator import mul
from typing import Final

import msgspec

from llm_router.classification.complexity import Complexity
from llm_router.classification.expected_cost import DEFAULT_BIAS, cheapest_tier
from llm_router.classification.features import Classification, Grader
from llm_router.classification.rules import RuleClassifier
from llm_router.classification.signals import numbers, words
from llm_router.classification.weights import Head, Weights, shipped_weights
from llm_router.errors import EmbeddingError

TIERS: Final = tuple(Complexity)
"""Weakest first."""
_REASONS: Final = 4
_WORTH_TELLING: Final = 0.15


class LearnedClassifier:
    """Grades a prompt by the chances of its tiers; the same canonical prompt always gets the same grade.

    Args:
        embed: Returns the embedding of a canonical prompt, as long as the weights' or raising EmbeddingError; then the
            rules grade the prompt, and the grade says `degraded`.
        bias: Cost of under-routing in units of over-routing, see `expected_cost`.
        weights: By default those that ship with the package.
    """

    def __init__(
        self, embed: Callable[[str], Sequence[float]], *, bias: float = DEFAULT_BIAS, weights: Weights | None = None
    ) -> None:
        self._embed = embed
        self._bias = bias
        self._weights = weights or shipped_weights()
        self._rules = RuleClassifier()

    def classify(self, prompt: str) -> Classification:
        """Return tier, its chance as confidence, the features of the rules, and what spoke most for the tier."""
        ruled = self._rules.classify(prompt)
        try:
            embedding = self._embed(prompt)
        except EmbeddingError:
            return msgspec.structs.replace(ruled, degraded=True)
        measured, known = numbers(prompt, ruled.features), sorted(words(prompt) & self._weights.words.keys())
        meanings = [_dot(head.embedding, embedding) for head in self._weights.tiers]
        scores = [
            head.intercept + meaning + _dot(head.numbers, measured) + self._by_words(known, tier)
            for tier, (head, meaning) in enumerate(zip(self._weights.tiers, meanings, strict=True))
        ]
        chances = softmax(scores)
        chosen = cheapest_tier(chances, self._bias)
        return Classification(
            complexity=TIERS[chosen],
            confidence=round(chances[chosen], 3),
            features=ruled.features,
            reasons=self._reasons(chosen, meanings, measured, known),
            grader=Grader.LEARNED,
            chances={tier: round(chance, 4) for tier, chance in zip(TIERS, chances, strict=True)},
            strong_needed=round(_need(self._weights.strong_needed, embedding, measured), 4),
        )

    def _by_words(self, known: Sequence[str], tier: int) -> float:
        return sum(self._weights.words[word][tier] for word in known) / math.sqrt(max(1, len(known)))

    def _reasons(
        self, chosen: int, meanings: Sequence[float], measured: Sequence[float], known: Sequence[str]
    ) -> tuple[str, ...]:
        """Return what raised the log-odds of the chosen tier most, measured from the average prompt."""
        heads, share = self._weights.tiers, 1 / math.sqrt(max(1, len(known)))
        gains = {f'"{word}"': share * _lead(self._weights.words[word], chosen) for word in known}
        for place, name in enumerate(self._weights.number_names):
            above = measured[place] - self._weights.number_means[place]
            gains[f"{'more' if above > 0 else 'less'} than usual of: {name}"] = above * _lead(
                [head.numbers[place] for head in heads], chosen
            )
        gains["meaning of the text"] = _lead(meanings, chosen)
        strongest = sorted(gains, key=lambda name: (-gains[name], name))[:_REASONS]
        return tuple(f"{name}: {gains[name]:+.1f}" for name in strongest if gains[name] >= _WORTH_TELLING)


def softmax(scores: Sequence[float]) -> tuple[float, ...]:
    """Return the chances that log-odds stand for; they add up to 1."""
    highest = max(scores)
    powers = [math.exp(score - highest) for score in scores]
    return tuple(power / sum(powers) for power in powers)


def _need(head: Head, embedding: Sequence[float], measured: Sequence[float]) -> float:
    return head.intercept + _dot(head.embedding, embedding) + _dot(head.numbers, measured)


def _dot(weights: Sequence[float], values: Sequence[float]) -> float:
    return float(sum(map(mul, weights, values)))


def _lead(values: Sequence[float], chosen: int) -> float:
    """Return how far a value lies above the mean of the others."""
    return values[chosen] - (sum(values) - values[chosen]) / (len(values) - 1)
