"""Which model answers a graded prompt, and who answers in its place."""

from collections.abc import Mapping

from msgspec import Struct
from msgspec.structs import replace

from llm_router.accounting.prices import price_book
from llm_router.arms import DEFAULT_ARM, FORCED_ARM, Arm, chosen, repeated
from llm_router.box import fits
from llm_router.classification.complexity import Complexity
from llm_router.errors import ConfigError, ForbiddenError, UnknownModelError
from llm_router.fallback import CLOUD_PREFIX, is_cloud
from llm_router.settings import RoutingSettings


class Route(Struct, frozen=True, kw_only=True):
    """The model a prompt is meant for, and who may answer in its place, in this order."""

    model: str
    arm: str = DEFAULT_ARM
    fallbacks: tuple[str, ...] = ()


class Router(Struct, frozen=True):
    """Maps tiers to models."""

    models: Mapping[Complexity, str]
    fallback: str | None = None
    """Another model of the box."""
    cloud: str | None = None
    """Name with its prefix, e.g. `cloud/gpt-4o-mini`."""
    arms: tuple[Arm, ...] = ()
    """A tier that has some shares its callers out among them."""
    allowed: tuple[str, ...] = ()
    """Names, with or without provider, of the models that the caller may have; all of them when empty."""

    @classmethod
    def from_settings(cls, settings: RoutingSettings, today: str) -> "Router":
        """Read the models out of a function's settings.

        Raises:
            ConfigError: the cloud's model has no known price today, or a tier has two arms of one name.
        """
        if problems := repeated(settings.routing_arms):
            raise ConfigError([f"ROUTING_ARMS: {problem}" for problem in problems])
        if settings.cloud_model:
            price_book().price(settings.cloud_model, today)
        return cls(
            {
                Complexity.SIMPLE: settings.default_simple_model,
                Complexity.MEDIUM: settings.default_medium_model,
                Complexity.COMPLEX: settings.default_complex_model,
            },
            fallback=settings.fallback_model or None,
            cloud=CLOUD_PREFIX + settings.cloud_model if settings.cloud_model else None,
            arms=settings.routing_arms,
        )

    @property
    def first_asked(self) -> tuple[str, ...]:
        """Return the models of the tiers and of their arms, each once."""
        return tuple(dict.fromkeys([*self.models.values(), *(arm.model for arm in self.arms if arm.model)]))

    @property
    def others(self) -> tuple[str, ...]:
        """Return the models that stand in for them."""
        return tuple(model for model in (self.fallback, self.cloud) if model)

    def route(self, complexity: Complexity, chars: int, force_model: str | None = None, *, unit: str) -> Route:
        """Return the way of a prompt of a tier and a length; the model that a caller insists on has no fallbacks.

        The unit, see `arms.unit_of`, decides between the arms of a tier, and nothing else does.

        A tier whose model the caller may not have, or whose model cannot hold the prompt, is passed over for the next;
        where none can hold it, the last one decides. Who may have no model from the tier on gets one of a lower tier.

        Raises:
            UnknownModelError: `force_model` is not one of the configured models.
            ForbiddenError: the caller may have neither it nor, without it, the model of any tier.
        """
        if force_model is not None:
            return Route(model=self._forced(force_model), arm=FORCED_ARM)
        candidates = self._candidates(complexity, unit)
        model, arm = next((each for each in candidates if fits(each[0], chars)), candidates[-1])
        local = self.fallback if self.fallback and self.fallback != model and fits(self.fallback, chars) else None
        fallbacks = (each for each in (local, self.cloud) if each and self.allows(each))
        return Route(model=model, arm=arm, fallbacks=tuple(fallbacks))

    def limited_to(self, allowed: tuple[str, ...]) -> "Router":
        """Return the router of a caller who may only have these models, or any where there are none."""
        return replace(self, allowed=allowed)

    def allows(self, model: str) -> bool:
        """Whether the caller may have a configured model."""
        return not self.allowed or model in self.allowed or model.partition("/")[2] in self.allowed

    def _candidates(self, complexity: Complexity, unit: str) -> list[tuple[str, str]]:
        """Return the allowed models and arms of the tiers from one on, cheapest first, or else of those below it."""
        tiers = list(Complexity)
        of_tiers = [(place, self._of_tier(tier, unit)) for place, tier in enumerate(tiers)]
        allowed = [(place, each) for place, each in of_tiers if self.allows(each[0])]
        if not allowed:
            raise ForbiddenError("this key may have none of the models that questions are sent to")
        grade = tiers.index(complexity)
        return [each for place, each in allowed if place >= grade] or [each for _, each in reversed(allowed)]

    def _of_tier(self, tier: Complexity, unit: str) -> tuple[str, str]:
        """Return the model of a tier for a unit, and the name of its arm."""
        arms = [arm for arm in self.arms if arm.tier is tier]
        if not arms:
            return self.models[tier], DEFAULT_ARM
        arm = chosen(arms, unit)
        return arm.model or self.models[tier], arm.arm

    @property
    def known(self) -> tuple[str, ...]:
        """Return every model that a caller can insist on, each once."""
        return tuple(dict.fromkeys([*self.first_asked, *self.others]))

    def within_reach(self, chars: int) -> tuple[str, ...]:
        """Return the models that the caller may have and that can hold a prompt of a length."""
        return tuple(model for model in self.known if self.allows(model) and (is_cloud(model) or fits(model, chars)))

    def named(self, name: str) -> str | None:
        """Return the configured model of a name, with its provider (`ollama/llama3.2`) or without; None for no model.

        Without its provider a name means the model of the box first.
        """
        return next((model for model in self.known if name in {model, model.partition("/")[2]}), None)

    def _forced(self, name: str) -> str:
        model = self.named(name)
        if model is None:
            names = sorted(filter(self.allows, self.known))
            raise UnknownModelError(f"must be one of {', '.join(names)}", field="force_model")
        if not self.allows(model):
            raise ForbiddenError("this key may not have that model", field="force_model")
        return model
