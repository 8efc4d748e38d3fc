"""Which model answers a graded prompt."""

from collections.abc import Mapping

from msgspec import Struct

from llm_router.box import fits
from llm_router.classification.complexity import Complexity
from llm_router.errors import InvalidRequestError
from llm_router.settings import RoutingSettings


class Router(Struct, frozen=True):
    """Maps tiers to models."""

    models: Mapping[Complexity, str]

    @classmethod
    def from_settings(cls, settings: RoutingSettings) -> "Router":
        """Read the tiers' models out of a function's settings."""
        return cls(
            {
                Complexity.SIMPLE: settings.default_simple_model,
                Complexity.MEDIUM: settings.default_medium_model,
                Complexity.COMPLEX: settings.default_complex_model,
            }
        )

    def choose(self, complexity: Complexity, chars: int, force_model: str | None = None) -> str:
        """Return the model for a prompt of a tier and a length, or the one the caller insists on.

        A tier whose model cannot hold the prompt is passed over for the next; where none can, the last one decides.

        Raises:
            InvalidRequestError: `force_model` is not one of the configured models.
        """
        if force_model is None:
            tiers = list(Complexity)
            candidates = [self.models[tier] for tier in tiers[tiers.index(complexity) :]]
            return next((model for model in candidates if fits(model, chars)), candidates[-1])
        known = sorted(set(self.models.values()))
        if force_model not in known:
            raise InvalidRequestError(f"must be one of {', '.join(known)}", field="force_model")
        return force_model
