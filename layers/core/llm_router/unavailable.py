"""What stands in for a part that cannot be loaded, so that the rest goes on."""

from collections.abc import Sequence

from llm_router.errors import EmbeddingError


class UnavailableEmbedder:
    """Stands in for an embedding model that cannot be loaded, so that exact hits are still served.

    Args:
        error: What loading the model raised.
        version: The model's, where its folder still tells; otherwise answers are kept apart until it is back.
    """

    def __init__(self, error: EmbeddingError, version: str | None = None) -> None:
        self._error = error
        self.version = version or "unavailable"

    def sees(self, text: str) -> bool:  # noqa: ARG002 - the protocol's
        """Raise the error that loading the model raised."""
        raise self._error

    def embed(self, text: str) -> Sequence[float]:  # noqa: ARG002 - the protocol's
        """Raise the error that loading the model raised."""
        raise self._error
