"""How prompts are graded, as the API shows it."""

from collections.abc import Mapping
from typing import Self

from msgspec import Struct

from llm_router.classification import Classification, Grader
from llm_router.classification.complexity import Complexity
from llm_router.classification.features import Features
from llm_router.routing import Route


class GraderVerdict(Struct, frozen=True, kw_only=True):
    """What one grader makes of a prompt."""

    complexity: Complexity
    confidence: float
    reasons: tuple[str, ...]
    chances: Mapping[Complexity, float] | None
    """Calibrated probability of every tier; the rules have none."""
    strong_needed: float | None
    """Grows with how likely a weak model is to fail; only the order has meaning."""

    @classmethod
    def of(cls, graded: Classification) -> Self:
        """Leave out what is the same for every grader."""
        return cls(
            complexity=graded.complexity,
            confidence=graded.confidence,
            reasons=graded.reasons,
            chances=graded.chances,
            strong_needed=graded.strong_needed,
        )


class GraderVerdicts(Struct, frozen=True, kw_only=True):
    """What the graders make of a prompt."""

    rules: GraderVerdict
    learned: GraderVerdict | None
    """None where it cannot grade."""


class ClassifyResponse(Struct, frozen=True, kw_only=True):
    """How a prompt is graded, and what follows from it."""

    complexity: Complexity
    confidence: float
    features: Features
    recommended_model: str
    reasons: tuple[str, ...]
    arm: str
    """Which share of the tier's callers a single question of this caller belongs to."""
    verdicts: GraderVerdicts

    @classmethod
    def of(cls, graded: Classification, route: Route, verdicts: Mapping[Grader, Classification]) -> Self:
        """Combine the grade that counts with what it leads to, and with what each grader says."""
        learned = verdicts.get(Grader.LEARNED)
        return cls(
            complexity=graded.complexity,
            confidence=graded.confidence,
            features=graded.features,
            recommended_model=route.model,
            reasons=graded.reasons,
            arm=route.arm,
            verdicts=GraderVerdicts(
                rules=GraderVerdict.of(verdicts[Grader.RULES]),
                learned=None if learned is None or learned.degraded else GraderVerdict.of(learned),
            ),
        )


class ClassifyManyResponse(Struct, frozen=True, kw_only=True):
    """How several prompts are graded, in their order."""

    results: tuple[ClassifyResponse, ...]
