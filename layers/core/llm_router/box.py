"""What is known of the machine that runs the models, and how its names relate to ours."""

from typing import Final

from msgspec import Struct

PROVIDER_PREFIX: Final = "ollama/"
DEFAULT_TAG: Final = ":latest"

DEFAULT_CONTEXT_TOKENS: Final = 4096
CONTEXT_TOKENS: Final = {"tinyllama": 2048}
"""Models trained on less than the default. Ollama loads a model anew when this differs between two calls."""


class InstalledModel(Struct, frozen=True, kw_only=True):
    """A model on the box's disk."""

    name: str
    """As the box names it, with its tag: `tinyllama:latest`."""
    size_bytes: int


class ResidentModel(Struct, frozen=True, kw_only=True):
    """A model in the box's memory."""

    name: str
    """As the box names it, with its tag: `tinyllama:latest`."""
    size_bytes: int
    context_length: int
    """Tokens of prompt and answer together; 0 when the box does not say."""
    expires_at: str
    """RFC 3339 time the box will unload it; centuries away when it stays."""


class BoxState(Struct, frozen=True, kw_only=True):
    """The box as it described itself."""

    version: str
    installed: tuple[InstalledModel, ...]
    resident: tuple[ResidentModel, ...]

    def is_installed(self, model: str) -> bool:
        """Whether a configured model (`ollama/tinyllama`) is on the disk."""
        return any(same_model(model, each.name) for each in self.installed)

    def is_resident(self, model: str) -> bool:
        """Whether a configured model (`ollama/tinyllama`) answers without being loaded first."""
        return any(same_model(model, each.name) for each in self.resident)


def context_tokens(model: str) -> int:
    """Return how many tokens of prompt and answer a configured model is loaded for; the same in every call."""
    family = model.removeprefix(PROVIDER_PREFIX).partition(":")[0]
    return CONTEXT_TOKENS.get(family, DEFAULT_CONTEXT_TOKENS)


def same_model(ours: str, theirs: str) -> bool:
    """Whether two names mean one model: the provider's prefix and the default tag make no difference."""
    return _bare(ours) == _bare(theirs)


def _bare(name: str) -> str:
    return name.removeprefix(PROVIDER_PREFIX).removesuffix(DEFAULT_TAG)
