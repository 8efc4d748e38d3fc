"""Gradient boosting of small regression trees on the logistic loss, in numpy and deterministic.

Friedman, "Greedy function approximation: a gradient boosting machine", 2001; the gain and the leaf values are the
second-order ones of Chen and Guestrin, "XGBoost", 2016, equations 5 and 7.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
_BINS = 32
_PENALTY = 4.0
_LEAST_CURVATURE = 1.5
"""A leaf with less is too small to be trusted."""
_NEVER = 1e9
"""A threshold that no feature exceeds, for a node that asks nothing."""


class FittedTree(NamedTuple):
    """A complete binary tree in heap order: inner nodes, then leaves."""

    features: list[int]
    thresholds: list[float]
    leaves: list[float]


class _Columns(NamedTuple):
    binned: NDArray[np.int64]
    """Number of the bin, one feature a row."""
    cuts: list[Floats]
    """Upper ends of the bins but the last."""


def fit(
    rows: Floats, labels: Floats, weights: Floats, *, trees: int, depth: int, rate: float
) -> tuple[float, list[FittedTree]]:
    """Return the intercept and the trees whose sum is the log-odds of a label of 1.

    Args:
        rows: One pair a row, one feature a column.
        labels: 0 or 1 a row.
        weights: How much each row counts.
        trees: How many trees.
        depth: Questions from the root to a leaf.
        rate: Share of each leaf value that is taken.
    """
    cuts = [_cuts(column) for column in rows.T]
    binned = np.stack([np.searchsorted(cut, column) for cut, column in zip(cuts, rows.T, strict=True)])
    columns = _Columns(binned, cuts)
    share = float(np.average(labels, weights=weights))
    intercept = round(float(np.log(share / (1 - share))), 4)
    scores = np.full(len(labels), intercept)
    fitted = []
    for _ in range(trees):
        chances = 1 / (1 + np.exp(-scores))
        tree, places = _grow(columns, weights * (labels - chances), weights * chances * (1 - chances), depth)
        leaves = [round(rate * leaf, 4) for leaf in tree.leaves]
        scores += np.array(leaves)[places]
        fitted.append(tree._replace(leaves=leaves))
    return intercept, fitted


def _cuts(column: Floats) -> Floats:
    """Return thresholds halfway between values, at most one fewer than the bins."""
    values = np.unique(column)
    middles = (values[:-1] + values[1:]) / 2
    if len(middles) >= _BINS:
        ranks = np.quantile(column, np.linspace(0, 1, _BINS + 1)[1:-1], method="lower")
        middles = np.unique(middles[np.clip(np.searchsorted(values, ranks), 0, len(middles) - 1)])
    return np.round(middles, 4)


def _grow(columns: _Columns, gradient: Floats, curvature: Floats, depth: int) -> tuple[FittedTree, NDArray[np.int64]]:
    """Return a tree and the leaf of every row."""
    inner = 2**depth - 1
    features, thresholds = [0] * inner, [_NEVER] * inner
    places = np.zeros(len(gradient), dtype=np.int64)
    for node in range(inner):
        here = np.flatnonzero(places == node)
        feature, cut = _best_split(columns, here, gradient[here], curvature[here])
        goes_right = np.zeros(len(here), dtype=bool)
        if cut is not None:
            features[node], thresholds[node] = feature, float(columns.cuts[feature][cut])
            goes_right = columns.binned[feature, here] > cut
        places[here] = 2 * node + 1 + goes_right
    places -= inner
    leaves = np.bincount(places, gradient, inner + 1) / (np.bincount(places, curvature, inner + 1) + _PENALTY)
    return FittedTree(features, thresholds, leaves.tolist()), places


def _best_split(
    columns: _Columns, here: NDArray[np.int64], gradient: Floats, curvature: Floats
) -> tuple[int, int | None]:
    """Return the feature and the number of the cut that gain most, or no cut when none gains anything."""
    best_gain = 1e-6
    best: tuple[int, int | None] = (0, None)
    total_gradient, total_curvature = gradient.sum(), curvature.sum()
    for feature, cut in enumerate(columns.cuts):
        if not len(cut):
            continue
        bins = columns.binned[feature, here]
        left_gradient = np.cumsum(np.bincount(bins, gradient, len(cut) + 1))[:-1]
        left_curvature = np.cumsum(np.bincount(bins, curvature, len(cut) + 1))[:-1]
        right_gradient, right_curvature = total_gradient - left_gradient, total_curvature - left_curvature
        gains = left_gradient**2 / (left_curvature + _PENALTY) + right_gradient**2 / (right_curvature + _PENALTY)
        gains -= total_gradient**2 / (total_curvature + _PENALTY)
        gains[np.minimum(left_curvature, right_curvature) < _LEAST_CURVATURE] = -1
        where = int(np.argmax(gains))
        if gains[where] > best_gain:
            best_gain, best = float(gains[where]), (feature, where)
    return best
