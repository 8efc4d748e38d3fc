"""One suite for the cache table with its vector index and for its stand-in."""

import math
from collections.abc import Sequence
from typing import Any

import pytest
from msgspec.structs import replace

from infra.local.vectors import lag_searches
from llm_router.adapters.dynamodb_cache import DynamoCacheStore
from llm_router.adapters.job_items import SET_ASIDE_TTL_SECONDS
from llm_router.cache_entries import Census
from llm_router.errors import StoreError
from llm_router.ports import CacheStore
from tests.builders import make_entry
from tests.fakes import DIMENSIONS, NOW_MS, FakeCacheStore
from tests.integration.conftest import Cloud


@pytest.fixture(params=["fake", "dynamodb"])
def store(request: pytest.FixtureRequest) -> CacheStore:
    """Run every case on both stores."""
    if request.param == "fake":
        return FakeCacheStore()
    cloud: Cloud = request.getfixturevalue("cloud")
    return DynamoCacheStore(cloud.dynamodb, "CacheTable")


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
    store.put(make_entry(answer="new", created_at_ms=NOW_MS + 1), at_angle(60))
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


@pytest.mark.parametrize("late_by_ms", [0, 1, 60_000])
def test_slow_older_answer(store: CacheStore, late_by_ms: int) -> None:
    """An answer whose generation did not begin later never takes a newer one's place, nor does the same one again."""
    newer = make_entry(answer="newer", created_at_ms=NOW_MS + late_by_ms)
    first = store.put(newer, at_angle(0))
    second = store.put(make_entry(answer="older", expires_at=newer.expires_at + 60), at_angle(0))

    assert (True, False) == (first, second)
    assert newer == store.get("ns", newer.entry_id)


def test_floor_outlives_an_answer(store: CacheStore) -> None:
    """A newer answer keeps the floor, which is about the question, and starts without the complaints."""
    entry = make_entry(similarity_floor=0.97, complaints=2)
    store.put(entry, at_angle(0))
    newer = replace(entry, answer="newer", similarity_floor=0.0, complaints=0, created_at_ms=NOW_MS + 1)
    store.put(newer, None)

    assert replace(newer, similarity_floor=0.97) == store.get("ns", entry.entry_id)
    assert [pytest.approx(1.0)] == [each.similarity for each in store.nearest("ns", at_angle(0), 5)]


def test_evicted(store: CacheStore) -> None:
    """An evicted entry is found in no way, and only an answer that was begun later comes in its place."""
    entry = make_entry(similarity_floor=0.9)
    store.put(entry, at_angle(0))
    evicted = [store.evict("default", "ns", entry.entry_id, NOW_MS + 10) for _ in range(2)]
    gone = store.get("ns", entry.entry_id), list(store.nearest("ns", at_angle(0), 5))
    stored = [store.put(replace(entry, created_at_ms=NOW_MS + late), at_angle(0)) for late in (0, 10, 11)]
    again = store.get("ns", entry.entry_id)

    assert [True, False] == evicted
    assert (None, []) == gone
    assert [False, False, True] == stored
    assert replace(entry, created_at_ms=NOW_MS + 11) == again
    assert 1 == len(store.nearest("ns", at_angle(0), 5))


def test_evict_of_another_tenant(store: CacheStore) -> None:
    """A tenant can evict neither another tenant's entry nor one that does not exist."""
    entry = make_entry()
    store.put(entry, None)
    evicted = [store.evict("other", "ns", entry.entry_id, NOW_MS), store.evict("default", "ns", "none", NOW_MS)]

    assert [False, False] == evicted
    assert entry == store.get("ns", entry.entry_id)
    assert store.get("ns", "none") is None


def test_nothing_is_refused_at_first(store: CacheStore) -> None:
    """Prompts that nobody complained of may share an answer."""
    assert not store.is_refused("default", "one", "other")


def test_generation(store: CacheStore) -> None:
    """A tenant's cache begins at generation 0, each tenant's for itself, and each clearing adds one."""
    before = store.generation("acme")
    cleared = [store.clear("acme", NOW_MS), store.clear("acme", NOW_MS)]

    assert (0, [1, 2], 2, 0) == (before, cleared, store.generation("acme"), store.generation("other"))


