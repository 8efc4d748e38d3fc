"""Plays a stream of requests against a cache as the router runs it, and counts hits and wrong hits."""

import math
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
from msgspec import Struct

from llm_router.prompt import canonicalise
from llm_router.stored_answers import CANDIDATES
from tests.evaluation.embedding import Embeddings
from tests.evaluation.pairs import read_lines

Accepts = Callable[[str, str, float], bool]
Neighbours = dict[str, list[tuple[str, float]]]
"""For each prompt, other prompts and their cosines, the nearest first."""


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


def neighbours(requests: Sequence[Request], embeddings: Embeddings, threshold: float) -> Neighbours:
    """Return the prompts at or above the threshold from each prompt, the nearest first.

    A prompt of which the embedding does not see all has none.
    """
    prompts = [prompt for prompt in dict.fromkeys(request.prompt for request in requests) if embeddings.sees(prompt)]
    vectors = np.array([embeddings.vector(prompt) for prompt in prompts])
    near: Neighbours = {}
    for place, prompt in enumerate(prompts):
        cosines = vectors @ vectors[place]
        cosines[place] = -1
        order = np.argsort(-cosines, kind="stable")[: np.count_nonzero(cosines >= threshold)]
        near[prompt] = [(prompts[index], float(cosines[index])) for index in order]
    return near


def play(
    requests: Sequence[Request], near: Neighbours, accepts: Accepts, may_be_cached: Callable[[str], bool] = bool
) -> Outcome:
    """Return what a cache that starts empty and stores every miss that may be cached makes of the requests.

    Exact words go first; then the nearest stored candidates, in order, until one is accepted.
    """
    stored: dict[str, str] = {}
    hits = wrong = 0
    for request in requests:
        if not may_be_cached(request.prompt):
            continue
        cluster = stored.get(request.prompt)
        if cluster is None:
            candidates = ((prompt, cosine) for prompt, cosine in near.get(request.prompt, ()) if prompt in stored)
            cluster = next(
                (
                    stored[prompt]
                    for prompt, cosine in islice(candidates, CANDIDATES)
                    if accepts(request.prompt, prompt, cosine)
                ),
                None,
            )
        if cluster is None:
            stored[request.prompt] = request.cluster
        else:
            hits += 1
            wrong += cluster != request.cluster
    return Outcome(hits / len(requests), wrong / hits if hits else math.nan)


def ceiling(requests: Iterable[Request]) -> float:
    """Return the share of requests whose question has been asked before in some words."""
    return float(np.mean([request.oracle_hit for request in requests]))
