"""Reads evaluation data: `pairs_*.jsonl` and the stream of requests."""

import hashlib
from collections.abc import Iterator
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

    @property
    def is_for_tuning(self) -> bool:
        """Whether the pair is in the half on which errors may be looked at; the other half only checks."""
        return hashlib.sha256("\n".join(sorted((self.a, self.b))).encode()).digest()[0] % 2 == 0


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
