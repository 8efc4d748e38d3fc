"""Exact nearest-neighbour search that is kept up to date one vector at a time.

Vectors are float32, as in DynamoDB's index. A search estimates every distance with one float32 matrix product,
bounds the rounding error of each estimate, and computes in float64 only the rows that could belong to the answer;
the result is exactly that of a float64 scan.
"""

import copy
from collections.abc import Callable, Hashable
from enum import StrEnum
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

Float32s = NDArray[np.float32]
Float64s = NDArray[np.float64]

FLOAT32_MAX = float(np.finfo(np.float32).max)
# Between these norms no float32 product or sum can overflow, and what underflows is below the error bound.
SAFE_NORMS = (1e-12, 1e12)
INITIAL_ROWS = 8


class Distance(StrEnum):
    """How two vectors are compared; DOT_PRODUCT is a similarity, the others are nearer when lower."""

    COSINE = "COSINE"
    DOT_PRODUCT = "DOT_PRODUCT"
    EUCLIDEAN = "EUCLIDEAN"


class Match(NamedTuple):
    """One search result; `score` is the cosine distance, the dot product or the Euclidean distance."""

    key: Hashable
    score: float


class _Partition:
    """The vectors that share a HASH value: rows of one growing matrix, removed by moving the last row."""

    def __init__(self, dimensions: int) -> None:
        self.keys: list[Hashable] = []
        self._rows: dict[Hashable, int] = {}
        self._matrix: Float32s = np.zeros((INITIAL_ROWS, dimensions), np.float32)
        self._norms: Float64s = np.zeros(INITIAL_ROWS)

    def put(self, key: Hashable, vector: Float32s) -> None:
        row = self._rows.setdefault(key, len(self.keys))
        if row == len(self.keys):
            self.keys.append(key)
        if row == len(self._norms):
            self._matrix = np.concatenate([self._matrix, np.zeros_like(self._matrix)])
            self._norms = np.concatenate([self._norms, np.zeros_like(self._norms)])
        self._matrix[row] = vector
        self._norms[row] = np.linalg.norm(vector.astype(np.float64))

    def remove(self, key: Hashable) -> None:
        row, last = self._rows.pop(key), self.keys.pop()
        if last != key:
            self.keys[row] = last
            self._rows[last] = row
            self._matrix[row] = self._matrix[len(self.keys)]
            self._norms[row] = self._norms[len(self.keys)]

    def select(self, accept: Callable[[Any], bool] | None) -> tuple[list[Hashable], Float32s, Float64s]:
        if accept is None:
            return self.keys, self._matrix[: len(self.keys)], self._norms[: len(self.keys)]
        rows = [row for row, key in enumerate(self.keys) if accept(key)]
        return [self.keys[row] for row in rows], self._matrix[rows], self._norms[rows]

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        clone = copy.copy(self)
        vars(clone).update(keys=list(self.keys), _rows=dict(self._rows))
        vars(clone).update(_matrix=self._matrix.copy(), _norms=self._norms.copy())
        return clone


class VectorIndex:
    """Vectors of one length under hashable keys, each in one partition."""

    def __init__(self, dimensions: int, distance: Distance) -> None:
        self._dimensions = dimensions
        self._distance = distance
        self._partitions: dict[Hashable, _Partition] = {}
        self._homes: dict[Hashable, Hashable] = {}

    def __len__(self) -> int:
        return len(self._homes)

    def upsert(self, key: Hashable, partition: Hashable, vector: Float32s) -> None:
        """Store or replace a vector, moving it when its partition changed."""
        if key in self._homes and self._homes[key] != partition:
            self.remove(key)
        self._homes[key] = partition
        self._partitions.setdefault(partition, _Partition(self._dimensions)).put(key, vector)

    def remove(self, key: Hashable) -> None:
        """Forget a vector.

        Raises:
            KeyError: the key is not stored.
        """
        partition = self._homes.pop(key)
        home = self._partitions[partition]
        home.remove(key)
        if not home.keys:
            del self._partitions[partition]

    def search(
        self, partition: Hashable, query: Float32s, top_k: int, accept: Callable[[Any], bool] | None = None
    ) -> list[Match]:
        """Return the `top_k` nearest of a partition, most similar first, among the keys that `accept` lets pass."""
        home = self._partitions.get(partition)
        if home is None:
            return []
        keys, matrix, norms = home.select(accept)
        with np.errstate(all="ignore"):
            rows = _candidates(*_estimate(self._distance, matrix, norms, query), top_k)
            costs = _exact_costs(self._distance, matrix[rows], query)
        sign = -1.0 if self._distance is Distance.DOT_PRODUCT else 1.0
        best = np.argsort(costs, kind="stable")[:top_k]
        return [Match(keys[rows[i]], sign * float(costs[i])) for i in best]

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        clone = copy.copy(self)
        vars(clone).update(_homes=dict(self._homes), _partitions=copy.deepcopy(self._partitions, memo))
        return clone


def _estimate(distance: Distance, matrix: Float32s, norms: Float64s, query: Float32s) -> tuple[Float64s, Float64s]:
    """Return a cost per row (lower is nearer) and a bound of its error; the Euclidean cost is squared.

    A float32 dot product of n terms is off by at most about n * 2**-24 * |a||b| (Higham, Accuracy and Stability of
    Numerical Algorithms, section 3.1); doubled here to leave room for the other roundings.
    """
    query_norm = float(np.linalg.norm(query.astype(np.float64)))
    dots = (matrix @ query).astype(np.float64)
    unit = (len(query) + 8) * 2.0**-23
    products = norms * query_norm
    if distance is Distance.COSINE:
        costs, errors = (
            1 - np.divide(dots, products, out=np.zeros_like(dots), where=products > 0),
            np.full_like(dots, unit),
        )
    elif distance is Distance.DOT_PRODUCT:
        costs, errors = -dots, unit * products
    else:
        costs, errors = norms**2 + query_norm**2 - 2 * dots, unit * (norms + query_norm) ** 2
    unsafe = ~(_is_safe(norms) & _is_safe(np.asarray(query_norm)))
    return np.where(unsafe, 0.0, costs), np.where(unsafe, np.inf, errors)


def _is_safe(norms: Float64s) -> NDArray[np.bool_]:
    low, high = SAFE_NORMS
    return np.asarray((norms == 0) | ((norms > low) & (norms < high)))


def _candidates(costs: Float64s, errors: Float64s, top_k: int) -> NDArray[np.intp]:
    """Return the rows whose lowest possible cost does not exceed the k-th of the highest possible costs."""
    if len(costs) <= top_k:
        return np.arange(len(costs))
    worst = np.partition(costs + errors, top_k - 1)[top_k - 1]
    return np.flatnonzero(costs - errors <= worst)


def _exact_costs(distance: Distance, matrix: Float32s, query: Float32s) -> Float64s:
    """Return the float64 cost of every row; results saturate at the largest float32, as DynamoDB's do."""
    rows, target = matrix.astype(np.float64), query.astype(np.float64)
    if distance is Distance.EUCLIDEAN:
        return np.asarray(np.minimum(np.linalg.norm(rows - target, axis=1), FLOAT32_MAX))
    dots = rows @ target
    if distance is Distance.DOT_PRODUCT:
        return np.clip(-dots, -FLOAT32_MAX, FLOAT32_MAX)
    products = np.linalg.norm(rows, axis=1) * np.linalg.norm(target)
    cosines = np.divide(dots, products, out=np.zeros_like(dots), where=products > 0)
    same = (matrix == query).all(axis=1) & (products > 0)
    return np.where(same, 0.0, np.clip(1 - cosines, 0.0, 2.0))
