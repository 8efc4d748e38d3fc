"""What the policy needs from the outside world; `adapters/` provides it, tests fake it."""

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from llm_router.classification import Classification
from llm_router.models import Generation, ModelCall

Clock = Callable[[], int]
"""Milliseconds since the epoch."""


class Embedder(Protocol):
    """Turns a canonical prompt into a unit vector."""

    @property
    def version(self) -> str:
        """Short identifier of weights, tokenizer and graph; vectors of two versions are never compared."""

    def embed(self, text: str) -> Sequence[float]:
        """Return the L2-normalised embedding of `text`.

        Raises:
            EmbeddingError: the model is missing or broken.
        """


class Classifier(Protocol):
    """Grades how hard a prompt is."""

    def classify(self, prompt: str) -> Classification:
        """Return the tier, how sure the grader is, and why."""


class LanguageModel(Protocol):
    """A server that answers prompts."""

    def generate(self, call: ModelCall, *, deadline_ms: int) -> Iterator[str | Generation]:
        """Yield pieces of text as they come and, last, the whole generation.

        Closing the iterator closes the connection, which stops the box.

        Args:
            call: What to ask.
            deadline_ms: Epoch milliseconds after which no byte is waited for.

        Raises:
            ModelError: one of its subclasses says what went wrong.
        """
