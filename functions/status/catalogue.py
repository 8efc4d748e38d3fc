"""What GET /api/v1/models shows: the tiers' models, the box's models as last seen, and prices."""

from collections.abc import Mapping
from typing import Self

from msgspec import Struct

from llm_router.box import InstalledModel, ResidentModel
from llm_router.classification.complexity import Complexity
from llm_router.costs import ListPrice, PriceBook
from llm_router.ports import BoxSighting


class TierModel(Struct, frozen=True, kw_only=True):
    """The model of one tier; None where the box has not been seen."""

    model: str
    installed: bool | None
    resident: bool | None


class Prices(Struct, frozen=True, kw_only=True):
    """What the box costs, and list prices to compare with, in USD."""

    instance_usd_per_hour: str
    baseline_model: str
    retrieved: str
    list_prices: Mapping[str, ListPrice]


class ModelsResponse(Struct, frozen=True, kw_only=True):
    """Configured, installed and resident models."""

    tiers: Mapping[Complexity, TierModel]
    installed: tuple[InstalledModel, ...]
    resident: tuple[ResidentModel, ...]
    checked_at_ms: int | None
    """When the box was last looked at, in epoch milliseconds."""
    prices: Prices

    @classmethod
    def of(cls, tiers: Mapping[Complexity, str], sighting: BoxSighting | None, prices: Prices) -> Self:
        """Combine the configuration with the last look at the box."""
        state = sighting.state if sighting else None
        return cls(
            tiers={
                tier: TierModel(
                    model=model,
                    installed=state.is_installed(model) if state else None,
                    resident=state.is_resident(model) if state else None,
                )
                for tier, model in tiers.items()
            },
            installed=state.installed if state else (),
            resident=state.resident if state else (),
            checked_at_ms=sighting.checked_at_ms if sighting else None,
            prices=prices,
        )


def prices_of(instance_usd_per_hour: str, baseline_model: str, book: PriceBook) -> Prices:
    """Return the price part of the answer."""
    return Prices(
        instance_usd_per_hour=instance_usd_per_hour,
        baseline_model=baseline_model,
        retrieved=book.retrieved,
        list_prices=book.models,
    )
