"""Turns chances into a tier: the one whose mistakes cost least on average."""

from collections.abc import Sequence
from typing import Final

DEFAULT_BIAS: Final = 2.0
NEARLY_TIED: Final = 0.02
"""Tiers whose expected costs differ by no more are taken for tied."""


def expected_costs(chances: Sequence[float], bias: float) -> tuple[float, ...]:
    """Return what choosing each tier costs on average.

    A prompt sent one tier too high costs 1, one tier too low `bias`, and two tiers off twice that. Of two tiers alone
    the lower one is therefore chosen when its chance is above bias / (1 + bias).

    Args:
        chances: Of every tier, the weakest first; they add up to 1.
        bias: Cost of under-routing by one tier in units of over-routing by one tier, above 0.
    """
    return tuple(
        sum(
            chance * (bias * (needed - chosen) if needed > chosen else chosen - needed)
            for needed, chance in enumerate(chances)
        )
        for chosen in range(len(chances))
    )


def cheapest_tier(chances: Sequence[float], bias: float) -> int:
    """Return the number of the tier that costs least; of nearly tied ones the strongest."""
    costs = expected_costs(chances, bias)
    return max(tier for tier, cost in enumerate(costs) if cost <= min(costs) + NEARLY_TIED)
