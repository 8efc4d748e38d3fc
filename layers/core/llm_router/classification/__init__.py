"""Grades prompts by how much model they need."""

from llm_router.classification.complexity import Complexity
from llm_router.classification.features import Classification, Features

__all__ = ["Classification", "Complexity", "Features"]
