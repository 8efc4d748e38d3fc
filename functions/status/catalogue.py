"""What GET /api/v1/models shows: the configured models, the box's models as last seen, and prices."""

from collections.abc import Mapping
from typing import Self

import msgspec
from msgspec import Struct

from llm_router.accounting.prices import ListPrice, PriceBook, PriceSource
from llm_router.box import BoxSighting, BoxState, InstalledModel, ResidentModel
from llm_router.classification.complexity import Complexity
from llm_router.routing import Router


class TierModel(Struct, frozen=True, kw_only=True):
    """A configured model of the box; None where the box has not been seen."""

    model: str
    installed: bool | None
    resident: bool | None

    @classmethod
    def of(cls, model: str, state: BoxState | None) -> Self:
        """Look a model up in the last known state of the box."""
        return cls(
            model=model,
            installed=state.is_installed(model) if state else None,
            resident=state.is_resident(model) if state else None,
        )


class ArmModel(TierModel, frozen=True, kw_only=True):
    """The model that some callers of a tier get; None where the box has not been seen."""

    tier: Complexity
    arm: str
    weight: int


class Prices(Struct, frozen=True, kw_only=True):
    """What the box costs, and the list prices of today, in USD."""

    instance_usd_per_hour: str
    baseline_model: str
    list_prices: Mapping[str, ListPrice]
    sources: Mapping[str, PriceSource]
    """Where the list prices are from, by the names they give."""


class ModelsResponse(Struct, frozen=True, kw_only=True):
    """Configured, installed and resident models."""

    tiers: Mapping[Complexity, TierModel]
    arms: tuple[ArmModel, ...]
    """Models that share the callers of a tier."""
    fallback: TierModel | None
    """The model of the box that is asked when a tier's has no answer; null where none is configured."""
    cloud: str | None
    """The model that is asked when the box has no answer, which nobody asks just to see; null where there is none."""
    shadow: TierModel | None
    """The model that also gets questions that were answered, for comparison; null where none does."""
    installed: tuple[InstalledModel, ...]
    resident: tuple[ResidentModel, ...]
    checked_at_ms: int | None
    """When the box was last looked at, in epoch milliseconds."""
    prices: Prices

    @classmethod
    def of(cls, router: Router, sighting: BoxSighting | None, prices: Prices, shadow: str = "") -> Self:
        """Combine the configuration with the last look at the box."""
        state = sighting.state if sighting else None
        return cls(
            tiers={tier: TierModel.of(model, state) for tier, model in router.models.items()},
            arms=tuple(
                ArmModel(
                    tier=arm.tier,
                    arm=arm.arm,
                    weight=arm.weight,
                    **msgspec.structs.asdict(TierModel.of(arm.model or router.models[arm.tier], state)),
                )
                for arm in router.arms
            ),
            fallback=TierModel.of(router.fallback, state) if router.fallback else None,
            cloud=router.cloud,
            shadow=TierModel.of(shadow, state) if shadow else None,
            installed=state.installed if state else (),
            resident=state.resident if state else (),
            checked_at_ms=sighting.checked_at_ms if sighting else None,
            prices=prices,
        )


def prices_of(instance_usd_per_hour: str, baseline_model: str, book: PriceBook, today: str) -> Prices:
    """Return the price part of the answer."""
    return Prices(
        instance_usd_per_hour=instance_usd_per_hour,
        baseline_model=baseline_model,
        list_prices=book.in_force(today),
        sources=book.sources,
    )
