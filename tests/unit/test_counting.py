import random
from collections.abc import Sequence
from itertools import pairwise
from operator import attrgetter
from typing import Any, TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from aggregate_costs.app import count_batch
from llm_router.accounting.rollups import by_row, row_keys, transactions, usage_event
from llm_router.accounting.usage import UsageEvent, UsageRecord
from llm_router.models import Source
from llm_router.ports import TRANSACTION_ACTIONS
from tests.builders import TINY, make_usage
from tests.fakes import FakeRollupStore
from tests.usage_stream import (
    MAXIMUM_RETRIES,
    Death,
    Trouble,
    TroubledRollups,
    deliver,
    direct_sum,
    generated_usage,
    stored,
    stream_records,
)

USAGE = tuple(generated_usage(250, seed=1))
POISON = "ollama/poison"
T = TypeVar("T")


def cut(records: Sequence[T], size: int) -> list[Sequence[T]]:
    """Cut a stream into batches."""
    return [records[start : start + size] for start in range(0, len(records), size)]


def test_replay() -> None:
    """5,000 events, every batch twice, shuffled across keys, with failures and deaths before and after writes."""
    usages = list(generated_usage(5000, seed=5000))
    records = stream_records(usages)
    dice = random.Random(5000)
    dice.shuffle(records)
    batches = cut(records, 100)
    dice.shuffle(records)
    batches += cut(records, 70)
    dice.shuffle(batches)
    troubles = (dice.choice([None] * 12 + list(Trouble)) for _ in iter(int, 1))
    store = TroubledRollups(FakeRollupStore(), troubles)
    given_up = [number for batch in batches * 2 for number in deliver(store, batch)]

    assert [] == given_up
    assert direct_sum(usages) == stored(store)


@given(st.data())
def test_any_replay(data: st.DataObject) -> None:
    """Whatever the stream, its batches, their order and the trouble, the rows are the direct sum of the records."""
    drawn = data.draw(st.lists(st.sampled_from(USAGE), unique_by=lambda usage: usage.request_id, max_size=12))
    records = stream_records(drawn)
    every_one = [[record] for record in records]
    some = data.draw(st.lists(st.lists(st.sampled_from(records), max_size=8), max_size=5)) if records else []
    batches = data.draw(st.permutations(every_one + some))
    troubles = data.draw(st.lists(st.none() | st.sampled_from(Trouble), max_size=MAXIMUM_RETRIES))
    store = TroubledRollups(FakeRollupStore(), troubles)
    given_up = [number for batch in batches for number in deliver(store, batch)]

    assert [] == given_up
    assert direct_sum(drawn) == stored(store)


@pytest.mark.parametrize("trouble", Trouble)
def test_trouble_at_every_call(trouble: Trouble) -> None:
    """Whichever write of a batch meets whatever trouble, the batch comes again and is counted once."""
    records = stream_records(USAGE)
    untroubled = TroubledRollups(FakeRollupStore(), [])
    deliver(untroubled, records)
    for call in range(untroubled.calls):
        store = TroubledRollups(FakeRollupStore(), [None] * call + [trouble])

        assert [] == deliver(store, records)
        assert untroubled.calls < store.calls
        assert direct_sum(USAGE) == stored(store)


def test_failed_transaction() -> None:
    """The records of a transaction that failed are reported, those of the others are not; all come in their order."""
    store = FakeRollupStore()
    records = stream_records(USAGE)
    response = count_batch(TroubledRollups(store, [None, Trouble.REFUSED]), records)
    failed = [failure["itemIdentifier"] for failure in response["batchItemFailures"]]
    missing = [
        record["dynamodb"]["SequenceNumber"]
        for record, usage in zip(records, USAGE, strict=True)
        if not set(row_keys(usage)) <= store.rows.keys()
    ]

    assert 0 < len(failed) < len(USAGE)
    assert sorted(failed) == failed
    assert set(missing) <= set(failed)


