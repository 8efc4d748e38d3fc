"""The rule grader: measured features, fixed points, no model and nothing to load but word lists."""

import re
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from llm_router.classification.code_detection import has_code
from llm_router.classification.features import Classification, Features
from llm_router.classification.scoring import confidence, points, tier
from llm_router.classification.sentences import count_sentences
from llm_router.classification.terms import Text, term_lists

_NUMBERED_ITEM: Final = re.compile(r"^[ \t]*\d{1,2}[.)][ \t]", re.MULTILINE)
_MAX_TERMS_SHOWN: Final = 6
_NAMES: Final = {
    # feature: (one of it, more of it)
    "word_count": ("word", "words"),
    "has_code": ("passage of code", "passages of code"),
    "reasoning_indicators": ("reasoning word", "reasoning words"),
    "technical_term_count": ("technical term", "technical terms"),
    "system_design_terms": ("system-design term", "system-design terms"),
    "is_multi_step": ("chain of steps", "chains of steps"),
    "sentence_count": ("sentence", "sentences"),
}


class RuleClassifier:
    """Grades a prompt by `scoring.SCORING_TABLE`; the same words always get the same grade."""

    def __init__(self) -> None:
        # Reading the lists takes longer than grading a thousand prompts: not while a caller waits.
        self._lists = term_lists()

    def classify(self, prompt: str) -> Classification:
        """Return tier, confidence, features and a reason for every point."""
        prompt = prompt.strip()
        text, lists = Text(prompt), self._lists
        terms = {
            "reasoning_indicators": lists.reasoning.find(text),
            "technical_term_count": lists.technical.find(text),
            "system_design_terms": lists.system_design.find(text),
        }
        is_multi_step = lists.multi_step.occurs_in(text) or len(_NUMBERED_ITEM.findall(prompt)) > 1
        features = _measure(prompt, terms, is_multi_step=is_multi_step)
        gained = points(features)
        return Classification(
            complexity=tier(sum(gained.values())),
            confidence=confidence(gained),
            features=msgspec.structs.replace(features, total_score=sum(gained.values())),
            reasons=tuple(
                f"{_describe(feature, getattr(features, feature), terms.get(feature, ()))}: +{score}"
                for feature, score in gained.items()
            ),
        )


def _measure(prompt: str, terms: Mapping[str, Sequence[str]], *, is_multi_step: bool) -> Features:
    words = prompt.split()
    return Features(
        word_count=len(words),
        char_count=len(prompt),
        has_code=has_code(prompt),
        reasoning_indicators=len(terms["reasoning_indicators"]),
        technical_term_count=len(terms["technical_term_count"]),
        system_design_terms=len(terms["system_design_terms"]),
        is_multi_step=is_multi_step,
        has_question_mark="?" in prompt or "\N{FULLWIDTH QUESTION MARK}" in prompt,
        sentence_count=count_sentences(words),
        total_score=0,
    )


def _describe(feature: str, amount: int, terms: Sequence[str]) -> str:
    """Return what was found, for people: "3 technical terms (redis, jwt, latency)"."""
    one, more = _NAMES[feature]
    counted = f"{int(amount)} {one if amount == 1 else more}"
    if not terms:
        return counted
    left_out = ", ..." if len(terms) > _MAX_TERMS_SHOWN else ""
    return f"{counted} ({', '.join(terms[:_MAX_TERMS_SHOWN])}{left_out})"
