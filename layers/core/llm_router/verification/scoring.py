"""The learned part: a small ensemble of decision trees, written by `tests/evaluation/train_verifier.py`."""

import math
from functools import cache
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

WEIGHTS_FILE: Final = Path(__file__).with_name("weights.json")


class Tree(Struct, frozen=True, forbid_unknown_fields=True):
    """A complete binary tree in heap order: node i asks features[i] <= thresholds[i], then goes to 2i+1, else 2i+2."""

    features: tuple[int, ...]
    thresholds: tuple[float, ...]
    leaves: tuple[float, ...]

    def value(self, row: tuple[float, ...]) -> float:
        """Return the leaf that the features of a pair lead to."""
        node, inner = 0, len(self.features)
        while node < inner:
            node = 2 * node + (1 if row[self.features[node]] <= self.thresholds[node] else 2)
        return self.leaves[node - inner]


class Checked(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What weights fitted on one half of a file made of its other half, at the default budget."""

    pairs: int
    hit: float | None
    """Share of the duplicates served, None without any."""
    wrong: float | None
    """Share of the others served, None without any."""


class Card(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a reader should know about the weights."""

    purpose: str
    fitted_on: dict[str, int]
    """Pairs per source that no rule decides."""
    checked: dict[str, Checked]
    script: str
    limits: str
    checksum: str
    """SHA-256 of `payload`."""


class Weights(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The layout of `weights.json`."""

    card: Card
    features: tuple[str, ...]
    intercept: float
    trees: tuple[Tree, ...]
    budgets: tuple[tuple[float, float], ...]
    """Share of all requests that may be answered wrongly, and the least score that keeps to it."""
    common_words: tuple[str, ...]
    """Stems by how often they occur in real prompts, the rarest tier first, separated by blanks."""

    def payload(self) -> bytes:
        """Return everything but the card, as the checksum covers it."""
        return msgspec.json.encode([self.features, self.intercept, self.trees, self.budgets, self.common_words])


class Scorer:
    """Scores pairs with the weights that ship with the package."""

    def __init__(self, weights: Weights) -> None:
        self.budgets = dict(weights.budgets)
        self._intercept = weights.intercept
        self._trees = weights.trees
        self._tiers = {word: tier for tier, words in enumerate(weights.common_words, 1) for word in words.split()}
        self._highest = len(weights.common_words)

    def weight(self, word: str) -> float:
        """Return how much a stem tells: 0 for the commonest words, more for rare ones."""
        return float(self._highest - self._tiers.get(word, 0))

    def score(self, row: tuple[float, ...]) -> float:
        """Return the log-odds that two prompts with these features may share an answer."""
        return self._intercept + math.fsum(tree.value(row) for tree in self._trees)


@cache
def scorer() -> Scorer:
    """Read the weights, once per process."""
    return Scorer(msgspec.json.decode(WEIGHTS_FILE.read_bytes(), type=Weights))
