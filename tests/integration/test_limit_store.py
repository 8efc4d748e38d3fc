"""One suite for the limit table and for its stand-in, so that the stand-in cannot drift."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from llm_router.access.keys import Limits
from llm_router.access.limits import MINUTE_MS, Minute
from llm_router.adapters.dynamodb_limits import DynamoLimitStore
from llm_router.errors import StoreError
from llm_router.ports import LimitStore
from tests.fakes import NOW_MS, FakeLimitStore
from tests.integration.conftest import Cloud

BOTH = Limits(requests_per_minute=3, tokens_per_minute=100)


@pytest.fixture(params=["fake", "dynamodb"])
def store(request: pytest.FixtureRequest) -> LimitStore:
    """Run every case on both stores."""
    if request.param == "fake":
        return FakeLimitStore()
    cloud: Cloud = request.getfixturevalue("cloud")
    return DynamoLimitStore(cloud.dynamodb, "LimitTable")


def minute(requests: int, tokens: int, *, begun_ms: int = NOW_MS) -> Minute:
    """Return what was taken of a minute."""
    return Minute(ends_at_ms=begun_ms + MINUTE_MS, requests=requests, tokens=tokens)


def test_requests_run_out(store: LimitStore) -> None:
    """A minute has as many requests as it may, the next is refused and takes nothing, and another key has its own."""
    taken = [store.take("key_1", BOTH, 10, NOW_MS + later) for later in range(4)]

    assert [(True, minute(1, 10)), (True, minute(2, 20)), (True, minute(3, 30)), (False, minute(3, 30))] == taken
    assert (True, minute(1, 10)) == store.take("key_2", BOTH, 10, NOW_MS)


def test_tokens_run_out(store: LimitStore) -> None:
    """Tokens are taken together with the request or not at all; as many as are left are taken."""
    taken = [store.take("key_1", BOTH, tokens, NOW_MS) for tokens in (60, 41, 40)]

    assert [(True, minute(1, 60)), (False, minute(1, 60)), (True, minute(2, 100))] == taken


def test_one_limit_alone(store: LimitStore) -> None:
    """What has no limit is counted and never refused."""
    requests, tokens = Limits(requests_per_minute=1), Limits(tokens_per_minute=10)
    store.take("key_1", requests, 1000, NOW_MS)
    store.take("key_2", tokens, 1, NOW_MS)

    assert (False, minute(1, 1000)) == store.take("key_1", requests, 1000, NOW_MS)
    assert (True, minute(2, 2)) == store.take("key_2", tokens, 1, NOW_MS)


def test_next_minute(store: LimitStore) -> None:
    """A minute ends sixty seconds after its first request, and the next request begins another one."""
    once = Limits(requests_per_minute=1)
    store.take("key_1", once, 7, NOW_MS)
    last, first = NOW_MS + MINUTE_MS - 1, NOW_MS + MINUTE_MS

    assert (False, minute(1, 7)) == store.take("key_1", once, 8, last)
    assert (True, minute(1, 8, begun_ms=first)) == store.take("key_1", once, 8, first)


def test_settled(store: LimitStore) -> None:
    """Tokens that were not needed are there for others, those needed beyond are gone; only in their own minute."""
    store.take("key_1", BOTH, 90, NOW_MS)
    store.settle("key_1", NOW_MS + MINUTE_MS, -70)
    store.settle("key_1", NOW_MS, -1000)
    store.settle("key_2", NOW_MS + MINUTE_MS, -1000)
    after = store.take("key_1", BOTH, 10, NOW_MS)
    store.settle("key_1", NOW_MS + MINUTE_MS, 200)

    assert (True, minute(2, 30)) == after
    assert (False, minute(2, 230)) == store.take("key_1", BOTH, 0, NOW_MS)


def test_crowd(store: LimitStore) -> None:
    """Of two hundred requests at once exactly the fifty of the limit are let through, whoever begins the minute."""
    fifty = Limits(requests_per_minute=50, tokens_per_minute=1_000_000)
    with ThreadPoolExecutor(16) as callers:
        taken = list(callers.map(lambda _: store.take("key_1", fifty, 10, NOW_MS)[0], range(200)))

    assert (200, 50) == (len(taken), sum(taken))
    assert (False, minute(50, 500)) == store.take("key_1", fifty, 10, NOW_MS)


def test_crowd_of_tokens(store: LimitStore) -> None:
    """Of many who take tokens at once no more are let through than have room together."""
    with ThreadPoolExecutor(16) as callers:
        limits = Limits(tokens_per_minute=1000)
        taken = list(callers.map(lambda _: store.take("key_1", limits, 30, NOW_MS)[0], range(100)))

    assert 33 == sum(taken)


def test_minutes_are_forgotten(cloud: Cloud) -> None:
    """A minute that is long over goes by itself."""
    DynamoLimitStore(cloud.dynamodb, "LimitTable").take("key_1", BOTH, 1, NOW_MS)
    (item,) = cloud.dynamodb.scan(TableName="LimitTable")["Items"]

    assert NOW_MS // 1000 + 3600 == int(item["expires_at"]["N"])


def test_broken(cloud: Cloud) -> None:
    """A table that is not there is a store that fails."""
    store = DynamoLimitStore(cloud.dynamodb, "NoSuchTable")

    with pytest.raises(StoreError):
        store.take("key_1", BOTH, 1, NOW_MS)
    with pytest.raises(StoreError):
        store.settle("key_1", NOW_MS, 1)
