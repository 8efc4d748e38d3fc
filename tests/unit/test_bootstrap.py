import pytest

from llm_router.bootstrap import UnavailableEmbedder, now_ms
from llm_router.errors import EmbeddingError


@pytest.mark.parametrize("method", ["sees", "embed"])
def test_unavailable_embedder(method: str) -> None:
    """An embedding model that could not be loaded says so whenever it is asked, and has a version of its own."""
    embedder = UnavailableEmbedder(EmbeddingError("no model"))
    with pytest.raises(EmbeddingError, match="no model"):
        getattr(embedder, method)("text")

    assert "unavailable" == embedder.version
    assert "minilm-1" == UnavailableEmbedder(EmbeddingError("no model"), "minilm-1").version


def test_clock() -> None:
    """The machine's clock is in milliseconds since the epoch, and past 2025."""
    assert 1_735_689_600_000 < now_ms() < 10_000_000_000_000
