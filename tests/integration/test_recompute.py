"""Recomputing a day over the tables, through the function."""

import io
import json
from contextlib import redirect_stdout
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from llm_router import bootstrap
from llm_router.accounting.rollups import row_keys, transactions, usage_event
from llm_router.accounting.usage import UsageRecord
from llm_router.adapters.dynamodb import to_item
from llm_router.adapters.dynamodb_rollups import DynamoRollupStore
from llm_router.adapters.dynamodb_usage import DynamoUsageStore
from llm_router.adapters.job_items import put_usage
from llm_router.errors import InvalidRequestError, StoreError
from llm_router.jobs import utc_day
from recompute.app import lambda_handler
from tests.builders import make_usage
from tests.fakes import FakeUsageStore, SettableClock
from tests.integration.conftest import Cloud, Deploy
from tests.loading import load_event
from tests.usage_stream import FIRST_DAY_MS, generated_usage

DAY_MS = 24 * 3_600_000
THEN_MS = bootstrap.now_ms() // DAY_MS * DAY_MS - 4 * DAY_MS
DAYS = (utc_day(THEN_MS), utc_day(THEN_MS + DAY_MS))


@pytest.fixture
def usages(cloud: Cloud, deploy: Deploy) -> list[UsageRecord]:
    """Records of two settled days, stored and counted."""
    moved = [
        replace(usage, finished_at_ms=(at_ms := usage.finished_at_ms - FIRST_DAY_MS + THEN_MS), day=utc_day(at_ms))
        for usage in generated_usage(60, seed=60)
    ]
    for usage in moved:
        cloud.dynamodb.transact_write_items(TransactItems=[put_usage("UsageTable", usage)])
    store = DynamoRollupStore(cloud.dynamodb, "RollupTable", bootstrap.now_ms)
    for part in transactions(map(usage_event, moved)):
        store.add(part)
    deploy("RecomputeFunction")
    return moved


def invoke(event: dict[str, Any]) -> tuple[dict[str, Any], list[Any]]:
    """Return the function's answer, and the values of the drift metric it emitted."""
    with redirect_stdout(io.StringIO()) as printed:
        answer = lambda_handler(event, None)  # type: ignore[arg-type] # it looks at no context
    lines = [json.loads(line) for line in printed.getvalue().splitlines() if "RollupDrift" in line]
    return answer, [value for line in lines for value in line["RollupDrift"]]


def test_records_of_a_day(cloud: Cloud, usages: list[UsageRecord]) -> None:
    """The table's records of a day are those of the fake."""
    table, fake = DynamoUsageStore(cloud.dynamodb, "UsageTable"), FakeUsageStore(usages)
    for day in (*DAYS, "2000-01-01"):
        assert sorted(fake.day(day), key=repr) == sorted(table.day(day), key=repr)


def test_pages(cloud: Cloud) -> None:
    """More records than a page holds, 1 MB, are read page by page, each when it is wanted."""
    asked = []
    cloud.dynamodb.meta.events.register("before-call.dynamodb.Query", lambda **_: asked.append(1))
    for number in range(6):
        item = to_item(msgspec.to_builtins(make_usage(str(number), day=DAYS[0])) | {"padding": "x" * 300_000})
        cloud.dynamodb.put_item(TableName="UsageTable", Item=item)
    records = DynamoUsageStore(cloud.dynamodb, "UsageTable").day(DAYS[0])
    first, pages_of_first, others, pages = next(records), len(asked), list(records), len(asked)

    assert {str(number) for number in range(6)} == {record.request_id for record in (first, *others)}
    assert 1 == pages_of_first < pages


def test_record_that_cannot_be_read(cloud: Cloud) -> None:
    """A record that cannot be read ends the reading, and is named."""
    cloud.dynamodb.put_item(TableName="UsageTable", Item=to_item({"request_id": "req_poison", "day": DAYS[0]}))
    with pytest.raises(StoreError, match="req_poison"):
        list(DynamoUsageStore(cloud.dynamodb, "UsageTable").day(DAYS[0]))


def test_nothing_differs(usages: list[UsageRecord]) -> None:
    """What was counted is what the records add up to; the metric says 0."""
    for day in DAYS:
        answer, drift = invoke({"day": day})

        assert (day, True, 0, [], False) == tuple(
            answer[name] for name in ("day", "settled", "differing_rows", "differences", "repaired")
        )
        assert answer["rows"] >= 2 * len({usage.model for usage in usages if usage.day == day})
        assert [0] == drift


