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
    assert model == ROUTER.choose(complexity, 100)


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

    assert model == router.choose(complexity, chars)


def test_forced_model() -> None:
    """A configured model can be forced, whatever the grade and the length."""
    assert "ollama/large" == ROUTER.choose(Complexity.SIMPLE, 10**6, "ollama/large")


def test_unknown_forced_model() -> None:
    """Another model cannot be forced; the error names the field and the choice."""
    with pytest.raises(InvalidRequestError) as caught:
        ROUTER.choose(Complexity.SIMPLE, 100, "ollama/mixtral")

    assert "force_model" == caught.value.field
    assert "must be one of ollama/large, ollama/middle, ollama/small" == str(caught.value)
