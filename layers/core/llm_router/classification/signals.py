"""What the learned grader reads in a prompt besides its embedding: some numbers, and the words themselves."""

import math
import re
from typing import Final

from llm_router.classification.features import Features

NUMBERS: Final = (
    "length in words", "length in characters", "code", "reasoning words", "technical terms", "system-design terms",
    "chain of steps", "question mark", "sentences", "points by the rules", "different numbers", "commas",
    "length of the words", "digits of the longest number", "per cent signs", "lettered options",
)  # fmt: skip
"""What each number is called, in the order `numbers` returns them."""

_NUMBER: Final = re.compile(r"\d+(?:[.,/]\d+)*")
_LETTERED_OPTION: Final = re.compile(r"\bA[.)]")
_TOKEN: Final = re.compile(r"[a-z]+(?:'[a-z]+)?|\d+|[^\w\s]")
_READ_CHARS: Final = 2_000
"""Words and numbers after so many characters are pasted material more often than the question."""
_LONG_WORDS: Final = 300
_MANY_SENTENCES: Final = 10
"""Beyond this, more of it says nothing about the question either."""
_ANY_NUMBER: Final = "<number>"


def numbers(prompt: str, features: Features) -> tuple[float, ...]:
    """Return the numbers that `NUMBERS` names, each of the order of 1."""
    read = prompt[:_READ_CHARS]
    found = set(_NUMBER.findall(read))
    return (
        math.log1p(min(features.word_count, _LONG_WORDS)) / 2,
        math.log1p(min(features.char_count, _READ_CHARS)) / 4,
        features.has_code,
        min(features.reasoning_indicators, 3) / 2,
        min(features.technical_term_count, 6) / 3,
        min(features.system_design_terms, 4) / 2,
        features.is_multi_step,
        features.has_question_mark,
        math.log1p(min(features.sentence_count, _MANY_SENTENCES)),
        min(features.total_score, 8) / 4,
        math.log1p(len(found)),
        math.log1p(read.count(",")),
        min(features.char_count / max(1, features.word_count), 20) / 5,
        min(max(map(len, found), default=0), 20) / 5,
        "%" in read,
        bool(_LETTERED_OPTION.search(read)),
    )


def words(prompt: str) -> frozenset[str]:
    """Return the distinct words and signs of a prompt, and what it begins with: `^write`, `^write a`."""
    tokens = [_ANY_NUMBER if token[0].isdigit() else token for token in _TOKEN.findall(prompt[:_READ_CHARS].lower())]
    return frozenset(tokens) | {f"^{' '.join(tokens[:count])}" for count in (1, 2) if len(tokens) >= count}
