"""One suite for the key table and for its stand-in, so that the stand-in cannot drift; then the table's own."""

import pytest
from msgspec.structs import replace

from authorize.app import lambda_handler as authorize
from llm_router.access.keys import KeyRecord, Limits, LowBudgetPolicy, Role, hash_of, new_secret, record_of
from llm_router.adapters.dynamodb_keys import RECORD_KEPT_SECONDS, SECRET_KEPT_SECONDS, DynamoKeyStore
from llm_router.errors import NotFoundError, StoreError
from llm_router.ports import KeyStore
from tests.builders import Context, make_key
from tests.fakes import NOW_MS, FakeKeyStore
from tests.integration.conftest import Cloud, Deploy
from tests.loading import load_event

KEY = make_key(
    "key_1",
    tenant="acme",
    role=Role.ADMIN,
    allowed_models=("ollama/tinyllama", "ollama/llama3.2"),
    labels={"team": "search"},
    limits=Limits(requests_per_minute=5, monthly_budget_nano_usd=0, low_budget_policy=LowBudgetPolicy.DOWNGRADE),
    expires_at_ms=NOW_MS + 1,
)
RECORD = record_of(KEY, "first")


def rotated(record: KeyRecord, secret: str) -> KeyRecord:
    """Return a record with another secret, beside which the former one holds for a second."""
    return replace(
        record,
        key_hash=hash_of(secret),
        former_hash=record.key_hash,
        former_until_ms=NOW_MS + 1000,
        version=record.version + 1,
    )


@pytest.fixture(params=["fake", "dynamodb"])
def store(request: pytest.FixtureRequest) -> KeyStore:
    """Run every case on both stores."""
    if request.param == "fake":
        return FakeKeyStore()
    cloud: Cloud = request.getfixturevalue("cloud")
    return DynamoKeyStore(cloud.dynamodb, "KeyTable")


def test_written_and_read(store: KeyStore) -> None:
    """A key is found by the hash of its secret and by its id, with all that it says; plainer ones, too."""
    plain = record_of(make_key("key_2"), "second")
    written = [store.write(record) for record in (plain, RECORD)]

    assert [True, True] == written
    assert (KEY, plain.key, None) == tuple(store.find(hash_of(secret)) for secret in ("first", "second", "third"))
    assert RECORD == store.get("key_1")
    assert [RECORD, plain] == list(store.records(None, 9))


def test_pages(store: KeyStore) -> None:
    """Keys are listed by their ids, so many at a time, from the one after an id that need not be there."""
    for name in ("key_3", "key_1", "key_2"):
        store.write(record_of(make_key(name), name))
    pages = [store.records(None, 2), store.records("key_2", 2), store.records("key_20", 1), store.records("key_3", 2)]

    assert [["key_1", "key_2"], ["key_3"], ["key_3"], []] == [[each.key.key_id for each in page] for page in pages]


def test_unknown(store: KeyStore) -> None:
    """A key that never was is not found, and there are no keys at first."""
    with pytest.raises(NotFoundError, match="no such key"):
        store.get("key_1")

    assert [] == list(store.records(None, 9))


def test_id_that_is_taken(store: KeyStore) -> None:
    """A second key of the same id is not written, and neither is its secret."""
    store.write(RECORD)

    assert store.write(record_of(make_key("key_1"), "second")) is False
    assert store.find(hash_of("second")) is None
    assert RECORD == store.get("key_1")


def test_replaced(store: KeyStore) -> None:
    """Both secrets of a rotated key let in; with the next one the oldest is gone, and with the key all are."""
    store.write(RECORD)
    second = rotated(RECORD, "second")
    third = rotated(second, "third")
    ended = replace(third, key_hash=None, former_hash=None, key=replace(KEY, revoked_at_ms=NOW_MS), version=4)
    seen = []
    for record, before in ((second, RECORD), (third, second), (ended, third)):
        assert store.write(record, before)
        seen.append([store.find(hash_of(secret)) is not None for secret in ("first", "second", "third")])

    assert [[True, True, False], [False, True, True], [False, False, False]] == seen
    assert ended == store.get("key_1")


def test_two_writers(store: KeyStore) -> None:
    """Of two who change a key as they both read it, the second changes nothing."""
    store.write(RECORD)
    store.write(rotated(RECORD, "second"), RECORD)

    assert store.write(rotated(RECORD, "third"), RECORD) is False
    assert store.find(hash_of("third")) is None
    assert store.find(hash_of("second")) is not None


def test_nothing_of_the_secret_is_stored(cloud: Cloud) -> None:
    """The table holds the hash and four characters of a secret, and no more of it."""
    secret = new_secret()
    DynamoKeyStore(cloud.dynamodb, "KeyTable").write(record_of(KEY, secret))
    stored = str(cloud.dynamodb.scan(TableName="KeyTable")["Items"])

    assert hash_of(secret) in stored
    assert secret[:9] in stored
    assert secret[:10] not in stored


def test_time_to_live(cloud: Cloud) -> None:
    """Only what ends is forgotten: secrets a day after, records after three months; other keys stay."""
    store = DynamoKeyStore(cloud.dynamodb, "KeyTable")
    store.write(RECORD)
    store.write(record_of(make_key("key_2"), "second"))
    items = cloud.dynamodb.scan(TableName="KeyTable")["Items"]
    ends = {item["key_hash"]["S"]: int(item["expires_at"]["N"]) for item in items if "expires_at" in item}

    assert {
        hash_of("first"): NOW_MS // 1000 + SECRET_KEPT_SECONDS,
        "record#key_1": NOW_MS // 1000 + RECORD_KEPT_SECONDS,
    } == ends


def test_outage(cloud: Cloud) -> None:
    """A table that fails is an error of the store, whatever is asked of it."""
    store = DynamoKeyStore(cloud.dynamodb, "NoTable")
    for ask in (
        lambda: store.find("hash"),
        lambda: store.get("key_1"),
        lambda: store.records(None, 1),
        lambda: store.write(RECORD),
    ):
        with pytest.raises(StoreError):
            ask()


def test_authorizer_function(cloud: Cloud, deploy: Deploy) -> None:
    """The sample event's key lets in, with what the key says as text, once it is stored, and not before."""
    deploy("AuthorizeFunction")
    event = load_event("authorize")
    before = authorize(event, Context())
    secret = event["identitySource"][0].removeprefix("Bearer ")
    key = make_key("key_1", tenant="acme")
    DynamoKeyStore(cloud.dynamodb, "KeyTable").write(record_of(key, secret))
    context = {"tenant": "acme", "role": "user", "key_id": "key_1", "allowed_models": "[]", "limits": "{}"}

    assert {"isAuthorized": False} == before
    assert {"isAuthorized": True, "context": context} == authorize(event, Context())


def test_authorizer_without_a_table(cloud: Cloud, deploy: Deploy) -> None:
    """When the table fails nobody is let in and nobody is told that a key is wrong: the function fails."""
    deploy("AuthorizeFunction")
    cloud.dynamodb.delete_table(TableName="KeyTable")
    with pytest.raises(StoreError):
        authorize(load_event("authorize"), Context())


def test_authorizer_without_keys(deploy: Deploy) -> None:
    """In the mode without keys anybody is an administrator of the default tenant."""
    deploy("AuthorizeFunction", AUTH_MODE="none")
    answer = authorize(load_event("authorize"), Context())

    assert (True, "default", "admin") == (
        answer["isAuthorized"],
        answer["context"]["tenant"],
        answer["context"]["role"],
    )
