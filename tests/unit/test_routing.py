import pytest

from llm_router.classification import Complexity
from llm_router.errors import ConfigError, ForbiddenError, InvalidRequestError, UnknownModelError
from llm_router.routing import Route, Router
from llm_router.settings import RoutingSettings
from tests.fakes import TODAY

ROUTER = Router.from_settings(
    RoutingSettings(
        default_simple_model="ollama/small", default_medium_model="ollama/middle", default_complex_model="ollama/large"
    ),
    TODAY,
)


@pytest.mark.parametrize(
    ("complexity", "model"),
    [
        (Complexity.SIMPLE, "ollama/small"),
        (Complexity.MEDIUM, "ollama/middle"),
        (Complexity.COMPLEX, "ollama/large"),
    ],
)
def test_tier(complexity: Complexity, model: str) -> None:
    """Every tier has the model of its setting."""
    assert model == ROUTER.route(complexity, 100, unit="default").model


@pytest.mark.parametrize(
    ("complexity", "chars", "model"),
    [
        (Complexity.SIMPLE, 6_000, "ollama/tinyllama"),
        (Complexity.SIMPLE, 7_000, "ollama/middle"),
        (Complexity.SIMPLE, 13_000, "ollama/llama3.2"),
        (Complexity.MEDIUM, 13_000, "ollama/llama3.2"),
        (Complexity.SIMPLE, 64_000, "ollama/llama3.2"),
    ],
)
def test_long_prompt(complexity: Complexity, chars: int, model: str) -> None:
    """A prompt that a tier's model cannot hold goes to the next tier's; the last one decides where none can."""
    router = Router(
        {
            Complexity.SIMPLE: "ollama/tinyllama",
            Complexity.MEDIUM: "ollama/middle",
            Complexity.COMPLEX: "ollama/llama3.2",
        }
    )

    assert model == router.route(complexity, chars, unit="default").model


def test_forced_model() -> None:
    """A configured model can be forced, whatever the grade and the length."""
    assert "ollama/large" == ROUTER.route(Complexity.SIMPLE, 10**6, "ollama/large", unit="default").model


def test_unknown_forced_model() -> None:
    """Another model cannot be forced; the error names the field and the choice."""
    with pytest.raises(InvalidRequestError) as caught:
        ROUTER.route(Complexity.SIMPLE, 100, "ollama/mixtral", unit="default")

    assert "force_model" == caught.value.field
    assert "must be one of ollama/large, ollama/middle, ollama/small" == str(caught.value)
    with pytest.raises(UnknownModelError, match=r"^must be one of ollama/small$"):
        ROUTER.limited_to(("small",)).route(Complexity.SIMPLE, 10, "gpt-4", unit="a")


WITH_FALLBACKS = RoutingSettings(fallback_model="ollama/phi3", cloud_model="gpt-4o-mini")


def test_fallbacks() -> None:
    """A tier's model may be stood in for by the other local model, then by the cloud's under a name of its own."""
    route = Router.from_settings(WITH_FALLBACKS, TODAY).route(Complexity.SIMPLE, 100, unit="default")

    assert Route(model="ollama/tinyllama", fallbacks=("ollama/phi3", "cloud/gpt-4o-mini")) == route
    assert () == ROUTER.route(Complexity.SIMPLE, 100, unit="default").fallbacks


@pytest.mark.parametrize(("fallback", "chars"), [("ollama/tinyllama", 100), ("ollama/phi3", 20_000)])
def test_local_fallback_that_could_not_help(fallback: str, chars: int) -> None:
    """A model does not stand in for itself, nor for a prompt that it cannot hold."""
    router = Router.from_settings(RoutingSettings(fallback_model=fallback), TODAY)

    assert () == router.route(Complexity.SIMPLE, chars, unit="default").fallbacks


@pytest.mark.parametrize("model", ["ollama/tinyllama", "ollama/phi3", "cloud/gpt-4o-mini"])
def test_forced_model_never_falls_back(model: str) -> None:
    """Every configured model can be forced, also those of the fallbacks, and then nobody stands in for it."""
    router = Router.from_settings(WITH_FALLBACKS, TODAY)

    assert Route(model=model, arm="forced") == router.route(Complexity.SIMPLE, 100, model, unit="default")


