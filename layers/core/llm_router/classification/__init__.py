"""Grades prompts by how much model they need: `RuleClassifier().classify("What is Python?")`."""

from llm_router.classification.complexity import Complexity
from llm_router.classification.features import Classification, Features
from llm_router.classification.rules import RuleClassifier

__all__ = ["Classification", "Complexity", "Features", "RuleClassifier"]
