"""Measures the semantic cache: a similarity threshold alone against the threshold and the verifier.

Run as `python -m tests.evaluation.evaluate_cache --data FOLDER --out FILE.json [--plot FILE.svg]`, where the folder
holds `pairs_*.jsonl` (`a`, `b`, `duplicate`, `kind`) and, if there is one, `stream_*.jsonl` (`prompt`, `cluster`,
`oracle_hit`). Both kinds of file are described where the weights are (`weights.json`, `card`).
"""

import argparse
import math
import sys
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from llm_router.adapters.onnx_embedder import OnnxEmbedder
from llm_router.freshness import is_time_dependent
from llm_router.verification import PairVerifier
from tests.evaluation.embedding import MODEL_DIR, THRESHOLD, Embeddings
from tests.evaluation.pairs import Pair, read_pairs
from tests.evaluation.stream import ceiling, neighbours, play, read_stream

CURVE_SCORES = (-2.0, -1.0, -0.5, 0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0, 2.5, 3.0, 4.0)
CURVE_THRESHOLDS = (0.8, 0.85, 0.88, 0.9, 0.92, 0.94, 0.95, 0.96, 0.97, 0.98, 0.99)


class Judged(msgspec.Struct, frozen=True):
    """A pair and what was made of it."""

    pair: Pair
    similarity: float
    score: float
    """Log-odds by the verifier, minus infinity when a rule is broken or a prompt is never answered from the cache."""
    is_served: bool
    """By the threshold and the verifier."""


def may_be_cached(prompt: str) -> bool:
    """Whether the router stores answers to a canonical prompt at all."""
    return not is_time_dependent(prompt)


def may_share(pair: Pair, embeddings: Embeddings) -> bool:
    """Whether the router would compare a pair: its answers may be cached, and the embedding sees all of both."""
    return all(may_be_cached(prompt) and (pair.a == pair.b or embeddings.sees(prompt)) for prompt in (pair.a, pair.b))


def judge(pairs: Sequence[Pair], embeddings: Embeddings, verifier: PairVerifier) -> list[Judged]:
    """Return every pair with its similarity and the verifier's opinion."""
    judged = []
    for pair in pairs:
        similarity = embeddings.similarity(pair.a, pair.b)
        is_compared = may_share(pair, embeddings)
        score = verifier.judge(pair.a, pair.b, similarity)[1] if is_compared else -math.inf
        is_served = is_compared and similarity >= THRESHOLD and verifier.refusal(pair.a, pair.b, similarity) is None
        judged.append(Judged(pair, similarity, score, is_served))
    return judged


def rates(judged: Sequence[Judged], is_served: Callable[[Judged], bool]) -> dict[str, float | None]:
    """Return the share of duplicates that hit and the share of others that are wrongly served."""
    return {
        name: share([is_served(each) for each in judged if each.pair.duplicate is duplicate])
        for name, duplicate in (("hit", True), ("wrong", False))
    }


def share(flags: Sequence[bool]) -> float | None:
    """Return the share of true flags, or None when there is none to count."""
    return round(sum(flags) / len(flags), 4) if flags else None


def by_threshold(each: Judged) -> bool:
    """Whether the similarity threshold alone serves a pair."""
    return each.similarity >= THRESHOLD


def by_verifier(each: Judged) -> bool:
    """Whether the threshold and the verifier serve a pair."""
    return each.is_served


def report_pairs(judged: Sequence[Judged]) -> dict[str, Any]:
    """Return the figures of one file of pairs."""
    kinds: dict[str, list[Judged]] = defaultdict(list)
    for each in judged:
        kinds[each.pair.kind].append(each)
    positives = sum(each.pair.duplicate for each in judged)
    return {
        "positives": positives,
        "negatives": len(judged) - positives,
        "threshold_only": rates(judged, by_threshold),
        "verified": rates(judged, by_verifier),
        "by_kind": {
            kind: {
                "pairs": len(group),
                "threshold_only": rates(group, by_threshold),
                "verified": rates(group, by_verifier),
            }
            for kind, group in sorted(kinds.items())
        },
    }


def halves(judged: Sequence[Judged]) -> dict[str, dict[str, float | None]]:
    """Return the verified figures of the half that was tuned on and of the half that only checks."""
    return {
        name: rates([each for each in judged if each.pair.is_for_tuning is tuning], by_verifier)
        for name, tuning in (("tuning", True), ("checking", False))
    }


