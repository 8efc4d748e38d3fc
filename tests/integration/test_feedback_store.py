"""One suite for what was said of answers, over the cache and usage tables and for its stand-in."""

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from llm_router.accounting.usage import UsageRecord
from llm_router.adapters.dynamodb_cache import DynamoCacheStore
from llm_router.adapters.dynamodb_feedback import DynamoFeedbackStore
from llm_router.cache_entries import CacheEntry
from llm_router.feedback import EntryChange
from llm_router.models import FeedbackVerdict
from llm_router.ports import CacheStore, FeedbackStore
from tests.builders import make_entry, make_feedback, make_usage
from tests.fakes import DIMENSIONS, NOW_MS, FakeCacheStore, FakeFeedbackStore
from tests.integration.conftest import Cloud

VECTOR = [1.0] + [0.0] * (DIMENSIONS - 1)
SAID = make_feedback(comment="no, the other one", pair_refused=True, similarity_floor=0.9)
USAGE = make_usage("req_1#feedback", verdict=FeedbackVerdict.WRONG)


class Home:
    """A feedback store, the cache beside it, and the ids of the records that were written."""

    def __init__(self, feedback: FeedbackStore, cache: CacheStore, records: Callable[[], set[str]]) -> None:
        self.feedback = feedback
        self.cache = cache
        self.records = records

    def remember(self, **fields: object) -> CacheEntry:
        """Store an entry."""
        entry = make_entry(**fields)  # type: ignore[arg-type] # a builder's fields
        self.cache.put(entry, VECTOR)
        return entry

    def stored(self, entry: CacheEntry) -> CacheEntry | None:
        """Return an entry as it stands."""
        return self.cache.get(entry.namespace, entry.entry_id)


@pytest.fixture(params=["fake", "dynamodb"])
def home(request: pytest.FixtureRequest) -> Home:
    """Run every case on both stores."""
    if request.param == "fake":
        cache, usage = FakeCacheStore(), dict[str, UsageRecord]()
        return Home(FakeFeedbackStore(cache, usage), cache, lambda: set(usage))
    cloud: Cloud = request.getfixturevalue("cloud")

    def records() -> set[str]:
        return {item["request_id"]["S"] for item in cloud.dynamodb.scan(TableName="UsageTable")["Items"]}

    store = DynamoFeedbackStore(cloud.dynamodb, cache_table="CacheTable", usage_table="UsageTable")
    return Home(store, DynamoCacheStore(cloud.dynamodb, "CacheTable"), records)


def change(entry: CacheEntry, **fields: object) -> EntryChange:
    """Return a change to an entry that was seen as it is."""
    plain = EntryChange(namespace=entry.namespace, entry_id=entry.entry_id, seen=entry)
    return replace(plain, **fields)


def test_round_trip(home: Home) -> None:
    """What was said comes back as it was said, to its tenant, and is counted by one record."""
    before = home.feedback.get("default", "req_1")
    written = home.feedback.record(SAID, USAGE, None)

    assert (None, True) == (before, written)
    assert SAID == home.feedback.get("default", "req_1")
    assert (None, None) == (home.feedback.get("other", "req_1"), home.feedback.get("default", "req_2"))
    assert {"req_1#feedback"} == home.records()


def test_once_per_request(home: Home) -> None:
    """The second to speak of a request is told so, and changes nothing."""
    entry = home.remember()
    home.feedback.record(SAID, USAGE, change(entry, similarity_floor=0.9, complaints=1))
    again = change(home.stored(entry) or entry, similarity_floor=0.95, complaints=2)

    assert not home.feedback.record(replace(SAID, comment="again"), USAGE, again)
    assert SAID == home.feedback.get("default", "req_1")
    assert replace(entry, similarity_floor=0.9, complaints=1) == home.stored(entry)


def test_refused_pair(home: Home) -> None:
    """A refused pair is refused in both directions, in whatever namespace, to its tenant alone."""
    entry = home.remember()
    home.feedback.record(SAID, USAGE, change(entry, refused="asker"))
    refused = home.cache.is_refused

    assert [True, True] == [refused("default", "asker", entry.entry_id), refused("default", entry.entry_id, "asker")]
    assert [False, False] == [refused("other", "asker", entry.entry_id), refused("default", "asker", "another")]
    assert entry == home.stored(entry)


def test_refused_pair_outlives_its_entry(home: Home) -> None:
    """A pair stays refused when its entry is evicted and answered anew."""
    entry = home.remember()
    home.feedback.record(SAID, USAGE, change(entry, refused="asker", similarity_floor=0.9, evict=True))
    home.cache.put(replace(entry, created_at_ms=NOW_MS + 1), VECTOR)

    assert home.cache.is_refused("default", "asker", entry.entry_id)
    assert replace(entry, created_at_ms=NOW_MS + 1, similarity_floor=0.9) == home.stored(entry)


def test_evicted(home: Home) -> None:
    """An evicted entry is gone from reads and searches."""
    entry = home.remember()

    assert home.feedback.record(SAID, USAGE, change(entry, evict=True))
    assert home.stored(entry) is None
    assert [] == list(home.cache.nearest("ns", VECTOR, 5))


def test_evicted_before_it_was_stored(home: Home) -> None:
    """An answer that was called wrong before it reached the cache does not reach it any more."""
    entry = make_entry(created_at_ms=NOW_MS - 1)
    home.feedback.record(SAID, USAGE, change(entry, seen=None, evict=True))

    assert not home.cache.put(entry, VECTOR)
    assert home.stored(entry) is None


@pytest.mark.parametrize("evict", [True, False])
@pytest.mark.parametrize(
    "fields",
    [{"created_at_ms": NOW_MS - 1}, {"complaints": 1}, {"similarity_floor": 0.8}],
    ids=lambda each: next(iter(each)),
)
def test_entry_that_has_changed(home: Home, fields: dict[str, float], evict: bool) -> None:  # noqa: FBT001
    """When the entry is not as it was seen nothing is written: not what was said, no record, no refused pair."""
    entry = home.remember()
    stale = change(replace(entry, **fields), refused="asker", similarity_floor=0.9, evict=evict)

    assert not home.feedback.record(SAID, USAGE, stale)
    assert (None, set()) == (home.feedback.get("default", "req_1"), home.records())
    assert not home.cache.is_refused("default", "asker", entry.entry_id)
    assert entry == home.stored(entry)


def test_entry_that_has_appeared(home: Home) -> None:
    """An entry that was stored after nobody saw one is not evicted unseen."""
    entry = home.remember()

    assert not home.feedback.record(SAID, USAGE, change(entry, seen=None, evict=True))
    assert entry == home.stored(entry)


def test_everything_expires(cloud: Cloud) -> None:
    """What was said, and the refused pair, are kept for a year; the record as long as other records."""
    store = DynamoFeedbackStore(cloud.dynamodb, cache_table="CacheTable", usage_table="UsageTable")
    store.record(SAID, USAGE, change(make_entry(), refused="asker"))
    items = cloud.dynamodb.scan(TableName="CacheTable")["Items"]
    (record,) = cloud.dynamodb.scan(TableName="UsageTable")["Items"]

    assert [str(NOW_MS // 1000 + 365 * 86_400)] * 2 == [item["expires_at"]["N"] for item in items]
    assert "expires_at" in record
    assert "the other one" not in str(record)
