"""The scoring table: points per feature, tier per total, confidence in the tier."""

from collections.abc import Mapping
from typing import Final

from llm_router.classification.complexity import Complexity
from llm_router.classification.features import Features

SCORING_TABLE: Final[dict[str, tuple[tuple[int, int], ...]]] = {
    # feature              (at least, points), strongest first: the first that holds counts, the others do not
    "word_count":           ((101, 2), (31, 1)),
    "has_code":             ((1, 2),),
    "reasoning_indicators": ((3, 2), (1, 1)),
    "technical_term_count": ((5, 2), (2, 1)),
    "system_design_terms":  ((3, 3), (1, 2)),
    "is_multi_step":        ((1, 1),),
    "sentence_count":       ((4, 1),),
}  # fmt: skip

TIERS: Final = (
    # (total of at least, tier)
    (4, Complexity.COMPLEX),
    (2, Complexity.MEDIUM),
    (0, Complexity.SIMPLE),
)

_FULL_EVIDENCE: Final = 10
_FULL_MARGIN: Final = 3


def points(features: Features) -> dict[str, int]:
    """Return the points of every feature that scores, in the table's order."""
    gained = {name: _points(getattr(features, name), rows) for name, rows in SCORING_TABLE.items()}
    return {name: score for name, score in gained.items() if score}


def tier(total_score: int) -> Complexity:
    """Return the tier of a total, which is never negative."""
    return next(complexity for at_least, complexity in TIERS if total_score >= at_least)


def confidence(gained: Mapping[str, int]) -> float:
    """Return how sure a grade is: 0.40 where nothing scored, growing with the evidence to 0.95.

    `0.40 + 0.35 x evidence + 0.20 x margin`: evidence is (features that scored + points they gave) / 10, margin is how
    far the total lies above the highest tier boundary / 3, both at most 1. Totals 1 to 4 touch a boundary and have no
    margin. Nor has 0: finding nothing is no proof that a prompt is simple.

    Args:
        gained: Points by feature, as `points` returns them.
    """
    total_score = sum(gained.values())
    evidence = min(1.0, (len(gained) + total_score) / _FULL_EVIDENCE)
    margin = min(1.0, max(0, total_score - TIERS[0][0]) / _FULL_MARGIN)
    return round(0.40 + 0.35 * evidence + 0.20 * margin, 3)


def _points(amount: int, rows: tuple[tuple[int, int], ...]) -> int:
    return next((score for at_least, score in rows if amount >= at_least), 0)