def report_stream(path: Path, embeddings: Embeddings, verifier: PairVerifier) -> dict[str, Any]:
    """Return the figures of a stream of requests."""
    requests = read_stream(path)
    near = neighbours(requests, embeddings, THRESHOLD)
    bare = play(requests, near, lambda *_: True)
    verified = play(requests, near, lambda *pair: verifier.refusal(*pair) is None, may_be_cached)
    return {
        "threshold_only": msgspec.to_builtins(bare),
        "verified": msgspec.to_builtins(verified),
        "ceiling": ceiling(requests),
    }


def curve(judged: Sequence[Judged]) -> dict[str, list[dict[str, float | None]]]:
    """Return hits and wrong hits for several thresholds alone and for several least scores of the verifier."""
    return {
        "threshold_only": [
            {"threshold": least, **rates(judged, lambda each, least=least: each.similarity >= least)}  # type: ignore[misc] # a default argument
            for least in CURVE_THRESHOLDS
        ],
        "verified": [
            {
                "least_score": least,
                **rates(judged, lambda each, least=least: each.similarity >= THRESHOLD and each.score >= least),  # type: ignore[misc] # a default argument
            }
            for least in CURVE_SCORES
        ],
    }


def evaluate(folder: Path, embeddings: Embeddings, verifier: PairVerifier) -> dict[str, Any]:
    """Return every figure of a folder of evaluation data."""
    report: dict[str, Any] = {"pairs": {}, "halves": {}, "curves": {}}
    for path in sorted(folder.glob("pairs_*.jsonl")):
        judged = judge(read_pairs(path), embeddings, verifier)
        report["pairs"][path.stem] = report_pairs(judged)
        report["halves"][path.stem] = halves(judged)
        report["curves"][path.stem] = curve(judged)
    for path in sorted(folder.glob("stream_*.jsonl")):
        report["stream"] = report_stream(path, embeddings, verifier)
    return report


def table(report: dict[str, Any]) -> str:
    """Return the figures as a Markdown table in percent."""
    lines = [
        "| data | pairs | hits, threshold | hits, verified | wrong, threshold | wrong, verified |",
        "|---|---|---|---|---|---|",
    ]
    for name, figures in report["pairs"].items():
        lines.append(_row(name, figures["positives"] + figures["negatives"], figures))
        if len(figures["by_kind"]) < 20:
            lines += [_row(f"- {kind}", each["pairs"], each) for kind, each in figures["by_kind"].items()]
    if "stream" in report:
        lines += ["", _stream_line(report["stream"])]
    return "\n".join(lines)


def _stream_line(stream: dict[str, Any]) -> str:
    bare, verified = stream["threshold_only"], stream["verified"]
    return (
        f"stream: hit rate {_percent(bare['hit_rate'])} by the threshold, {_percent(verified['hit_rate'])} verified, "
        f"{_percent(stream['ceiling'])} at best; wrong among hits {_percent(bare['wrong_among_hits'])} "
        f"and {_percent(verified['wrong_among_hits'])}"
    )


def _row(name: str, count: int, figures: dict[str, Any]) -> str:
    cells = [_percent(figures[how][what]) for what in ("hit", "wrong") for how in ("threshold_only", "verified")]
    return f"| {name} | {count} | {' | '.join(cells)} |"


def _percent(value: float | None) -> str:
    return "" if value is None or math.isnan(value) else f"{100 * value:.1f} %"


def main() -> None:
    """Evaluate, print the table, write the JSON and, if asked, draw the curves."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--plot", type=Path)
    arguments = parser.parse_args()
    embedder = OnnxEmbedder(MODEL_DIR)
    report = evaluate(arguments.data, Embeddings(embedder.embed, embedder.sees), PairVerifier())
    sys.stdout.write(f"{table(report)}\n")
    arguments.out.write_bytes(msgspec.json.format(msgspec.json.encode(report)) + b"\n")
    if arguments.plot:
        from tests.evaluation.plotting import plot  # noqa: PLC0415 - matplotlib is needed for the picture only

        plot(report, arguments.plot)


if __name__ == "__main__":
    main()
