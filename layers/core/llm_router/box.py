"""What is known of the machine that runs the models, and how its names relate to ours."""

from typing import Annotated, Final

from msgspec import Meta, Struct

PROVIDER_PREFIX: Final = "ollama/"
DEFAULT_TAG: Final = ":latest"
LocalModelName = Annotated[str, Meta(pattern=r"^ollama/[A-Za-z0-9._:/-]+$")]

DEFAULT_CONTEXT_TOKENS: Final = 4096
CONTEXT_TOKENS: Final = {"tinyllama": 2048, "llama3.2": 10_240}
"""Ollama loads a model anew when this differs between two calls, so it is fixed.

tinyllama was trained on 2048 tokens. llama3.2 gets what the longest message needs (32,000 characters, about 8,000
tokens) and room for an answer; at 112 KiB a token that is 1.1 GiB beside its 2 GB of weights, which 8 GB hold.
"""
CHARS_PER_TOKEN: Final = 4
"""Rule of thumb for English; code and other languages cost more tokens."""
LONGEST_ANSWER_TOKENS: Final = 1024
ANSWER_SHARE: Final = 4
"""A quarter of the context is kept for the answer."""


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


class BoxSighting(Struct, frozen=True, kw_only=True):
    """What a look at the box found."""

    checked_at_ms: int
    state: BoxState | None
    """None when the box could not be reached."""
    reason: str | None = None


def context_tokens(model: str) -> int:
    """Return how many tokens of prompt and answer a configured model is loaded for; the same in every call."""
    family = model.removeprefix(PROVIDER_PREFIX).partition(":")[0]
    return CONTEXT_TOKENS.get(family, DEFAULT_CONTEXT_TOKENS)


def answer_limit_tokens(model: str) -> int:
    """Return the answer length to ask for when the caller names none.

    Without a limit Ollama stops at ten times the context, over an hour of work for the box.
    """
    return min(LONGEST_ANSWER_TOKENS, context_tokens(model) // ANSWER_SHARE)


def fits(model: str, chars: int) -> bool:
    """Whether a prompt of so many characters and a usual answer are likely to fit a model's context."""
    return chars / CHARS_PER_TOKEN + answer_limit_tokens(model) <= context_tokens(model)


def same_model(ours: str, theirs: str) -> bool:
    """Whether two names mean one model: the provider's prefix and the default tag make no difference."""
    return _bare(ours) == _bare(theirs)


def _bare(name: str) -> str:
    return name.removeprefix(PROVIDER_PREFIX).removesuffix(DEFAULT_TAG)
