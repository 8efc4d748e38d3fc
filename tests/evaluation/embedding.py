"""Cosine similarities of prompts by the model that the embedding layer carries, each text embedded once."""

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

MODEL_DIR = Path(__file__).parents[2] / ".build" / "layers" / "EmbeddingLayer" / "model"
THRESHOLD = 0.85
"""The similarity from which on a stored prompt is a candidate, as the router is shipped."""


class Embeddings:
    """Unit vectors by text.

    Args:
        embed: Returns the unit vector of a text.
        sees: Whether the vector of a text is about all of it; of any text by default.
    """

    def __init__(self, embed: Callable[[str], Iterable[float]], sees: Callable[[str], bool] = bool) -> None:
        self._embed = embed
        self.sees = sees
        self._vectors: dict[str, NDArray[np.float32]] = {}

    def vector(self, text: str) -> NDArray[np.float32]:
        """Return the unit vector of a text."""
        known = self._vectors.get(text)
        if known is None:
            known = self._vectors[text] = np.asarray(self._embed(text), dtype=np.float32)
        return known

    def similarity(self, a: str, b: str) -> float:
        """Return the cosine similarity of two texts."""
        return float(self.vector(a) @ self.vector(b))
