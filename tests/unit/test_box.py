import pytest

from llm_router.box import answer_limit_tokens, context_tokens, fits


@pytest.mark.parametrize(
    ("model", "tokens"),
    [("ollama/tinyllama", 2048), ("ollama/llama3.2:3b", 10_240), ("ollama/other", 4096), ("tinyllama", 2048)],
)
def test_context(model: str, tokens: int) -> None:
    """Every tag of a model has the context that its family is loaded with."""
    assert tokens == context_tokens(model)


@pytest.mark.parametrize(
    ("model", "tokens"),
    [("ollama/tinyllama", 512), ("ollama/tinyllama:latest", 512), ("ollama/llama3.2", 1024), ("ollama/other", 1024)],
)
def test_answer_limit(model: str, tokens: int) -> None:
    """Unless the caller says otherwise an answer has 1024 tokens at most, and a quarter of the model's context."""
    assert tokens == answer_limit_tokens(model)
    assert tokens <= context_tokens(model) // 4


@pytest.mark.parametrize(
    ("model", "chars", "expected"),
    [
        # 2048 tokens of context less 512 for the answer, at 4 characters a token
        ("ollama/tinyllama", 6_144, True),
        ("ollama/tinyllama", 6_145, False),
        ("ollama/llama3.2", 32_000, True),
        ("ollama/llama3.2", 64_000, False),
    ],
)
def test_fits(model: str, chars: int, expected: bool) -> None:  # noqa: FBT001 - a test's parameter
    """A prompt fits when it and a usual answer are within the model's context."""
    assert expected is fits(model, chars)