def test_drift_and_repair(cloud: Cloud, usages: list[UsageRecord]) -> None:
    """A counter that is gone and a row that should not be there are found, put right, and stay so."""
    day = DAYS[0]
    key = next(row_keys(usage)[1] for usage in usages if usage.day == day)
    store = DynamoRollupStore(cloud.dynamodb, "RollupTable", bootstrap.now_ms)
    before = [store.slots(key.tenant, day), store.day(key.tenant, day)]
    (row,) = [row for row in before[0] if row.key == key]
    store.replace(key, {name: count for name, count in row.counters.items() if name != "actual_nano_usd"})
    store.replace(replace(key, slot="", model="ollama/a#nobody"), {"requests": 1})
    found, drift = invoke({"day": day})
    repaired, remaining = invoke({"day": day, "repair": True})
    again, _ = invoke({"day": day})

    assert (2, 2, [2]) == (found["differing_rows"], len(found["differences"]), drift)
    assert {
        "row": {
            "tenant": key.tenant,
            "day": day,
            "model": key.model,
            "complexity": key.complexity,
            "arm": key.arm,
            "source": key.source,
            "slot": key.slot,
        },
        "counter": "actual_nano_usd",
        "live": 0,
        "rebuilt": row.counters["actual_nano_usd"],
    } in found["differences"]
    assert (found | {"repaired": True}, [0]) == (repaired, remaining)
    assert 0 == again["differing_rows"]
    assert before == [store.slots(key.tenant, day), store.day(key.tenant, day)]


def test_of_itself(usages: list[UsageRecord]) -> None:
    """Without a day it is the last one that is settled."""
    answer, drift = invoke({})

    assert (True, [0]) == (answer["settled"], drift)


def test_today(usages: list[UsageRecord]) -> None:
    """A day that is not settled is compared without a metric, and not repaired."""
    today = utc_day(bootstrap.now_ms())
    answer, drift = invoke({"day": today})
    with pytest.raises(InvalidRequestError):
        invoke({"day": today, "repair": True})

    assert (False, []) == (answer["settled"], drift)


def test_sample_event(usages: list[UsageRecord]) -> None:
    """The sample event is understood; its day is too long ago."""
    with pytest.raises(InvalidRequestError, match="394 days"):
        invoke(load_event("recompute"))


def test_replaced_rows(cloud: Cloud) -> None:
    """A row is replaced as a whole, expires like others of its kind, and is gone without counters."""
    clock = SettableClock()
    store = DynamoRollupStore(cloud.dynamodb, "RollupTable", clock, consistent=True)
    (usage,) = generated_usage(1, seed=1)
    store.add([usage_event(usage)])
    added = cloud.dynamodb.scan(TableName="RollupTable")["Items"]
    for key in row_keys(usage):
        store.replace(key, usage_event(usage).counters)
    replaced = cloud.dynamodb.scan(TableName="RollupTable")["Items"]
    for key in row_keys(usage):
        store.replace(key, {})
        store.replace(key, {})

    assert sorted(added, key=str) == sorted(replaced, key=str)
    assert [f"counted#{usage.request_id}"] == [
        item["tenant_day"]["S"] for item in cloud.dynamodb.scan(TableName="RollupTable")["Items"]
    ]


def test_adjusted_rows(cloud: Cloud) -> None:
    """What a row is adjusted by is added to it as a record's counters are, and may be less than nothing."""
    store = DynamoRollupStore(cloud.dynamodb, "RollupTable", SettableClock(), consistent=True)
    (usage,) = generated_usage(1, seed=1)
    key, counters = row_keys(usage)[2], usage_event(usage).counters
    store.add([usage_event(usage)])
    added = store.month_of(usage.tenant, usage.day[:7])
    store.adjust(key, counters)
    twice = store.month_of(usage.tenant, usage.day[:7])
    store.adjust(key, {name: -count for name, count in counters.items()})

    assert {name: 2 * count for name, count in added.items()} == twice
    assert added == store.month_of(usage.tenant, usage.day[:7])


def test_month_that_is_not_over(cloud: Cloud, usages: list[UsageRecord]) -> None:
    """The function may do to a month what its repair takes."""
    store = DynamoRollupStore(cloud.dynamodb, "RollupTable", bootstrap.now_ms)
    key = next(row_keys(usage)[2] for usage in usages if usage.day == DAYS[0])
    store.adjust(key, {"requests": 1, "actual_nano_usd": -7})
    found, _ = invoke({"day": DAYS[0], "repair": True})
    again, _ = invoke({"day": DAYS[0]})

    assert (1, 2, 0) == (found["differing_rows"], len(found["differences"]), again["differing_rows"])
