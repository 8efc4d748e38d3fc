"""What a grader saw in a prompt, and what it made of it."""

from collections.abc import Mapping
from enum import StrEnum

import msgspec

from llm_router.classification.complexity import Complexity


class Features(msgspec.Struct, frozen=True):
    """Measured properties of one prompt; terms are counted once each, however often they occur."""

    word_count: int
    char_count: int
    """Without surrounding white space."""
    has_code: bool
    reasoning_indicators: int
    technical_term_count: int
    system_design_terms: int
    is_multi_step: bool
    has_question_mark: bool
    sentence_count: int
    total_score: int
    """Sum of the points the scoring table gives."""


class Grader(StrEnum):
    """Who made a grade."""

    RULES = "rules"
    LEARNED = "learned"


class Classification(msgspec.Struct, frozen=True):
    """A grade, how sure the grader is of it (0 to 1), and why."""

    complexity: Complexity
    confidence: float
    features: Features
    reasons: tuple[str, ...]
    """One line per feature that scored, ending in its points; of the learned grader, what spoke most for the tier."""
    grader: Grader = Grader.RULES
    chances: Mapping[Complexity, float] | None = None
    """Calibrated probability of every tier; the rules have none."""
    strong_needed: float | None = None
    """Grows with how likely a weak model is to fail; only the order has meaning."""
    degraded: bool = False
    """Whether the rules stood in for the learned grader."""

    @property
    def missing_parts(self) -> tuple[str, ...]:
        """What a request's `degraded` is to name."""
        return ("classifier",) if self.degraded else ()
