"""One suite for the idempotency keys in the job table and for their stand-in, so that the stand-in cannot drift."""

import pytest

from llm_router.adapters.dynamodb_idempotency import KEY_TTL_SECONDS, DynamoIdempotencyStore
from llm_router.adapters.dynamodb_jobs import DynamoJobStore
from llm_router.errors import ConflictError, NotFoundError, StoreError
from llm_router.ports import IdempotencyStore
from tests.fakes import NOW_MS, FakeIdempotencyStore, SettableClock
from tests.integration.conftest import Cloud


@pytest.fixture(params=["fake", "dynamodb"])
def store(request: pytest.FixtureRequest, clock: SettableClock) -> IdempotencyStore:
    """Run every case on both stores."""
    if request.param == "fake":
        return FakeIdempotencyStore(clock)
    cloud: Cloud = request.getfixturevalue("cloud")
    return DynamoIdempotencyStore(cloud.dynamodb, job_table="JobTable", clock=clock)


def test_first_claim_decides(store: IdempotencyStore) -> None:
    """Everybody who comes with the same key and body learns the first one's id, and so does the first one again."""
    claims = [store.claim("acme", "key", "body", job_id) for job_id in ("one", "two", "one")]

    assert ["one"] * 3 == claims


def test_other_body(store: IdempotencyStore) -> None:
    """Another body is refused under the header's name, and the key stays whose it was."""
    store.claim("acme", "key", "body", "one")
    with pytest.raises(ConflictError, match=r"^was used with another body$") as refused:
        store.claim("acme", "key", "other", "two")

    assert "idempotency-key" == refused.value.field
    assert "one" == store.claim("acme", "key", "body", "three")


def test_keys_are_apart(store: IdempotencyStore) -> None:
    """Keys and tenants are told apart to the letter, wherever one ends and the other begins."""
    pairs = [("acme", "key"), ("acme", "Key"), ("acmek", "ey"), ("other", "key")]

    assert ["0", "1", "2", "3"] == [
        store.claim(tenant, key, "body", str(number)) for number, (tenant, key) in enumerate(pairs)
    ]


def test_key_expires(store: IdempotencyStore, clock: SettableClock) -> None:
    """A key is held for a day, counted from its first use, and is free for another body after it, for a day again."""
    store.claim("acme", "key", "body", "one")
    clock.advance(KEY_TTL_SECONDS * 1000 - 1)
    held = store.claim("acme", "key", "body", "two")
    clock.advance(1)
    freed = store.claim("acme", "key", "other", "three")
    clock.advance(KEY_TTL_SECONDS * 1000 - 1)

    assert ("one", "three") == (held, freed)
    assert "three" == store.claim("acme", "key", "other", "four")


def test_item_in_the_table(cloud: Cloud, clock: SettableClock) -> None:
    """The item has neither the key nor the tenant in clear, expires by itself, and is no request."""
    store = DynamoIdempotencyStore(cloud.dynamodb, job_table="JobTable", clock=clock)
    store.claim("acme", "secret", "body", "one")
    (item,) = cloud.dynamodb.scan(TableName="JobTable")["Items"]
    jobs = DynamoJobStore(cloud.dynamodb, job_table="JobTable", usage_table="UsageTable", clock=clock)

    assert {"job_id", "claimed_job_id", "body_sha256", "expires_at"} == set(item)
    assert str(NOW_MS // 1000 + KEY_TTL_SECONDS) == item["expires_at"]["N"]
    assert not {"acme", "secret"} & set(str(item).split("'"))
    with pytest.raises(NotFoundError):
        jobs.get(item["job_id"]["S"])


def test_missing_table(cloud: Cloud, clock: SettableClock) -> None:
    """What the SDK raises is a StoreError that does not tell the key."""
    store = DynamoIdempotencyStore(cloud.dynamodb, job_table="nowhere", clock=clock)
    with pytest.raises(StoreError, match=r"^claiming an idempotency key failed$"):
        store.claim("acme", "secret", "body", "one")
