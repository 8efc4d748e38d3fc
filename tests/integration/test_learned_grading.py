"""The learned grader with the embedding model it was fitted for."""

from pathlib import Path

import pytest

from llm_router.adapters.onnx_embedder import OnnxEmbedder
from llm_router.classification import Complexity, LearnedClassifier
from llm_router.classification.weights import shipped_weights
from llm_router.prompt import canonicalise

MODEL = Path(__file__).parents[2] / ".build" / "layers" / "EmbeddingLayer" / "model"
SIMPLE, MEDIUM, COMPLEX = Complexity


@pytest.fixture(scope="module")
def embedder() -> OnnxEmbedder:
    return OnnxEmbedder(MODEL)


@pytest.fixture(scope="module")
def grader(embedder: OnnxEmbedder) -> LearnedClassifier:
    return LearnedClassifier(embedder.embed)


def test_weights_fit_the_model(embedder: OnnxEmbedder) -> None:
    """The shipped weights were fitted on vectors of the model that the layer carries."""
    assert shipped_weights().embedder_version == embedder.version


@pytest.mark.parametrize(
    ("tiers", "prompt"),
    [
        ({SIMPLE}, "Thanks, that is all!"),
        ({SIMPLE}, "How many legs does a spider have?"),
        ({SIMPLE}, "Wie spät ist es?"),
        ({MEDIUM}, "Write a Python function that merges two sorted lists"),
        ({MEDIUM}, "Draft a short email that moves our meeting to Thursday"),
        ({MEDIUM, COMPLEX}, "Explain how TCP congestion control works and when it fails"),
        ({COMPLEX}, "Prove that the square root of 2 is irrational"),
        ({COMPLEX}, "Design a ride-hailing backend for ten million users"),
    ],
)
def test_tiers(grader: LearnedClassifier, tiers: set[Complexity], prompt: str) -> None:
    """Prompts nobody would argue about get the tier they deserve, short hard ones too."""
    assert grader.classify(canonicalise(prompt)).complexity in tiers


def test_pasted_material_does_not_decide(grader: LearnedClassifier) -> None:
    """A long text behind a one-line request leaves its tier open; it does not make the request complex."""
    pasted = "The quick brown fox jumps over the lazy dog. " * 300
    chances = grader.classify(canonicalise(f"Translate this into French:\n{pasted}")).chances

    assert chances is not None
    assert chances[COMPLEX] < 0.5


def test_caution_has_a_price(embedder: OnnxEmbedder) -> None:
    """A larger bias sends a doubtful prompt up."""
    prompt = "How do I reverse a list in Python?"
    bold, careful = (LearnedClassifier(embedder.embed, bias=bias).classify(prompt) for bias in (0.2, 20))

    assert list(Complexity).index(bold.complexity) < list(Complexity).index(careful.complexity)
    assert bold.chances == careful.chances
