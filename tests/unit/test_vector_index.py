"""The nearest-neighbour core of the local vector indexes."""

import copy

import numpy as np
import pytest
from numpy.typing import NDArray

from infra.local.vectors.index import FLOAT32_MAX, Distance, Match, VectorIndex

Float32s = NDArray[np.float32]


def f32(*elements: float) -> Float32s:
    """Return a float32 vector."""
    return np.array(elements, np.float32)


def brute_force(distance: Distance, stored: dict[int, Float32s], query: Float32s) -> list[Match]:
    """Score every vector in float64 by the definition, one after the other, most similar first."""
    target = query.astype(np.float64)
    matches = []
    for key, vector in stored.items():
        wide = vector.astype(np.float64)
        if distance is Distance.EUCLIDEAN:
            score = float(np.sqrt(np.sum((wide - target) ** 2)))
        elif distance is Distance.DOT_PRODUCT:
            score = float(np.sum(wide * target))
        else:
            norms = np.sqrt(np.sum(wide**2)) * np.sqrt(np.sum(target**2))
            score = float(1 - np.sum(wide * target) / norms) if norms else 1.0
        matches.append(Match(key, score))
    return sorted(matches, key=lambda match: match.score, reverse=distance is Distance.DOT_PRODUCT)


def assert_same(expected: list[Match], actual: list[Match]) -> None:
    """Compare keys and scores; the data has no ties but exact ones."""
    assert [match.key for match in expected] == [match.key for match in actual]
    assert np.allclose([match.score for match in expected], [match.score for match in actual], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("distance", list(Distance))
def test_random_operations_agree_with_brute_force(distance: Distance) -> None:
    """After a thousand random writes, moves and deletes, every search is that of a scan over what is left."""
    random = np.random.default_rng(7)
    index = VectorIndex(16, distance)
    partitions: dict[str, dict[int, Float32s]] = {"p": {}, "q": {}, "r": {}}
    for step in range(1000):
        key, home = int(random.integers(200)), str(random.choice(list(partitions)))
        held = any(key in partition for partition in partitions.values())
        for partition in partitions.values():
            partition.pop(key, None)
        if held and random.random() < 0.4:
            index.remove(key)
        else:
            vector = random.normal(size=16).astype(np.float32)
            partitions[home][key] = vector
            index.upsert(key, home, vector)
        if step % 25 == 0:
            query = random.normal(size=16).astype(np.float32)
            for name, stored in partitions.items():
                assert_same(brute_force(distance, stored, query)[:10], index.search(name, query, 10))

    assert sum(map(len, partitions.values())) == len(index)


@pytest.mark.parametrize("distance", list(Distance))
def test_near_duplicates_are_told_apart(distance: Distance) -> None:
    """Vectors closer together than float32 products can tell are ranked as float64 ranks them."""
    random = np.random.default_rng(11)
    base = random.normal(size=384).astype(np.float32)
    noise = random.normal(size=(500, 384)) * 2e-7
    stored = {key: (base * (1 + noise[key])).astype(np.float32) for key in range(500)}
    index = VectorIndex(384, distance)
    for key, vector in stored.items():
        index.upsert(key, None, vector)
    found = index.search(None, base, 5)

    # Scores within float64 rounding of each other may swap; the scores themselves must be the best ones.
    expected = [match.score for match in brute_force(distance, stored, base)[:5]]
    assert np.allclose(expected, [match.score for match in found], rtol=0, atol=1e-12)


def test_a_vector_is_exactly_at_zero_from_itself() -> None:
    """The cosine distance of equal vectors is 0.0, whatever rounding says."""
    random = np.random.default_rng(3)
    index = VectorIndex(384, Distance.COSINE)
    vectors = random.normal(size=(50, 384)).astype(np.float32)
    for key, vector in enumerate(vectors):
        index.upsert(key, None, vector)

    assert [Match(key, 0.0) for key in range(50)] == [index.search(None, vector, 1)[0] for vector in vectors]


@pytest.mark.parametrize(
    ("stored", "query", "score"),
    [
        (f32(0, 0), f32(1, 0), 1.0),
        (f32(1, 0), f32(0, 0), 1.0),
        (f32(0, 0), f32(0, 0), 1.0),
        (f32(1, 0), f32(-2, 0), 2.0),
        (f32(3, 0), f32(0, 4), 1.0),
        (f32(1e-30, 0), f32(1e-30, 0), 0.0),
        (f32(3e38, 3e38), f32(1e38, 1e38), 0.0),
    ],
)
def test_cosine_distance_at_the_edges(stored: Float32s, query: Float32s, score: float) -> None:
    """Zero, opposite, orthogonal, tiny and huge vectors have the distance of their directions."""
    index = VectorIndex(2, Distance.COSINE)
    index.upsert("key", None, stored)

    assert pytest.approx(score, abs=1e-15) == index.search(None, query, 1)[0].score


@pytest.mark.parametrize(
    ("distance", "score"), [(Distance.DOT_PRODUCT, -FLOAT32_MAX), (Distance.EUCLIDEAN, FLOAT32_MAX)]
)
def test_scores_saturate_at_float32(distance: Distance, score: float) -> None:
    """A product or distance beyond float32 is reported as the largest float32."""
    index = VectorIndex(2, distance)
    index.upsert("key", None, f32(3e38, 3e38))

    assert [Match("key", score)] == index.search(None, f32(-3e38, -3e38), 1)


@pytest.mark.parametrize("distance", list(Distance))
@pytest.mark.parametrize("scale", [1e-25, 1e25])
def test_extreme_magnitudes_are_ranked_exactly(distance: Distance, scale: float) -> None:
    """Vectors whose float32 products overflow or vanish are ranked among others as float64 ranks them."""
    random = np.random.default_rng(5)
    scales = {key: scale if key % 2 else 1.0 for key in range(60)}
    stored = {key: (random.normal(size=8) * scales[key]).astype(np.float32) for key in range(60)}
    index = VectorIndex(8, distance)
    for key, vector in stored.items():
        index.upsert(key, None, vector)
    query = random.normal(size=8).astype(np.float32)

    expected = brute_force(distance, stored, query)[:5]
    assert [match.key for match in expected] == [match.key for match in index.search(None, query, 5)]


def test_a_filter_limits_the_search() -> None:
    """Only keys the filter accepts are ranked, and fewer than top_k may remain."""
    index = VectorIndex(1, Distance.EUCLIDEAN)
    for key in range(20):
        index.upsert(key, None, f32(key))

    assert [Match(4, 1.0), Match(6, 1.0), Match(2, 3.0)] == index.search(None, f32(5), 3, lambda key: key % 2 == 0)
    assert index.search(None, f32(5), 3, lambda _: False) == []


def test_an_unknown_partition_finds_nothing() -> None:
    """A partition nobody is in is empty, also after its last vector left."""
    index = VectorIndex(1, Distance.COSINE)
    index.upsert("key", "old", f32(1))
    index.upsert("key", "new", f32(1))

    assert index.search("old", f32(1), 1) == []
    assert [match.key for match in index.search("new", f32(1), 1)] == ["key"]


def test_removing_an_unknown_key_is_an_error() -> None:
    """The index does not hide that a key was never there."""
    with pytest.raises(KeyError, match="key"):
        VectorIndex(1, Distance.COSINE).remove("key")


def test_a_copy_is_independent() -> None:
    """A deep copy keeps its vectors when the original changes, and the other way round."""
    index = VectorIndex(1, Distance.EUCLIDEAN)
    index.upsert("a", None, f32(1))
    clone = copy.deepcopy(index)
    index.upsert("a", None, f32(5))
    index.upsert("b", None, f32(0))
    clone.upsert("c", None, f32(3))

    assert [Match("b", 0.0), Match("a", 5.0)] == index.search(None, f32(0), 9)
    assert [Match("a", 1.0), Match("c", 3.0)] == clone.search(None, f32(0), 9)