@pytest.mark.parametrize(
    ("name", "model"),
    [("tinyllama", "ollama/tinyllama"), ("gpt-4o-mini", "cloud/gpt-4o-mini"), ("llama", None), ("ollama/", None)],
)
def test_name_without_provider(name: str, model: str | None) -> None:
    """A model is known by its name without the provider, too, but by no part of it."""
    assert model == Router.from_settings(WITH_FALLBACKS, TODAY).named(name)


def test_same_name_on_the_box_and_in_the_cloud() -> None:
    """Without its provider a name means the model of the box; with it, the one it says."""
    router = Router.from_settings(
        RoutingSettings(fallback_model="ollama/gpt-4o-mini", cloud_model="gpt-4o-mini"), TODAY
    )

    assert ("ollama/gpt-4o-mini", "cloud/gpt-4o-mini") == (
        router.named("gpt-4o-mini"),
        router.named("cloud/gpt-4o-mini"),
    )


def test_unknown_forced_model_lists_all() -> None:
    """The choice that the error names has the fallbacks in it."""
    with pytest.raises(InvalidRequestError) as caught:
        Router.from_settings(WITH_FALLBACKS, TODAY).route(Complexity.SIMPLE, 100, "gpt-4", unit="default")

    assert "must be one of cloud/gpt-4o-mini, ollama/llama3.2, ollama/phi3, ollama/tinyllama" == str(caught.value)


def test_cloud_without_a_price() -> None:
    """A cloud model whose price is not known cannot be configured: its answers could not be billed."""
    with pytest.raises(ConfigError, match="no list price is known for 'gpt-99'"):
        Router.from_settings(RoutingSettings(cloud_model="gpt-99"), TODAY)


LIMITED = (
    (("ollama/small", "ollama/medium", "ollama/large"), Complexity.SIMPLE, "ollama/small"),
    (("ollama/medium",), Complexity.SIMPLE, "ollama/medium"),
    (("ollama/large", "ollama/medium"), Complexity.SIMPLE, "ollama/medium"),
    (("ollama/small",), Complexity.COMPLEX, "ollama/small"),
    (("ollama/small", "ollama/medium"), Complexity.COMPLEX, "ollama/medium"),
    (("medium",), Complexity.SIMPLE, "ollama/medium"),
    (("ollama/small", "gpt-4o"), Complexity.SIMPLE, "ollama/small"),
)
TIERS = Router(
    {Complexity.SIMPLE: "ollama/small", Complexity.MEDIUM: "ollama/medium", Complexity.COMPLEX: "ollama/large"}
)


@pytest.mark.parametrize(("allowed", "complexity", "model"), LIMITED)
def test_limited_to_some_models(allowed: tuple[str, ...], complexity: Complexity, model: str) -> None:
    """Of the models that a caller may have it is the cheapest that is good enough, or else the best."""
    assert model == TIERS.limited_to(allowed).route(complexity, 100, unit="acme").model


def test_limited_to_none_of_the_models() -> None:
    """A caller who may have no model of any tier gets none, and no error of the router's but a refusal."""
    with pytest.raises(ForbiddenError, match="none of the models"):
        TIERS.limited_to(("ollama/phi3",)).route(Complexity.SIMPLE, 100, unit="acme")


def test_forcing_a_model_that_is_not_allowed() -> None:
    """A model that the caller may not have cannot be forced; one that is not configured is still told apart."""
    limited = TIERS.limited_to(("ollama/small", "ollama/nowhere"))
    with pytest.raises(ForbiddenError) as refused:
        limited.route(Complexity.SIMPLE, 100, "ollama/large", unit="acme")
    with pytest.raises(InvalidRequestError):
        limited.route(Complexity.SIMPLE, 100, "ollama/nowhere", unit="acme")

    assert "force_model" == refused.value.field
    assert "ollama/small" == limited.route(Complexity.SIMPLE, 100, "small", unit="acme").model


def test_fallbacks_that_are_not_allowed() -> None:
    """Nobody stands in whom the caller may not have; who may have all models has all fallbacks."""
    router = Router(TIERS.models, fallback="ollama/phi3", cloud="cloud/gpt-4o-mini")
    of = {
        allowed: router.limited_to(allowed).route(Complexity.SIMPLE, 100, unit="acme").fallbacks
        for allowed in ((), ("small",), ("small", "gpt-4o-mini"), ("small", "phi3"))
    }

    assert {
        (): ("ollama/phi3", "cloud/gpt-4o-mini"),
        ("small",): (),
        ("small", "gpt-4o-mini"): ("cloud/gpt-4o-mini",),
        ("small", "phi3"): ("ollama/phi3",),
    } == of
