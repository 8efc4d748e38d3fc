"""Plays a stream of requests against a cache as the router runs it, and counts hits and wrong hits."""

import math
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
from msgspec import Struct

from llm_router.prompt import canonicalise
from llm_router.semantic_cache import CANDIDATES
from tests.evaluation.embedding import Embeddings
from tests.evaluation.pairs import read_lines

Accepts = Callable[[str, str, float], bool]


class Request(Struct, frozen=True):
    """One request: its canonical prompt and the questions that may share an answer with it."""

    prompt: str
    cluster: str
    oracle_hit: bool


class Outcome(Struct, frozen=True):
    """Shares between 0 and 1."""

    hit_rate: float
    wrong_among_hits: float


def read_stream(path: Path) -> list[Request]:
    """Return the requests of a file in order."""
    return [
        Request(canonicalise(line["prompt"]), line["cluster"], bool(line["oracle_hit"])) for line in read_lines(path)
    ]


def play(requests: Sequence[Request], embeddings: Embeddings, threshold: float, accepts: Accepts) -> Outcome:
    """Return what a cache that starts empty and stores every miss makes of the requests.

    Exact words go first; then the nearest candidates at or above the threshold, in order, until one is accepted.
    """
    exact: dict[str, str] = {}
    stored: list[Request] = []
    vectors = np.zeros((len(requests), len(embeddings.vector(requests[0].prompt))), dtype=np.float32)
    hits = wrong = 0
    for request in requests:
        cluster = exact.get(request.prompt)
        if cluster is None:
            near = _nearest(vectors[: len(stored)], embeddings.vector(request.prompt), threshold)
            cluster = next(
                (stored[i].cluster for i, cosine in near if accepts(request.prompt, stored[i].prompt, cosine)), None
            )
        if cluster is None:
            vectors[len(stored)] = embeddings.vector(request.prompt)
            stored.append(request)
            exact[request.prompt] = request.cluster
        else:
            hits += 1
            wrong += cluster != request.cluster
    return Outcome(hits / len(requests), wrong / hits if hits else math.nan)


def ceiling(requests: Iterable[Request]) -> float:
    """Return the share of requests whose question has been asked before in some words."""
    return float(np.mean([request.oracle_hit for request in requests]))


def _nearest(vectors: np.ndarray, vector: np.ndarray, threshold: float) -> list[tuple[int, float]]:
    """Return the indices and cosines of the nearest vectors at or above the threshold, the nearest first."""
    cosines = vectors @ vector
    near = np.flatnonzero(cosines >= threshold)
    best = near[np.argsort(-cosines[near], kind="stable")][:CANDIDATES]
    return [(int(index), float(cosines[index])) for index in best]
