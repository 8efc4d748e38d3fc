"""Grades prompts by how much model they need: `RuleClassifier().classify("What is Python?")`."""

from llm_router.classification.complexity import Complexity
from llm_router.classification.features import Classification, Features, Grader
from llm_router.classification.learned import LearnedClassifier
from llm_router.classification.rules import RuleClassifier

__all__ = ["Classification", "Complexity", "Features", "Grader", "LearnedClassifier", "RuleClassifier"]
