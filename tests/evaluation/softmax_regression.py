"""Linear models in numpy, deterministic on one machine."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
ITERATIONS = 150


def fit_softmax(rows: Floats, targets: Floats, weights: Floats, penalties: Floats) -> Floats:
    """Return the coefficients of a multinomial logistic regression, one column a class, the intercepts last.

    Nesterov's accelerated gradient on the weighted cross-entropy with a ridge penalty; the number of steps is fixed.

    Args:
        rows: One prompt a row, one feature a column.
        targets: Share of every class a row, adding up to 1.
        weights: How much each row counts.
        penalties: Ridge penalty of every feature; the intercepts have none.
    """
    total = weights.sum()
    inputs = np.hstack([rows, np.ones((len(rows), 1))])
    ridge = np.append(penalties, 0.0)[:, None] / total
    step = 1 / (0.5 * _largest_curvature(inputs, weights / total) + ridge.max())
    now = ahead = np.zeros((inputs.shape[1], targets.shape[1]))
    momentum = 1.0
    for _ in range(ITERATIONS):
        errors = (chances(inputs @ ahead) - targets) * weights[:, None]
        later = ahead - step * (inputs.T @ errors / total + ridge * ahead)
        next_momentum = (1 + np.sqrt(1 + 4 * momentum**2)) / 2
        ahead = later + (momentum - 1) / next_momentum * (later - now)
        now, momentum = later, next_momentum
    return now


def _largest_curvature(inputs: Floats, weights: Floats) -> float:
    """Return the largest eigenvalue of the weighted second moments, a little too large, by power iteration."""
    direction, size = np.ones(inputs.shape[1]), 1.0
    for _ in range(30):
        direction = inputs.T @ (weights * (inputs @ (direction / np.linalg.norm(direction))))
        size = float(np.linalg.norm(direction))
    return 1.02 * size


def chances(scores: Floats) -> Floats:
    """Return the softmax of every row."""
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    shares: Floats = powers / powers.sum(axis=1, keepdims=True)
    return shares


def temperature(scores: Floats, labels: NDArray[np.int64], weights: Floats) -> float:
    """Return by what to divide log-odds for the labels to be most likely (Guo et al., 2017, section 4.2)."""
    tried = np.arange(0.5, 1.51, 0.05)
    losses = [
        -np.average(np.log(chances(scores / each)[np.arange(len(labels)), labels]), weights=weights) for each in tried
    ]
    return round(float(tried[int(np.argmin(losses))]), 2)


def fit_ridge(rows: Floats, targets: Floats, penalty: float) -> Floats:
    """Return the coefficients of a ridge regression on centred data, by its dual form (fewer rows than features)."""
    return rows.T @ np.linalg.solve(rows @ rows.T + penalty * np.eye(len(rows)), targets)
