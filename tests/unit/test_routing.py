import pytest

from llm_router.classification import Complexity
from llm_router.errors import InvalidRequestError
from llm_router.routing import Router
from llm_router.settings import RoutingSettings

ROUTER = Router.from_settings(
    RoutingSettings(
        default_simple_model="ollama/small", default_medium_model="ollama/middle", default_complex_model="ollama/large"
    )
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
    assert model == ROUTER.choose(complexity)


def test_forced_model() -> None:
    """A configured model can be forced, whatever the grade."""
    assert "ollama/large" == ROUTER.choose(Complexity.SIMPLE, "ollama/large")


def test_unknown_forced_model() -> None:
    """Another model cannot be forced; the error names the field and the choice."""
    with pytest.raises(InvalidRequestError) as caught:
        ROUTER.choose(Complexity.SIMPLE, "ollama/mixtral")

    assert "force_model" == caught.value.field
    assert "must be one of ollama/large, ollama/middle, ollama/small" == str(caught.value)
