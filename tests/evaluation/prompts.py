"""Reads evaluation data about single prompts: `routing_*.jsonl` and `router_outcomes_*.jsonl`."""

import random
from collections.abc import Iterable, Sequence
from pathlib import Path

from msgspec import Struct

from llm_router.classification import Complexity
from llm_router.prompt import canonicalise, sha256_hex
from tests.evaluation.pairs import read_lines

TIERS = tuple(Complexity)
FOLDS = 5
CORE = ("routing_seed", "routing_peers", "routing_system_design", "routing_wizardlm")
"""How the names of the files begin whose labels come nearest to the truth about three tiers."""


class Labelled(Struct, frozen=True):
    """A canonical prompt and the tier that people gave it."""

    prompt: str
    file: str
    source: str
    trust: str
    label: int
    """Number of the tier, weakest first."""
    acceptable: tuple[int, ...]
    """Every tier that a fair reader could defend, ascending."""

    @property
    def is_core(self) -> bool:
        """Whether the prompt counts for CORE."""
        return self.file.startswith(CORE)


class Outcome(Struct, frozen=True):
    """A canonical prompt and who answered it correctly."""

    prompt: str
    file: str
    weak_correct: bool
    strong_correct: bool

    @property
    def strong_needed(self) -> bool:
        """Whether only the strong model was right."""
        return self.strong_correct and not self.weak_correct


def read_labelled(folder: Path) -> list[Labelled]:
    """Return the labelled prompts of a folder; lines without a label are disputed and left out."""
    return [
        Labelled(
            canonicalise(line["prompt"]),
            path.stem,
            str(line.get("source", path.stem)),
            str(line.get("trust", "low")),
            TIERS.index(Complexity(line["label"])),
            tuple(sorted(TIERS.index(Complexity(tier)) for tier in line.get("acceptable", [line["label"]]))),
        )
        for path in sorted(folder.glob("routing_*.jsonl"))
        for line in read_lines(path)
        if "label" in line
    ]


def read_outcomes(folder: Path) -> list[Outcome]:
    """Return the outcomes of a folder."""
    return [
        Outcome(canonicalise(line["prompt"]), path.stem, bool(line["weak_correct"]), bool(line["strong_correct"]))
        for path in sorted(folder.glob("router_outcomes_*.jsonl"))
        for line in read_lines(path)
    ]


def digest(item: Labelled | Outcome) -> str:
    """Return the short fingerprint by which a prompt that weights were fitted on is known again."""
    return sha256_hex(f"{type(item).__name__}: {item.prompt}".encode())[:8]


def folds(prompts: Sequence[str], seed: int = 0) -> list[int]:
    """Return the number of the fold of every prompt; equal prompts share one."""
    distinct = sorted(set(prompts))
    random.Random(seed).shuffle(distinct)
    fold = {prompt: place % FOLDS for place, prompt in enumerate(distinct)}
    return [fold[prompt] for prompt in prompts]


def files_of(items: Iterable[Labelled | Outcome]) -> list[str]:
    """Return the files that prompts came from, sorted."""
    return sorted({item.file for item in items})
