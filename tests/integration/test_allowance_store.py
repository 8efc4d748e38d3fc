"""One suite for slots and balances in the limit table and for their stand-in, so that the stand-in cannot drift."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from botocore.exceptions import ClientError
from msgspec.structs import replace

from llm_router.access.limits import Balance, Reservation
from llm_router.accounting.rollups import usage_event
from llm_router.adapters.dynamodb_allowances import DynamoAllowanceStore
from llm_router.adapters.dynamodb_rollups import DynamoRollupStore
from llm_router.errors import StoreError
from llm_router.ports import AllowanceStore, RollupStore
from tests.builders import make_usage
from tests.fakes import NOW_MS, FakeAllowanceStore, FakeRollupStore, SettableClock
from tests.integration.conftest import Cloud

MONTH = "2023-11"
NAME = "1#req_1#1"


def of(nano_usd: int, key_id: str = "key_1", month: str = MONTH) -> Reservation:
    """Return a reservation."""
    return Reservation(key_id=key_id, month=month, nano_usd=nano_usd)


def reserve(store: AllowanceStore, reservation: Reservation, ceiling: int) -> tuple[bool, Balance]:
    """Reserve, and return the balance without the names in it."""
    is_taken, kept = store.reserve(reservation, ceiling, NAME)
    return is_taken, replace(kept, opening=frozenset())


def balance(committed: int, spent: int = 0, *, is_announced: bool = False) -> Balance:
    """Return a balance."""
    return Balance(committed_nano_usd=committed, spent_nano_usd=spent, is_announced=is_announced)


@pytest.fixture(params=["fake", "dynamodb"])
def stores(request: pytest.FixtureRequest) -> tuple[AllowanceStore, RollupStore]:
    """Run every case on both stores, each with what charges it."""
    if request.param == "fake":
        store = FakeAllowanceStore()
        return store, FakeRollupStore(store)
    cloud: Cloud = request.getfixturevalue("cloud")
    rollups = DynamoRollupStore(cloud.dynamodb, "RollupTable", SettableClock(), limit_table="LimitTable")
    return DynamoAllowanceStore(cloud.dynamodb, "LimitTable"), rollups


@pytest.fixture
def store(stores: tuple[AllowanceStore, RollupStore]) -> AllowanceStore:
    """Return the store alone."""
    return stores[0]


def test_reserved(store: AllowanceStore) -> None:
    """As much is reserved as there is, to the last nano-dollar; what does not fit changes nothing."""
    taken = [reserve(store, of(amount), 100) for amount in (60, 41, 40, 1, 0)]

    assert [
        (True, balance(60)),
        (False, balance(60)),
        (True, balance(100)),
        (False, balance(100)),
        (True, balance(100)),
    ] == taken


def test_more_than_there_ever_was(store: AllowanceStore) -> None:
    """The first reservation of a month is refused where it alone is more than the budget."""
    assert (False, balance(0)) == reserve(store, of(101), 100)
    assert (True, balance(100)) == reserve(store, of(100), 100)


def test_months_and_keys_are_apart(store: AllowanceStore) -> None:
    """Another month, or another key, has a balance of its own."""
    reserve(store, of(100), 100)

    assert (True, balance(100)) == reserve(store, of(100, month="2023-12"), 100)
    assert (True, balance(100)) == reserve(store, of(100, "key_2"), 100)


def test_released(store: AllowanceStore) -> None:
    """What is given back is there for others."""
    reserve(store, of(100), 100)
    store.release(of(100), NAME)

    assert (True, balance(30)) == reserve(store, of(30), 100)


def test_released_once(store: AllowanceStore) -> None:
    """What is given back a second time, or whose request is stored, changes nothing."""
    names = "1#req_1#40", "2#req_2#40"
    kept = [store.reserve(of(40), 100, name)[1].opening for name in names]
    for _ in range(2):
        store.note_opened(of(40), names[0])
        store.release(of(40), names[0])
        store.release(of(40), names[1])

    assert [frozenset(names[:1]), frozenset(names)] == kept
    assert (False, balance(40)) == store.reserve(of(61), 100, names[0])


def test_refusal_names_what_is_opening(store: AllowanceStore) -> None:
    """Who finds the budget full learns which reservations may have no request."""
    store.reserve(of(100), 100, NAME)
    is_taken, full = store.reserve(of(1), 100, "2#req_2#1")

    assert (False, {NAME}) == (is_taken, full.opening)


def test_announced(store: AllowanceStore) -> None:
    """A balance remembers that somebody was told."""
    reserve(store, of(90), 100)
    store.note_announced(of(90))

    assert (True, balance(91, is_announced=True)) == reserve(store, of(1), 100)


def test_charged_once(stores: tuple[AllowanceStore, RollupStore]) -> None:
    """A counted record is charged what it did cost instead of what it held, however often it comes."""
    store, rollups = stores
    reserve(store, of(70), 100)
    reserve(store, of(30), 100)
    first = usage_event(make_usage("req_1", actual_nano_usd=45, reservation=of(70)))
    second = usage_event(make_usage("req_2", actual_nano_usd=0, reservation=of(30)))
    counted = [rollups.add([first]), rollups.add([first, second]), rollups.add([second])]

    assert [1, 1, 0] == counted
    assert (True, balance(100, 45)) == reserve(store, of(55), 100)


def test_overdrawn(stores: tuple[AllowanceStore, RollupStore]) -> None:
    """What cost more than it held is charged all the same."""
    store, rollups = stores
    reserve(store, of(70), 100)
    rollups.add([usage_event(make_usage(actual_nano_usd=130, reservation=of(70)))])

    assert (False, balance(130, 130)) == reserve(store, of(0), 100)


def test_crowd(store: AllowanceStore) -> None:
    """Of two hundred at once no more reserve than the dollar has room for."""
    with ThreadPoolExecutor(16) as callers:
        taken = list(callers.map(lambda _: reserve(store, of(30_000_000), 1_000_000_000)[0], range(200)))

    assert 33 == sum(taken)
    assert (False, balance(990_000_000)) == reserve(store, of(30_000_000), 1_000_000_000)


def test_slots(store: AllowanceStore) -> None:
    """As many slots are taken as there may be; a full house names who is in, and who leaves makes room."""
    taken = [store.take_slot("key_1", slot, 2, NOW_MS) for slot in ("1#req_1", "2#req_2", "3#req_3")]
    store.free_slots("key_1", ["1#req_1", "9#req_9"])
    again = [store.take_slot("key_1", slot, 2, NOW_MS) for slot in ("3#req_3", "4#req_4")]

    assert [set(), set(), {"1#req_1", "2#req_2"}] == [set(each) for each in taken]
    assert [set(), {"2#req_2", "3#req_3"}] == [set(each) for each in again]
    assert not store.take_slot("key_2", "5#req_5", 1, NOW_MS)


def test_slots_all_free(store: AllowanceStore) -> None:
    """When all have left there is room again, and to leave twice changes nothing."""
    store.take_slot("key_1", "1#req_1", 1, NOW_MS)
    for _ in range(2):
        store.free_slots("key_1", ["1#req_1"])

    assert not store.take_slot("key_1", "2#req_2", 1, NOW_MS)


def test_crowd_of_slots(store: AllowanceStore) -> None:
    """Of many at once as many take a slot as there are."""
    with ThreadPoolExecutor(16) as callers:
        full = callers.map(lambda number: store.take_slot("key_1", f"1#req_{number}", 7, NOW_MS), range(50))

    assert 7 == [len(each) for each in full].count(0)


def test_forgotten(cloud: Cloud) -> None:
    """Balances go by themselves some months later, and so do slots, whoever writes last."""
    store = DynamoAllowanceStore(cloud.dynamodb, "LimitTable")
    reserve(store, of(1), 100)
    store.take_slot("key_1", "1#req_1", 1, NOW_MS)
    items = cloud.dynamodb.scan(TableName="LimitTable")["Items"]

    assert all(24 * 3600 < int(item["expires_at"]["N"]) - NOW_MS // 1000 < 100 * 24 * 3600 for item in items)
    assert 2 == len(items)


class Locked:
    """A table whose items are part of somebody's transaction, for some writes."""

    def __init__(self, cloud: Cloud, refusals: int) -> None:
        self._cloud = cloud
        self._refusals = refusals

    def update_item(self, **update: object) -> object:
        """Refuse as DynamoDB does, and then write."""
        if self._refusals:
            self._refusals -= 1
            raise ClientError({"Error": {"Code": "TransactionConflictException"}}, "UpdateItem")
        return self._cloud.dynamodb.update_item(**update)  # type: ignore[arg-type] # passed on as it came


def test_waits_for_a_transaction(cloud: Cloud) -> None:
    """A balance that is being charged is reserved from a moment later; one that stays locked is a failure."""
    patient = DynamoAllowanceStore(Locked(cloud, 2), "LimitTable")  # type: ignore[arg-type] # all that is used of it
    unlucky = DynamoAllowanceStore(Locked(cloud, 99), "LimitTable")  # type: ignore[arg-type] # likewise

    assert (True, balance(60)) == reserve(patient, of(60), 100)
    with pytest.raises(StoreError):
        reserve(unlucky, of(1), 100)


def test_broken(cloud: Cloud) -> None:
    """A table that is not there is a store that fails."""
    store = DynamoAllowanceStore(cloud.dynamodb, "NoSuchTable")

    for act in (
        lambda: reserve(store, of(1), 100),
        lambda: store.release(of(1), NAME),
        lambda: store.note_opened(of(1), NAME),
        lambda: store.note_announced(of(1)),
        lambda: store.take_slot("key_1", "1#req_1", 1, NOW_MS),
        lambda: store.free_slots("key_1", ["1#req_1"]),
    ):
        with pytest.raises(StoreError):
            act()
