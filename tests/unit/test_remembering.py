from collections.abc import Sequence

import pytest

from llm_router.errors import EmbeddingError
from llm_router.remembering import REMEMBERED, RememberingEmbedder


class Counting:
    """An embedder that counts what it computes and fails for one text."""

    version = "counting-1"

    def __init__(self) -> None:
        self.computed: list[str] = []

    def sees(self, text: str) -> bool:
        """Whether the text is short."""
        return len(text) < 10

    def embed(self, text: str) -> Sequence[float]:
        """Embed a text by its length."""
        self.computed.append(text)
        if text == "bad":
            raise EmbeddingError("the text could not be embedded")
        return [float(len(text)), 0.0]


def test_a_text_is_embedded_once() -> None:
    """The second who asks for a text gets the same vector without work."""
    counting = Counting()
    remembering = RememberingEmbedder(counting)

    assert (1.0, 0.0) == remembering.embed("a") == remembering.embed("a")
    assert ["a"] == counting.computed


def test_a_failure_is_tried_again() -> None:
    """What failed once may work the next time."""
    counting = Counting()
    remembering = RememberingEmbedder(counting)
    for _ in range(2):
        with pytest.raises(EmbeddingError):
            remembering.embed("bad")

    assert ["bad", "bad"] == counting.computed


def test_memory_is_bounded() -> None:
    """The text asked for longest ago is forgotten."""
    counting = Counting()
    remembering = RememberingEmbedder(counting)
    for number in (*range(REMEMBERED + 1), 0):
        remembering.embed(str(number))

    assert ["0", "0"] == [text for text in counting.computed if text == "0"]


def test_it_stands_for_its_embedder() -> None:
    """Version and sight are those of the embedder behind it."""
    remembering = RememberingEmbedder(Counting())

    assert ("counting-1", True, False) == (remembering.version, remembering.sees("a"), remembering.sees("a" * 10))