def test_everybodys_cache_is_cleared(store: CacheStore) -> None:
    """One write changes the number of every tenant, the ones that nobody has heard of yet included."""
    own = store.clear("acme", NOW_MS)
    before = [store.generation(tenant) for tenant in ("acme", "globex")]
    everybody = store.clear("all", NOW_MS)
    after = [store.generation(tenant) for tenant in ("acme", "globex", "new")]

    assert (1, [1, 0], 1, [2, 1, 1]) == (own, before, everybody, after)
    assert 3 == store.clear("acme", NOW_MS)


def test_census_after_everybodys_cache_was_cleared(store: CacheStore) -> None:
    """What was stored before everybody's cache was cleared is not counted, as after clearing one's own."""
    store.put(make_entry(), None)
    store.clear("all", NOW_MS + 1)
    store.put(make_entry("What is Rust?", created_at_ms=NOW_MS + 2), None)

    assert 1 == store.census("default", NOW_MS + 3).entries


def test_census(store: CacheStore) -> None:
    """A tenant's live entries are counted over all namespaces, without evicted ones and those before a clearing."""
    nothing = store.census("default", NOW_MS)
    for number, fields in enumerate(
        (
            {"created_at_ms": NOW_MS - 5},
            {"created_at_ms": NOW_MS - 3},
            {"created_at_ms": NOW_MS - 2, "namespace": "other"},
            {"created_at_ms": NOW_MS - 1, "expires_at": NOW_MS // 1000},
            {"tenant": "other"},
            {"created_at_ms": NOW_MS},
        )
    ):
        store.put(make_entry(str(number), **fields), at_angle(number))
    store.evict("default", "ns", make_entry("5").entry_id, NOW_MS)
    full = store.census("default", NOW_MS)
    store.clear("default", NOW_MS - 3)

    assert Census(entries=0, complete=True, oldest_created_at_ms=None) == nothing
    assert Census(entries=3, complete=True, oldest_created_at_ms=NOW_MS - 5) == full
    assert Census(entries=1, complete=True, oldest_created_at_ms=NOW_MS - 2) == store.census("default", NOW_MS)


def test_large_census(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counting ends after a few pages and says that there is more."""
    store = DynamoCacheStore(cloud.dynamodb, "CacheTable")
    for number in range(4):
        store.put(make_entry(str(number)), None)
    monkeypatch.setattr("llm_router.adapters.dynamodb_cache.CENSUS_PAGES", 3)
    cloud.dynamodb.meta.events.register(
        "provide-client-params.dynamodb.Query", lambda params, **_: params | {"Limit": 1}
    )

    assert Census(entries=3, complete=False, oldest_created_at_ms=NOW_MS) == store.census("default", NOW_MS)


def test_trace_of_an_evicted_entry(cloud: Cloud) -> None:
    """What stays of an evicted entry tells nothing of its question and its answer, and outlives every job."""
    store = DynamoCacheStore(cloud.dynamodb, "CacheTable")
    entry = make_entry()
    store.put(entry, at_angle(0))
    store.evict("default", "ns", entry.entry_id, NOW_MS)
    (item,) = cloud.dynamodb.scan(TableName="CacheTable")["Items"]

    assert {"namespace", "entry_id", "similarity_floor", "evicted_at_ms", "expires_at"} == item.keys()
    assert NOW_MS // 1000 + SET_ASIDE_TTL_SECONDS < int(item["expires_at"]["N"])


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
    """Every read is consistent, so that what was removed or cleared a moment ago is not found."""
    asked: list[dict[str, Any]] = []
    cloud.dynamodb.meta.events.register(
        "provide-client-params.dynamodb.GetItem", lambda params, **_: asked.append(params)
    )
    store = DynamoCacheStore(cloud.dynamodb, "CacheTable")
    store.get("ns", "id")
    store.generation("default")
    store.is_refused("default", "one", "other")

    assert [True] * 4 == [params["ConsistentRead"] for params in asked]


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
