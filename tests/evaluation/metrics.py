"""Figures by which a router is judged."""

import math
from collections.abc import Sequence
from itertools import groupby, pairwise

from tests.evaluation.prompts import TIERS, Labelled, Outcome

ECE_BINS = 10

Point = tuple[float, float]
"""Share of prompts sent to the strong model, share answered correctly."""


def tier_figures(items: Sequence[Labelled], graded: Sequence[int]) -> dict[str, float]:
    """Return accuracy, lenient accuracy, macro-F1, and the shares graded below and above every acceptable tier."""
    pairs = list(zip(items, graded, strict=True))
    return {
        "n": len(items),
        "accuracy": mean([item.label == tier for item, tier in pairs]),
        "lenient": mean([tier in item.acceptable for item, tier in pairs]),
        "macro_f1": macro_f1([item.label for item in items], graded),
        "under": mean([tier < min(item.acceptable) for item, tier in pairs]),
        "over": mean([tier > max(item.acceptable) for item, tier in pairs]),
    }


def macro_f1(labels: Sequence[int], graded: Sequence[int]) -> float:
    """Return the mean F1 of the tiers that occur among labels or grades."""
    scores = []
    for tier in range(len(TIERS)):
        both = sum(label == tier == grade for label, grade in zip(labels, graded, strict=True))
        either = labels.count(tier) + graded.count(tier)
        if either:
            scores.append(2 * both / either)
    return mean(scores)


def expected_calibration_error(confidences: Sequence[float], right: Sequence[bool]) -> float:
    """Return the mean gap between confidence and accuracy over ten equal bins, weighted by size.

    Naeini, Cooper, Hauskrecht, "Obtaining well calibrated probabilities using Bayesian binning", 2015.
    """
    bins: dict[int, list[float]] = {}
    for confidence, is_right in zip(confidences, right, strict=True):
        bins.setdefault(min(ECE_BINS - 1, int(confidence * ECE_BINS)), []).append(confidence - is_right)
    return round(sum(abs(sum(gaps)) for gaps in bins.values()) / len(right), 4) if right else math.nan


def auroc(signals: Sequence[float], flags: Sequence[bool]) -> float | None:
    """Return the chance that a flagged item has a stronger signal than another; ties count half, None without both."""
    flagged = sum(flags)
    others = len(flags) - flagged
    if not flagged or not others:
        return None
    wins, below = 0.0, 0
    for _, tied in groupby(sorted(zip(signals, flags, strict=True)), key=lambda pair: pair[0]):
        group = [flag for _, flag in tied]
        wins += sum(group) * (below + (len(group) - sum(group)) / 2)
        below += len(group) - sum(group)
    return round(wins / (flagged * others), 4)


def calls_curve(signals: Sequence[float], outcomes: Sequence[Outcome]) -> list[Point]:
    """Return how many are answered correctly as ever more prompts go to the strong model, strongest signal first.

    Prompts with equal signals are sent in any order: between two points the curve is a straight line.
    """
    count = len(outcomes)
    right, sent = sum(outcome.weak_correct for outcome in outcomes), 0
    points = [(0.0, right / count)]
    ordered = sorted(zip(signals, outcomes, strict=True), key=lambda pair: -pair[0])
    for _, tied in groupby(ordered, key=lambda pair: pair[0]):
        for _, outcome in tied:
            right, sent = right + outcome.strong_correct - outcome.weak_correct, sent + 1
        points.append((sent / count, right / count))
    return points


def recovered_gap(points: Sequence[Point]) -> dict[str, float | None]:
    """Return APGR and CPT as RouteLLM defines them (Ong et al., 2024, section 2.2), None where there is no gap.

    The performance gap recovered (PGR) is 0 with the weak model's accuracy and 1 with the strong one's. APGR is its
    mean over the shares of strong calls; CPT(x) is the least share of strong calls that recovers x percent.
    """
    gap = points[-1][1] - points[0][1]
    if gap <= 0:
        return {"apgr": None, "cpt50": None, "cpt80": None}
    recovered = [(share, (accuracy - points[0][1]) / gap) for share, accuracy in points]
    area = sum((right[0] - left[0]) * (left[1] + right[1]) / 2 for left, right in pairwise(recovered))
    return {"apgr": round(area, 4), "cpt50": _first_share(recovered, 0.5), "cpt80": _first_share(recovered, 0.8)}


def _first_share(recovered: Sequence[Point], wanted: float) -> float:
    for left, right in pairwise(recovered):
        if right[1] >= wanted:
            return round(left[0] + (right[0] - left[0]) * (wanted - left[1]) / (right[1] - left[1]), 4)
    return 1.0


def mean(values: Sequence[float]) -> float:
    """Return the mean to four decimals; of nothing it is not a number, which JSON shows as null."""
    return round(sum(values) / len(values), 4) if values else math.nan
