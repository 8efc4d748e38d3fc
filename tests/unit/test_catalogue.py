from typing import Any

import msgspec

from llm_router.accounting.prices import price_book
from llm_router.arms import Arm
from llm_router.box import BoxSighting, BoxState, InstalledModel, ResidentModel
from llm_router.classification import Complexity
from llm_router.routing import Router
from status.catalogue import ArmModel, ModelsResponse, TierModel, prices_of
from tests.fakes import NOW_MS

TIERS = {
    Complexity.SIMPLE: "ollama/tinyllama",
    Complexity.MEDIUM: "ollama/llama3.2",
    Complexity.COMPLEX: "ollama/absent",
}
TINY = InstalledModel(name="tinyllama:latest", size_bytes=637_700_138)
LLAMA = InstalledModel(name="llama3.2:latest", size_bytes=2_019_393_189)
RESIDENT = ResidentModel(
    name="tinyllama:latest", size_bytes=900_000_000, context_length=2048, expires_at="2318-01-01T00:00:00Z"
)
PRICES = prices_of("0.145", "gpt-4", price_book(), "2026-11-23")


def test_seen_box() -> None:
    """Each tier's model is shown with whether the box has it on disk and in memory."""
    state = BoxState(version="0.31.0", installed=(TINY, LLAMA), resident=(RESIDENT,))
    response = ModelsResponse.of(Router(TIERS), BoxSighting(checked_at_ms=NOW_MS, state=state), PRICES)

    assert {
        Complexity.SIMPLE: TierModel(model="ollama/tinyllama", installed=True, resident=True),
        Complexity.MEDIUM: TierModel(model="ollama/llama3.2", installed=True, resident=False),
        Complexity.COMPLEX: TierModel(model="ollama/absent", installed=False, resident=False),
    } == response.tiers
    assert ((TINY, LLAMA), (RESIDENT,), NOW_MS) == (response.installed, response.resident, response.checked_at_ms)


def test_unseen_box() -> None:
    """Of a box that nobody has looked at nothing is claimed."""
    response = ModelsResponse.of(Router(TIERS), None, PRICES)

    assert TierModel(model="ollama/tinyllama", installed=None, resident=None) == response.tiers[Complexity.SIMPLE]
    assert ((), (), None) == (response.installed, response.resident, response.checked_at_ms)


def test_unreachable_box() -> None:
    """Of a box that could not be reached only the time of the look is known."""
    response = ModelsResponse.of(Router(TIERS), BoxSighting(checked_at_ms=NOW_MS, state=None), PRICES)

    assert (None, NOW_MS) == (response.tiers[Complexity.SIMPLE].resident, response.checked_at_ms)


def test_fallbacks() -> None:
    """The models that stand in for others are shown: the box's as it was seen, the cloud's by its name alone."""
    state = BoxState(version="0.31.0", installed=(TINY, LLAMA), resident=(RESIDENT,))
    sighting = BoxSighting(checked_at_ms=NOW_MS, state=state)
    none = ModelsResponse.of(Router(TIERS), sighting, PRICES)
    both = ModelsResponse.of(Router(TIERS, fallback="ollama/llama3.2", cloud="cloud/gpt-4o-mini"), sighting, PRICES)

    assert (None, None) == (none.fallback, none.cloud)
    assert TierModel(model="ollama/llama3.2", installed=True, resident=False) == both.fallback
    assert "cloud/gpt-4o-mini" == both.cloud


def test_arms() -> None:
    """The models that share a tier's callers are shown with their weights, as the box was seen."""
    state = BoxState(version="0.31.0", installed=(TINY, LLAMA), resident=(RESIDENT,))
    arms = (
        Arm(tier=Complexity.SIMPLE, arm="default", weight=9),
        Arm(tier=Complexity.SIMPLE, arm="large", weight=1, model="ollama/llama3.2"),
    )
    shown = ModelsResponse.of(Router(TIERS, arms=arms), BoxSighting(checked_at_ms=NOW_MS, state=state), PRICES).arms
    usual: dict[str, Any] = {"tier": Complexity.SIMPLE, "installed": True}

    assert (
        ArmModel(arm="default", weight=9, model="ollama/tinyllama", resident=True, **usual),
        ArmModel(arm="large", weight=1, model="ollama/llama3.2", resident=False, **usual),
    ) == shown


def test_shadow() -> None:
    """The model of the shadows is shown as the box was seen; none where there is none."""
    state = BoxState(version="0.31.0", installed=(TINY, LLAMA), resident=(RESIDENT,))
    sighting = BoxSighting(checked_at_ms=NOW_MS, state=state)

    assert ModelsResponse.of(Router(TIERS), sighting, PRICES).shadow is None
    assert (
        TierModel(model="ollama/llama3.2", installed=True, resident=False)
        == ModelsResponse.of(Router(TIERS), sighting, PRICES, "ollama/llama3.2").shadow
    )


def test_prices() -> None:
    """The box's price, the baseline and the list prices of the day are shown with their sources, as they are set."""
    shown = msgspec.to_builtins(PRICES)
    luna = shown["list_prices"]["gpt-5.6-luna"]

    assert ("0.145", "gpt-4") == (shown["instance_usd_per_hour"], shown["baseline_model"])
    assert {
        "model": "gpt-5.6-luna",
        "provider": "openai",
        "effective_from": "2026-07-30",
        "input_usd_per_million_tokens": "0.2",
        "cached_input_usd_per_million_tokens": "0.02",
        "output_usd_per_million_tokens": "1.2",
        "source": "gpt-5.6-cut",
    } == luna
    assert "2026-11-23" == shown["sources"][luna["source"]]["retrieved"]
