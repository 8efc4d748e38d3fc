"""Arms: which share of the callers gets which model of a tier, and to which of them a caller belongs."""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from hashlib import sha256
from itertools import accumulate
from typing import Annotated, Final

from msgspec import Meta, Struct

from llm_router.box import LocalModelName
from llm_router.classification.complexity import Complexity

DEFAULT_ARM: Final = "default"
"""The arm of a tier's own model."""
FORCED_ARM: Final = "forced"
"""What is recorded for requests whose caller chose the model: they say nothing about any arm."""
SHADOW_ARM: Final = "shadow"
"""What is recorded for the copies of requests that another model answers, which nobody is shown."""
_HASH_BITS: Final = 64

ArmName = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9_-]{0,31}$(?!\n)")]
Weight = Annotated[int, Meta(ge=1, le=1_000_000)]


class Arm(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A model that some of a tier's callers get, in proportion to its weight."""

    tier: Complexity
    arm: ArmName
    weight: Weight
    model: LocalModelName | None = None
    """None for the tier's own."""

    def __post_init__(self) -> None:
        """Refuse names that mean something else.

        Raises:
            ValueError: `default` has a model of its own, another arm has none, or the name is taken.
        """
        if self.arm in {FORCED_ARM, SHADOW_ARM}:
            raise ValueError(f"an arm cannot be called {self.arm}")
        if self.arm == DEFAULT_ARM and self.model is not None:
            raise ValueError(f"the arm default has the model of DEFAULT_{self.tier.upper()}_MODEL")
        if self.arm != DEFAULT_ARM and self.model is None:
            raise ValueError(f"the arm {self.arm} needs a model")


def repeated(arms: Iterable[Arm]) -> list[str]:
    """Return a sentence for every arm that a tier has twice."""
    places = [(arm.tier, arm.arm) for arm in arms]
    twice = dict.fromkeys(place for place in places if places.count(place) > 1)
    return [f"{tier} has more than one arm {name}" for tier, name in twice]


def unit_of(tenant: str, conversation_id: str | None = None) -> str:
    """Return whose requests stay in one arm: the conversation's, or else all single questions of the tenant.

    Equal questions of a tenant thereby get the same model, and may share an answer.
    """
    return tenant if conversation_id is None else f"{tenant}\0{conversation_id}"


def chosen(arms: Sequence[Arm], unit: str) -> Arm:
    """Return a unit's arm among those of a tier, of which there is at least one.

    The unit's hash is a point on the line of all weights, in the order of the arms; the tier has no part in it, so that
    arms of the same names and weights in several tiers have the same callers.
    """
    ends = list(accumulate(arm.weight for arm in arms))
    point = int.from_bytes(sha256(unit.encode()).digest()[: _HASH_BITS // 8]) * ends[-1] >> _HASH_BITS
    return arms[bisect_right(ends, point)]
