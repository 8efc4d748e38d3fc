"""The three tiers a prompt is graded into."""

from enum import StrEnum


class Complexity(StrEnum):
    """How much model a prompt needs."""

    SIMPLE = "simple"
    MEDIUM = "medium"
    COMPLEX = "complex"
