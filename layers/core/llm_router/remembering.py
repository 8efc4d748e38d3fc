"""Embeds each text once: the grader needs the vector of a prompt before the cache does, and repeats come in bursts."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from llm_router.ports import Embedder

REMEMBERED: Final = 128
"""Vectors of 384 numbers are 12 kB each as Python keeps them."""


class RememberingEmbedder:
    """An `Embedder` that knows the vectors of the last texts it was asked for.

    Args:
        embedder: Computes the others. What it raises is not remembered.
    """

    def __init__(self, embedder: Embedder) -> None:
        self.version = embedder.version
        self._embedder = embedder
        self._remembered = lru_cache(maxsize=REMEMBERED)(self._compute)

    def sees(self, text: str) -> bool:
        """Ask the embedder."""
        return self._embedder.sees(text)

    def embed(self, text: str) -> Sequence[float]:
        """Return the vector of a text, which nobody may change."""
        return self._remembered(text)

    def _compute(self, text: str) -> tuple[float, ...]:
        return tuple(self._embedder.embed(text))
