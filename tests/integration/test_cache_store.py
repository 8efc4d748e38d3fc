"""One suite for the cache table with its vector index and for its stand-in."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from infra.local.vectors import lag_searches
from llm_router.adapters.dynamodb_cache import DynamoCacheStore
from llm_router.errors import StoreError
from llm_router.ports import CacheStore
from tests.builders import make_entry
from tests.fakes import DIMENSIONS, FakeCacheStore
from tests.integration.conftest import Cloud


class Home:
    """A store, and a way to clear a tenant's cache, which nothing in the router does yet."""

    def __init__(self, store: CacheStore, set_generation: Callable[[str, int], object]) -> None:
        self.store = store
        self.set_generation = set_generation


@pytest.fixture(params=["fake", "dynamodb"])
def home(request: pytest.FixtureRequest) -> Home:
    """Run every case on both stores."""
    if request.param == "fake":
        fake = FakeCacheStore()
        return Home(fake, fake.generations.__setitem__)
    cloud: Cloud = request.getfixturevalue("cloud")

    def set_generation(tenant: str, generation: int) -> None:
        key = {"namespace": {"S": f"tenant#{tenant}"}, "entry_id": {"S": "generation"}}
        cloud.dynamodb.put_item(TableName="CacheTable", Item={**key, "generation": {"N": str(generation)}})

    return Home(DynamoCacheStore(cloud.dynamodb, "CacheTable"), set_generation)


@pytest.fixture
def store(home: Home) -> CacheStore:
    """Return the store under test."""
    return home.store


def at_angle(degrees: float) -> Sequence[float]:
    """Return a unit vector at an angle from the first axis."""
    radians = math.radians(degrees)
    return [math.cos(radians), math.sin(radians)] + [0.0] * (DIMENSIONS - 2)


def test_round_trip(store: CacheStore) -> None:
    """An entry comes back as it was stored, with or without a vector."""
    entry = make_entry("ünïcödé 10²?", similarity_floor=0.913, answer="€ \n\t```x```")
    bare = make_entry("no vector")
    store.put(entry, at_angle(3))
    store.put(bare, None)

    assert entry == store.get("ns", entry.entry_id)
    assert bare == store.get("ns", bare.entry_id)


def test_unknown_entry(store: CacheStore) -> None:
    """Another key, or the same key in another namespace, finds nothing."""
    entry = make_entry()
    store.put(entry, None)

    assert (None, None) == (store.get("ns", "other"), store.get("other", entry.entry_id))


def test_replaced(store: CacheStore) -> None:
    """A newer answer to the same words takes the place of the older one, vector included."""
    store.put(make_entry(answer="old"), at_angle(0))
    store.put(make_entry(answer="new"), at_angle(60))
    found = store.nearest("ns", at_angle(60), 5)

    assert [("new", pytest.approx(1.0))] == [(each.entry.answer, each.similarity) for each in found]


def test_nearest(store: CacheStore) -> None:
    """Entries come by cosine similarity, the nearest first, whatever their order of arrival."""
    for degrees in (80, 10, 120, 45, 0):
        store.put(make_entry(str(degrees)), at_angle(degrees))
    found = store.nearest("ns", at_angle(0), 4)

    assert ["0", "10", "45", "80"] == [each.entry.prompt for each in found]
    assert [each.similarity for each in found] == pytest.approx(
        [math.cos(math.radians(degrees)) for degrees in (0, 10, 45, 80)], abs=1e-6
    )


def test_nearest_entry_is_whole(store: CacheStore) -> None:
    """A candidate carries everything an answer needs."""
    entry = make_entry(similarity_floor=0.9)
    store.put(entry, at_angle(5))

    assert [entry] == [each.entry for each in store.nearest("ns", at_angle(0), 5)]


def test_nearest_stays_in_the_namespace(store: CacheStore) -> None:
    """However near, an entry of another namespace is never a candidate."""
    store.put(make_entry(namespace="theirs"), at_angle(0))
    store.put(make_entry(namespace="ours"), at_angle(40))

    assert ["ours"] == [each.entry.namespace for each in store.nearest("ours", at_angle(0), 5)]
    assert [] == list(store.nearest("nobody's", at_angle(0), 5))


def test_without_vector(store: CacheStore) -> None:
    """An entry without a vector is no candidate."""
    store.put(make_entry(), None)

    assert [] == list(store.nearest("ns", at_angle(0), 5))


def test_expired(store: CacheStore) -> None:
    """Expired entries are still shown: whether they may be served is not the store's decision."""
    entry = make_entry(expires_at=1)
    store.put(entry, at_angle(0))

    assert entry == store.get("ns", entry.entry_id)
    assert [entry] == [each.entry for each in store.nearest("ns", at_angle(0), 5)]


def test_generation(home: Home) -> None:
    """A tenant's cache begins at generation 0, each tenant's for itself."""
    before = home.store.generation("acme")
    home.set_generation("acme", 7)

    assert (0, 7, 0) == (before, home.store.generation("acme"), home.store.generation("other"))


def test_nothing_carries_the_vector(cloud: Cloud) -> None:
    """Neither a read nor a search brings back the 384 numbers that nobody looks at."""
    answers: list[dict[str, Any]] = []
    for operation in ("GetItem", "SearchVectors"):
        cloud.dynamodb.meta.events.register(
            f"after-call.dynamodb.{operation}", lambda parsed, **_: answers.append(parsed)
        )
    store = DynamoCacheStore(cloud.dynamodb, "CacheTable")
    entry = make_entry()
    store.put(entry, at_angle(0))
    store.get("ns", entry.entry_id)
    store.nearest("ns", at_angle(0), 5)
    items = [answers[0]["Item"], answers[1]["SearchResults"][0]["Item"]]

    assert ["embedding" in item for item in items] == [False, False]


def test_consistent_read(cloud: Cloud) -> None:
    """A read is consistent when that is asked for, and otherwise half the price."""
    asked: list[dict[str, Any]] = []
    cloud.dynamodb.meta.events.register(
        "provide-client-params.dynamodb.GetItem", lambda params, **_: asked.append(params)
    )
    store = DynamoCacheStore(cloud.dynamodb, "CacheTable")
    store.get("ns", "id")
    store.get("ns", "id", consistent=True)

    assert [False, True] == [params["ConsistentRead"] for params in asked]


def test_vector_digits(cloud: Cloud) -> None:
    """A vector is stored with the nine digits that a float32 needs."""
    store = DynamoCacheStore(cloud.dynamodb, "CacheTable")
    store.put(make_entry(), [1 / 3] * DIMENSIONS)
    item = cloud.dynamodb.scan(TableName="CacheTable")["Items"][0]

    assert {"0.333333333"} == {number["N"] for number in item["embedding"]["L"]}


def test_index_that_is_not_ready(cloud: Cloud) -> None:
    """An index that does not answer yet is the store's failure, and is over when it answers."""
    store = DynamoCacheStore(cloud.dynamodb, "CacheTable")
    store.put(make_entry(), at_angle(0))
    lag_searches("CacheTable", 1)
    with pytest.raises(StoreError, match="searching the cache failed"):
        store.nearest("ns", at_angle(0), 5)

    assert 1 == len(store.nearest("ns", at_angle(0), 5))
