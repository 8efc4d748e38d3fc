"""Which model answers a graded prompt, and who answers in its place."""

from collections.abc import Mapping

from msgspec import Struct

from llm_router.box import fits
from llm_router.classification.complexity import Complexity
from llm_router.costs import price_book
from llm_router.errors import InvalidRequestError
from llm_router.fallback import CLOUD_PREFIX
from llm_router.settings import RoutingSettings


class Route(Struct, frozen=True, kw_only=True):
    """The model a prompt is meant for, and who may answer in its place, in this order."""

    model: str
    fallbacks: tuple[str, ...] = ()


class Router(Struct, frozen=True):
    """Maps tiers to models."""

    models: Mapping[Complexity, str]
    fallback: str | None = None
    """Another model of the box."""
    cloud: str | None = None
    """Name with its prefix, e.g. `cloud/gpt-4o-mini`."""

    @classmethod
    def from_settings(cls, settings: RoutingSettings) -> "Router":
        """Read the models out of a function's settings.

        Raises:
            ConfigError: the cloud's model has no known price.
        """
        if settings.cloud_model:
            price_book().price(settings.cloud_model)
        return cls(
            {
                Complexity.SIMPLE: settings.default_simple_model,
                Complexity.MEDIUM: settings.default_medium_model,
                Complexity.COMPLEX: settings.default_complex_model,
            },
            fallback=settings.fallback_model or None,
            cloud=CLOUD_PREFIX + settings.cloud_model if settings.cloud_model else None,
        )

    def route(self, complexity: Complexity, chars: int, force_model: str | None = None) -> Route:
        """Return the way of a prompt of a tier and a length; the model that a caller insists on has no fallbacks.

        A tier whose model cannot hold the prompt is passed over for the next; where none can, the last one decides.

        Raises:
            InvalidRequestError: `force_model` is not one of the configured models.
        """
        if force_model is not None:
            return Route(model=self._forced(force_model))
        tiers = list(Complexity)
        candidates = [self.models[tier] for tier in tiers[tiers.index(complexity) :]]
        model = next((model for model in candidates if fits(model, chars)), candidates[-1])
        local = self.fallback if self.fallback and self.fallback != model and fits(self.fallback, chars) else None
        return Route(model=model, fallbacks=tuple(each for each in (local, self.cloud) if each))

    def _forced(self, model: str) -> str:
        known = sorted({*self.models.values(), *(each for each in (self.fallback, self.cloud) if each)})
        if model not in known:
            raise InvalidRequestError(f"must be one of {', '.join(known)}", field="force_model")
        return model
