"""The models that `model` of an OpenAI-compatible request may name, as OpenAI lists its own."""

from typing import Final, Literal

from msgspec import Struct

from llm_router.classification.complexity import Complexity
from llm_router.errors import UnknownModelError
from llm_router.openai.requests import AUTO
from llm_router.routing import Router

_ALIASES: Final = (AUTO, *Complexity)
_ROUTERS: Final = "router"


class OpenAIModel(Struct, frozen=True, kw_only=True):
    """One of them."""

    id: str
    object: Literal["model"] = "model"
    created: int = 0
    """Not known."""
    owned_by: str
    """Who answers: `ollama`, `cloud`, or whom the `router` chooses."""


class OpenAIModels(Struct, frozen=True, kw_only=True):
    """All of them."""

    object: Literal["list"] = "list"
    data: tuple[OpenAIModel, ...]


def listed(router: Router) -> OpenAIModels:
    """Return `auto`, the tiers, and the configured models that the router's caller may have, each once."""
    aliases = [OpenAIModel(id=name, owned_by=_ROUTERS) for name in _ALIASES]
    return OpenAIModels(data=(*aliases, *(_configured(each) for each in router.known if router.allows(each))))


def found(router: Router, name: str) -> OpenAIModel:
    """Return the one that a name means, with its provider or without.

    Raises:
        UnknownModelError: there is none that the caller may have.
    """
    if name in _ALIASES:
        return OpenAIModel(id=name, owned_by=_ROUTERS)
    model = router.named(name)
    if model is None or not router.allows(model):
        raise UnknownModelError("is not configured", field="model")
    return _configured(model)


def _configured(model: str) -> OpenAIModel:
    return OpenAIModel(id=model, owned_by=model.partition("/")[0])
