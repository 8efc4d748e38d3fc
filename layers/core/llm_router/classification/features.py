"""What a grader saw in a prompt, and what it made of it."""

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


class Classification(msgspec.Struct, frozen=True):
    """A grade, how sure the grader is of it (0 to 1), and why."""

    complexity: Complexity
    confidence: float
    features: Features
    reasons: tuple[str, ...]
    """One line per feature that scored, ending in its points."""