def test_unreadable_records() -> None:
    """Records that cannot be read are reported, and given up in the end; every other is counted."""
    usages = list(generated_usage(20, seed=2))
    records = stream_records(usages)
    del records[3]["dynamodb"]["NewImage"]
    records[11]["dynamodb"]["NewImage"]["busy_ms"] = {"S": "long"}
    records[12]["dynamodb"]["NewImage"]["busy_ms"] = {"X": "what is this"}
    store = FakeRollupStore()
    given_up = deliver(store, records)

    assert ["1003", "1011", "1012"] == given_up
    assert direct_sum(usage for number, usage in enumerate(usages) if number not in {3, 11, 12}) == stored(store)


def test_record_that_the_table_refuses() -> None:
    """A record that fails every transaction it is in is alone in the end, and given up; every other is counted."""
    usages = list(generated_usage(99, seed=3))
    poisoned = [*usages[:60], make_usage("poison", model=POISON), *usages[60:]]
    store = TroubledRollups(FakeRollupStore(), [], poison=POISON)
    given_up = deliver(store, stream_records(poisoned))

    assert ["1060"] == given_up
    assert direct_sum(usages) == stored(store)


def test_other_event() -> None:
    """A record counts once, whichever event brings it: it is known by its request, also when a stream begins anew."""
    store = FakeRollupStore()
    records = stream_records(USAGE)
    deliver(store, records)
    for record in records:
        record["eventID"] += "-again"
    deliver(store, records)

    assert direct_sum(USAGE) == stored(store)


def test_death_is_not_survived() -> None:
    """What ends the process is not taken for a record that failed."""
    with pytest.raises(Death):
        count_batch(TroubledRollups(FakeRollupStore(), [Trouble.DEATH_AFTER]), stream_records(USAGE[:1]))


def test_cost() -> None:
    """A hundred records of the same rows are two transactions: a write for each record, and three rows in each."""
    store = TroubledRollups(FakeRollupStore(), [])
    count_batch(store, stream_records(make_usage(str(number)) for number in range(100)))

    assert 2 == store.calls


ONE_KIND = {"tenant": "acme", "source": Source.HTTP, "arm": "default", "model": TINY, "batch_id": None}


@pytest.mark.parametrize(
    ("same", "day_rows_alone", "all_rows"),
    [
        (ONE_KIND, (100, 5202), (100, 5772)),
        ({}, (100, 9012), (150, 14_178)),
    ],
    ids=["one tenant, model and arm", "486 kinds of record, as likely each"],
)
def test_cost_of_kinds(same: dict[str, Any], day_rows_alone: tuple[int, int], all_rows: tuple[int, int]) -> None:
    """Transactions and writes of 5,000 events in batches of 100 as they finish, an hour each, by kinds of row."""
    usages = sorted(generated_usage(5000, seed=5000), key=attrgetter("finished_at_ms"))
    events = [usage_event(replace(usage, **same)) for usage in usages]
    costs = []
    for kinds in (1, None):
        counted = [UsageEvent(event.request_id, event.rows[:kinds], event.counters) for event in events]
        parts = [part for batch in cut(counted, 100) for part in transactions(batch)]
        costs.append((len(parts), sum(len(part) + len(by_row(part)) for part in parts)))

    assert [day_rows_alone, all_rows] == costs


@given(st.lists(st.sampled_from(USAGE), max_size=300))
def test_transactions(usages: list[UsageRecord]) -> None:
    """Transactions hold every event once, none is too large, and two neighbours would not fit into one."""
    events = [usage_event(usage) for usage in usages]
    parts = list(transactions(events))
    sizes = [len(part) + len(by_row(part)) for part in parts]
    counted = [event.request_id for part in parts for event in part]

    assert sorted({event.request_id for event in events}) == sorted(counted)
    assert max(sizes, default=1) <= TRANSACTION_ACTIONS
    for part, following in pairwise(parts):
        joined = [*part, following[0]]
        assert len(joined) + len(by_row(joined)) > TRANSACTION_ACTIONS
