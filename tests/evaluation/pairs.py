"""Reads evaluation data: `pairs_*.jsonl` and the stream of requests."""

import hashlib
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from llm_router.prompt import canonicalise


class Pair(Struct, frozen=True):
    """Two canonical prompts and whether one may be served the other's answer."""

    a: str
    b: str
    duplicate: bool
    kind: str
    family: str = ""
    """What pairs that must fall into the same half have in common; empty for a pair that may fall into either."""

    @property
    def is_for_tuning(self) -> bool:
        """Whether the pair is in the half on which errors may be looked at; the other half only checks."""
        key = self.family or "\n".join(sorted((self.a, self.b)))
        return hashlib.sha256(key.encode()).digest()[0] % 2 == 0


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the JSON objects of a file with one a line."""
    with path.open("rb") as lines:
        yield from map(msgspec.json.decode, lines)


def read_pairs(path: Path) -> list[Pair]:
    """Return the pairs of one file, their prompts in canonical form."""
    return [
        Pair(canonicalise(row["a"]), canonicalise(row["b"]), bool(row["duplicate"]), str(row.get("kind", "")))
        for row in read_lines(path)
    ]


def read_questions(path: Path) -> list[Pair]:
    """Return every pair of questions of one block of a file like `questions.txt`, a block being a family."""
    lines = [line for line in path.read_text().splitlines() if not line.startswith("#")]
    pairs = []
    for block in "\n".join(lines).strip().split("\n\n"):
        asked = [
            (canonicalise(question), number)
            for number, line in enumerate(block.splitlines())
            for question in line.split("|")
        ]
        pairs += [Pair(a, b, here == there, "written", asked[0][0]) for (a, here), (b, there) in combinations(asked, 2)]
    return pairs
