"""The weights of the learned grader, as `tests/evaluation/train_classifier.py` writes them; see MODEL_CARD.md."""

import hashlib
from functools import cache
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

WEIGHTS_FILE: Final = Path(__file__).with_name("weights.json")


class Head(Struct, frozen=True, forbid_unknown_fields=True):
    """A linear function of embedding, numbers and words."""

    intercept: float
    embedding: tuple[float, ...]
    numbers: tuple[float, ...]


class Weights(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The layout of `weights.json`."""

    embedder_version: str
    """Whose vectors the weights are for."""
    fitted_on: dict[str, int]
    """Prompts per file."""
    checksum: str
    """SHA-256 of `payload`."""
    divisor: float
    """The temperature that calibrated the log-odds; it is in the weights already."""
    number_names: tuple[str, ...]
    number_means: tuple[float, ...]
    """What a number is measured from when its influence is explained."""
    tiers: tuple[Head, Head, Head]
    """Log-odds of simple, medium and complex, up to a common constant."""
    words: dict[str, tuple[float, float, float]]
    """What a word adds to each tier; the sum is divided by the square root of the number of known words."""
    strong_needed: Head
    """Says how likely a weak model is to fail; only the order of its values has meaning."""

    def payload(self) -> bytes:
        """Return everything that decides a grade, as the checksum covers it."""
        decisive = (self.number_names, self.number_means, self.tiers, self.words, self.strong_needed)
        return msgspec.json.encode(decisive, order="deterministic")

    def with_checksum(self) -> "Weights":
        """Return the weights with the checksum of their payload."""
        return msgspec.structs.replace(self, checksum=hashlib.sha256(self.payload()).hexdigest())


@cache
def shipped_weights() -> Weights:
    """Read the weights that ship with the package, once per process."""
    return msgspec.json.decode(WEIGHTS_FILE.read_bytes(), type=Weights)
