"""The smaller stores, the queue, and how every adapter translates the SDK's errors."""

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import msgspec
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from botocore.stub import Stubber
from msgspec.structs import replace
from mypy_boto3_dynamodb import DynamoDBClient

from llm_router.accounting.rollups import counters, usage_event
from llm_router.accounting.usage import MonthKey, Rollup, RollupKey, UsageEvent
from llm_router.adapters.dynamodb import check_table, transact
from llm_router.adapters.dynamodb_cache import DynamoCacheStore
from llm_router.adapters.dynamodb_feedback import DynamoFeedbackStore
from llm_router.adapters.dynamodb_jobs import DynamoJobStore
from llm_router.adapters.dynamodb_rollups import (
    BATCH_ROW_TTL_SECONDS,
    DEDUPE_TTL_SECONDS,
    ROLLUP_TTL_SECONDS,
    SLOT_TTL_SECONDS,
    DynamoRollupStore,
)
from llm_router.adapters.dynamodb_status import DynamoStatusStore
from llm_router.adapters.sqs import SqsInferenceQueue
from llm_router.adapters.sqs_prompts import SqsPromptQueue
from llm_router.batching.batches import PromptMessage
from llm_router.box import BoxSighting, BoxState, InstalledModel, ResidentModel
from llm_router.errors import RequestTooLargeError, StoreError
from llm_router.estimates import Pace
from llm_router.jobs import succeeded
from llm_router.models import QueueDepth
from llm_router.ports import TRANSACTION_ACTIONS, RollupStore, StatusStore
from tests.builders import make_answer, make_entry, make_feedback, make_job, make_usage
from tests.fakes import NOW_MS, FakeRollupStore, FakeStatusStore, SettableClock
from tests.integration.conftest import Cloud

KEY = RollupKey("default", "2023-11-14", "ollama/tinyllama", "simple", "default", "http")


@pytest.fixture(params=["fake", "dynamodb"])
def rollups(request: pytest.FixtureRequest, clock: SettableClock) -> RollupStore:
    """Run the case on the rollup table and on its stand-in."""
    if request.param == "fake":
        return FakeRollupStore()
    cloud: Cloud = request.getfixturevalue("cloud")
    return DynamoRollupStore(cloud.dynamodb, "RollupTable", clock)


@pytest.fixture(params=["fake", "dynamodb"])
def statuses(request: pytest.FixtureRequest) -> StatusStore:
    """Run the case on the status table and on its stand-in."""
    if request.param == "fake":
        return FakeStatusStore()
    cloud: Cloud = request.getfixturevalue("cloud")
    return DynamoStatusStore(cloud.dynamodb, "StatusTable")


def test_counters_add(rollups: RollupStore) -> None:
    """Counters of different events add up, whole numbers of any size, each name for itself."""
    added = [
        rollups.add([UsageEvent("1", (KEY,), {"requests": 1, "actual_nano_usd": 10**18})]),
        rollups.add(
            [
                UsageEvent("2", (KEY,), {"requests": 1, "actual_nano_usd": 1, "exact_hits": 1}),
                UsageEvent("3", (KEY,), {"requests": 1, "actual_nano_usd": 10**18}),
            ]
        ),
    ]

    assert [1, 2] == added
    assert [Rollup(KEY, {"requests": 3, "actual_nano_usd": 2 * 10**18 + 1, "exact_hits": 1})] == list(
        rollups.day("default", "2023-11-14")
    )


def test_event_counts_once(rollups: RollupStore) -> None:
    """An event that comes again changes nothing, even with other counters."""
    rollups.add([UsageEvent("1", (KEY,), {"requests": 1})])

    assert 0 == rollups.add([UsageEvent("1", (KEY,), {"requests": 5})])
    assert [Rollup(KEY, {"requests": 1})] == list(rollups.day("default", "2023-11-14"))


def test_seen_among_new(rollups: RollupStore) -> None:
    """Events that were counted before drop out of their transaction; the others are counted."""
    first, second, third, fourth = (
        UsageEvent(str(number), (replace(KEY, arm=arm),), {"requests": 10**number})
        for number, arm in enumerate(["default", "default", "b", "c"])
    )
    added = [rollups.add([second, third]), rollups.add([first, second, third, fourth])]

    assert [2, 2] == added
    assert {"default": 11, "b": 100, "c": 1000} == {
        row.key.arm: row.counters["requests"] for row in rollups.day("default", "2023-11-14")
    }


@pytest.mark.parametrize("count", [TRANSACTION_ACTIONS - 1, TRANSACTION_ACTIONS])
def test_full_transaction(rollups: RollupStore, count: int) -> None:
    """As many events as one transaction takes, with their row, are counted in one; with one more none is."""
    events = [UsageEvent(str(number), (KEY,), {"requests": 1}) for number in range(count)]
    expected = [] if count == TRANSACTION_ACTIONS else [Rollup(KEY, {"requests": count})]
    with pytest.raises(StoreError) if count == TRANSACTION_ACTIONS else nullcontext():
        rollups.add(events)

    assert expected == list(rollups.day("default", "2023-11-14"))


def test_rows_stay_apart(rollups: RollupStore) -> None:
    """Every dimension has rows of its own; a day of a tenant shows that tenant's day alone."""
    keys = [
        KEY,
        RollupKey("default", "2023-11-14", "ollama/a#b", "simple", "default", "http"),
        RollupKey("default", "2023-11-14", "ollama/tinyllama", "complex", "b", "sqs"),
    ]
    others = [
        RollupKey("other", "2023-11-14", "ollama/tinyllama", "simple", "default", "http"),
        RollupKey("default", "2023-11-15", "ollama/tinyllama", "simple", "default", "http"),
    ]
    rollups.add([UsageEvent(str(number), (key,), {"requests": 1}) for number, key in enumerate(keys + others)])

    assert sorted(keys) == sorted(row.key for row in rollups.day("default", "2023-11-14"))
    assert [] == list(rollups.day("nobody", "2023-11-14"))


def test_half_hours(rollups: RollupStore) -> None:
    """Half hours are read by when they start, and are no rows of a day."""
    starts = ["00:00", "00:30", "12:00", "23:30"]
    keys = [replace(KEY, model="ollama/a#b", slot=slot) for slot in starts]
    elsewhere = [replace(KEY, tenant="other", slot="12:00"), replace(KEY, day="2023-11-15", slot="12:00")]
    events = [UsageEvent(str(number), (key,), {"requests": 1}) for number, key in enumerate(keys + elsewhere)]
    rollups.add(events)

    assert [Rollup(key, {"requests": 1}) for key in keys] == list(rollups.slots("default", "2023-11-14"))
    assert keys[1:2] == [row.key for row in rollups.slots("default", "2023-11-14", "00:30", "12:00")]
    assert keys[2:] == [row.key for row in rollups.slots("default", "2023-11-14", first="01:00")]
    assert [] == list(rollups.day("default", "2023-11-14"))


def test_months(rollups: RollupStore) -> None:
    """A month has one row for each of its tenants, and none for a tenant that asked nothing."""
    keys = [MonthKey("2023-11", "acme"), MonthKey("2023-11", "2023-11"), MonthKey("2023-12", "acme")]
    rollups.add([UsageEvent(str(number), (key,), {"requests": number + 1}) for number, key in enumerate(keys)])

    assert {"acme": {"requests": 1}, "2023-11": {"requests": 2}} == rollups.month("2023-11")
    assert {"requests": 3} == rollups.month_of("acme", "2023-12")
    assert {} == rollups.month_of("nobody", "2023-11") == rollups.month("2024-01")


def test_batches(rollups: RollupStore) -> None:
    """A batch has one row for all its requests, of whatever day and tier; others are not in it."""
    batch_id = f"batch_{'0' * 32}"
    records = [
        make_usage("1", batch_id=batch_id),
        make_usage("2", batch_id=batch_id, day="2023-11-15", tier="exact", actual_nano_usd=0),
        make_usage("3"),
    ]
    for _ in range(2):
        rollups.add([usage_event(record) for record in records])
    counted = rollups.batch(batch_id)

    assert (2, 2, 1, 700, 3_000_000) == tuple(
        counted[name]
        for name in ("requests", "succeeded_requests", "exact_hits", "actual_nano_usd", "baseline_nano_usd")
    )
    assert {} == rollups.batch(f"batch_{'1' * 32}")


@pytest.mark.parametrize("tenant", ["slots", "months", "counted", "batch"])
def test_tenant_named_like_a_partition(rollups: RollupStore, tenant: str) -> None:
    """Rows of different kinds stay apart, whatever a tenant is called."""
    usage = make_usage(tenant=tenant)
    rollups.add([usage_event(usage)])
    expected = counters(usage)

    assert [expected] == [row.counters for row in rollups.day(tenant, "2023-11-14")]
    assert [("22:00", expected)] == [(row.key.slot, row.counters) for row in rollups.slots(tenant, "2023-11-14")]
    assert {tenant: expected} == rollups.month("2023-11")


def test_rollup_items_expire(cloud: Cloud, clock: SettableClock) -> None:
    """A counted event is remembered for a week, longer than a stream can bring it again; counters stay longer."""
    DynamoRollupStore(cloud.dynamodb, "RollupTable", clock).add([usage_event(make_usage("1", batch_id="batch_1"))])
    items = cloud.dynamodb.scan(TableName="RollupTable")["Items"]
    expiries = {item["tenant_day"]["S"]: int(item["expires_at"]["N"]) for item in items}

    assert {
        "counted#1": NOW_MS // 1000 + DEDUPE_TTL_SECONDS,
        "default#2023-11-14": NOW_MS // 1000 + ROLLUP_TTL_SECONDS,
        "slots#default#2023-11-14": NOW_MS // 1000 + SLOT_TTL_SECONDS,
        "months#2023-11": NOW_MS // 1000 + ROLLUP_TTL_SECONDS,
        "batch#batch_1": NOW_MS // 1000 + BATCH_ROW_TTL_SECONDS,
    } == expiries


def test_box_state(statuses: StatusStore) -> None:
    """The last look at the box is kept whole, and replaced by the next."""
    state = BoxState(
        version="0.31.0",
        installed=(InstalledModel(name="tinyllama:latest", size_bytes=637_700_138),),
        resident=(ResidentModel(name="tinyllama:latest", size_bytes=1, context_length=2048, expires_at="later"),),
    )
    before = statuses.box()
    statuses.put_box(BoxSighting(checked_at_ms=NOW_MS, state=state))
    first = statuses.box()
    unreachable = BoxSighting(checked_at_ms=NOW_MS + 60_000, state=None, reason="connection refused")
    statuses.put_box(unreachable)

    assert (None, BoxSighting(checked_at_ms=NOW_MS, state=state), unreachable) == (before, first, statuses.box())


def test_pace(statuses: StatusStore) -> None:
    """The figures of each model are kept whole and apart, unknown ones too, and replaced by the next."""
    first = Pace(model="ollama/a", output_tokens=20.5, learned_at_ms=NOW_MS)
    second = Pace(model="ollama/a", load_ms=5_000.25, output_tokens=21.0, learned_at_ms=NOW_MS + 1)
    other = Pace(model="ollama/a:1b", learned_at_ms=NOW_MS)
    before = statuses.pace("ollama/a")
    for pace in (first, other, second):
        statuses.put_pace(pace)

    assert (None, second, other) == (before, statuses.pace("ollama/a"), statuses.pace("ollama/a:1b"))
    assert statuses.box() is None


def test_status_of_another_version(cloud: Cloud) -> None:
    """Figures in a shape that is not known here are the store's failure, not a wrong estimate."""
    item: Any = {"name": {"S": "pace#ollama/a"}, "document": {"S": '{"speed": 1}'}}
    cloud.dynamodb.put_item(TableName="StatusTable", Item=item)
    with pytest.raises(StoreError):
        DynamoStatusStore(cloud.dynamodb, "StatusTable").pace("ollama/a")


def test_queue(cloud: Cloud) -> None:
    """A dispatched job is one message with its id, on the queue that the template names."""
    url = cloud.environment("ChatFunction")["INFERENCE_QUEUE_URL"]
    queue = SqsInferenceQueue(cloud.sqs, url)
    queue("req_1")
    queued = queue.depth()
    messages = cloud.sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10)["Messages"]

    assert ['{"job_id":"req_1"}'] == [message["Body"] for message in messages]
    assert [QueueDepth(waiting=1, in_flight=0), QueueDepth(waiting=0, in_flight=1)] == [queued, queue.depth()]


@pytest.mark.parametrize("method", ["__call__", "depth"])
def test_missing_queue(cloud: Cloud, method: str) -> None:
    """A queue that is not there is the store's failure, in sending as in looking."""
    queue = SqsInferenceQueue(cloud.sqs, "https://sqs.us-east-1.amazonaws.com/123456789012/Nowhere")
    arguments = ["req_1"] if method == "__call__" else []
    with pytest.raises(StoreError):
        getattr(queue, method)(*arguments)


def test_prompts_are_sent(cloud: Cloud) -> None:
    """Prompts go into the queue in as many calls as they need, all of them."""
    url = cloud.environment("ChatFunction")["INFERENCE_QUEUE_URL"]
    long = [PromptMessage(message="x" * 32_000, system_prompt="y" * 32_000) for _ in range(20)]
    messages = [*(PromptMessage(message=f"Question {number}?") for number in range(25)), *long]
    SqsPromptQueue(cloud.sqs, url)(messages)
    received = []
    while page := cloud.sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
        received += [msgspec.json.decode(message["Body"], type=PromptMessage) for message in page]

    assert sorted(messages, key=repr) == sorted(received, key=repr)


def test_prompts_that_sqs_has_no_characters_for(cloud: Cloud) -> None:
    """The two characters of Unicode that SQS refuses go as JSON's escapes of them, or their batch would go nowhere."""
    url = cloud.environment("ChatFunction")["INFERENCE_QUEUE_URL"]
    message = PromptMessage(message="\ufffe\uffff\0")
    SqsPromptQueue(cloud.sqs, url)([message])
    (received,) = cloud.sqs.receive_message(QueueUrl=url)["Messages"]

    assert received["Body"].isascii()
    assert message == msgspec.json.decode(received["Body"], type=PromptMessage)


def test_prompts_that_are_refused(cloud: Cloud) -> None:
    """Who sends prompts hears when the queue is not there, or does not take one of them."""
    url = cloud.environment("ChatFunction")["INFERENCE_QUEUE_URL"]
    with pytest.raises(StoreError):
        SqsPromptQueue(cloud.sqs, f"{url}-gone")([PromptMessage(message="Hi")])
    refused: Any = {"Failed": [{"Id": "1", "SenderFault": False, "Code": "InternalError"}], "Successful": []}
    with Stubber(cloud.sqs) as stub:
        for _ in range(4):
            stub.add_response("send_message_batch", refused)
        with pytest.raises(StoreError):
            SqsPromptQueue(cloud.sqs, url)([PromptMessage(message="Hi"), PromptMessage(message="Ho")])
        stub.assert_no_pending_responses()


def test_prompts_that_are_refused_once(cloud: Cloud) -> None:
    """What a queue refuses of a call is sent again, and nothing else of it."""
    url = cloud.environment("ChatFunction")["INFERENCE_QUEUE_URL"]
    entries = [{"Id": str(place), "MessageBody": f'{{"message":"{text}"}}'} for place, text in enumerate(("Hi", "Ho"))]
    with Stubber(cloud.sqs) as stub:
        failed = [{"Id": "1", "SenderFault": False, "Code": "InternalError"}]
        answer: Any = {"Failed": failed, "Successful": []}
        stub.add_response("send_message_batch", answer, {"QueueUrl": url, "Entries": entries})
        taken: Any = {"Failed": [], "Successful": []}
        stub.add_response("send_message_batch", taken, {"QueueUrl": url, "Entries": entries[1:]})
        SqsPromptQueue(cloud.sqs, url)([PromptMessage(message="Hi"), PromptMessage(message="Ho")])

        stub.assert_no_pending_responses()


def test_check_table(cloud: Cloud) -> None:
    """A table that is there passes; one that is not does not."""
    check_table(cloud.dynamodb, "JobTable")
    with pytest.raises(StoreError, match="looking at a table failed"):
        check_table(cloud.dynamodb, "Nowhere")


def test_check_table_that_is_going(cloud: Cloud) -> None:
    """A table that is being deleted is not ready, and the error says what it is."""

    def deleting(parsed: dict[str, Any], **_: object) -> None:
        parsed["Table"]["TableStatus"] = "DELETING"

    cloud.dynamodb.meta.events.register("after-call.dynamodb.DescribeTable", deleting)
    with pytest.raises(StoreError, match="the table is deleting"):
        check_table(cloud.dynamodb, "JobTable")


CALLS: dict[str, Callable[[DynamoDBClient], object]] = {
    "cache generation": lambda client: DynamoCacheStore(client, "CacheTable").generation("default"),
    "cache get": lambda client: DynamoCacheStore(client, "CacheTable").get("ns", "id"),
    "cache nearest": lambda client: DynamoCacheStore(client, "CacheTable").nearest("ns", [0.5] * 384, 5),
    "cache put": lambda client: DynamoCacheStore(client, "CacheTable").put(make_entry(), None),
    "cache evict": lambda client: DynamoCacheStore(client, "CacheTable").evict("default", "ns", "id", NOW_MS),
    "cache refused": lambda client: DynamoCacheStore(client, "CacheTable").is_refused("default", "a", "b"),
    "cache clear": lambda client: DynamoCacheStore(client, "CacheTable").clear("default", NOW_MS),
    "cache census": lambda client: DynamoCacheStore(client, "CacheTable").census("default", NOW_MS),
    "feedback get": lambda client: feedback(client).get("default", "req_1"),
    "feedback record": lambda client: feedback(client).record(make_feedback(), make_usage(), None),
    "job open": lambda client: jobs(client).open(make_job()),
    "job open alone": lambda client: jobs(client).open(make_job(flight=None)),
    "job record": lambda client: jobs(client).record(make_job(answer=make_answer()), make_usage()),
    "job get": lambda client: jobs(client).get("req_1"),
    "job start": lambda client: jobs(client).start("req_1", worker="w", lease_until_ms=NOW_MS),
    "job progress": lambda client: jobs(client).renew(make_job(worker="w"), lease_until_ms=NOW_MS, partial_text="A "),
    "job finish": lambda client: jobs(client).finish(make_job(answer=make_answer()), make_usage()),
    "job followers": lambda client: jobs(client).followers(make_job()),
    "job close": lambda client: jobs(client).close_flight(make_job(), followers=[]),
    "rollup add": lambda client: rollup_store(client).add([UsageEvent("1", (KEY,), {"a": 1})]),
    "rollup day": lambda client: rollup_store(client).day("default", "2023-11-14"),
    "rollup slots": lambda client: rollup_store(client).slots("default", "2023-11-14"),
    "rollup month": lambda client: rollup_store(client).month("2023-11"),
    "rollup month of": lambda client: rollup_store(client).month_of("default", "2023-11"),
    "status put": lambda client: DynamoStatusStore(client, "StatusTable").put_box(
        BoxSighting(checked_at_ms=NOW_MS, state=None)
    ),
    "status get": lambda client: DynamoStatusStore(client, "StatusTable").box(),
    "pace put": lambda client: DynamoStatusStore(client, "StatusTable").put_pace(Pace(model="m")),
    "pace get": lambda client: DynamoStatusStore(client, "StatusTable").pace("m"),
}


def feedback(client: DynamoDBClient) -> DynamoFeedbackStore:
    """Return a feedback store."""
    return DynamoFeedbackStore(client, cache_table="CacheTable", usage_table="UsageTable")


def jobs(client: DynamoDBClient) -> DynamoJobStore:
    """Return a job store."""
    return DynamoJobStore(client, job_table="JobTable", usage_table="UsageTable", clock=SettableClock())


def rollup_store(client: DynamoDBClient) -> DynamoRollupStore:
    """Return a rollup store."""
    return DynamoRollupStore(client, "RollupTable", SettableClock())


@pytest.mark.parametrize("call", CALLS)
def test_missing_tables(cloud: Cloud, call: str) -> None:
    """Whatever DynamoDB refuses is a StoreError with DynamoDB's own words in its cause alone."""
    for table in cloud.dynamodb.list_tables()["TableNames"]:
        cloud.dynamodb.delete_table(TableName=table)
    with pytest.raises(StoreError) as caught:
        CALLS[call](cloud.dynamodb)

    assert caught.value.__cause__ is not None
    assert "ResourceNotFound" not in str(caught.value)


@pytest.mark.parametrize("call", CALLS)
def test_unreachable_store(cloud: Cloud, call: str) -> None:
    """A DynamoDB that cannot be reached is a StoreError too."""

    def unreachable(**_: object) -> None:
        raise EndpointConnectionError(endpoint_url="https://dynamodb.example")

    cloud.dynamodb.meta.events.register("before-call.dynamodb", unreachable)
    with pytest.raises(StoreError):
        CALLS[call](cloud.dynamodb)


def cancel(client: DynamoDBClient, *reasons: str, times: int) -> list[int]:
    """Let the next transactions be cancelled for some reasons; returns a list that grows with every attempt."""
    attempts: list[int] = []
    response: Any = {
        "Error": {"Code": "TransactionCanceledException", "Message": "cancelled"},
        "CancellationReasons": [{"Code": reason} for reason in reasons],
    }

    def refuse(**_: object) -> None:
        attempts.append(1)
        if len(attempts) <= times:
            raise client.exceptions.TransactionCanceledException(response, "TransactWriteItems")

    client.meta.events.register("before-call.dynamodb.TransactWriteItems", refuse)
    return attempts


ACTION: Any = {"Put": {"TableName": "StatusTable", "Item": {"name": {"S": "x"}}}}


@pytest.mark.parametrize("reason", ["TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded"])
def test_transaction_in_the_way(cloud: Cloud, reason: str) -> None:
    """A transaction that met another one, or was throttled, is tried again."""
    attempts = cancel(cloud.dynamodb, "None", reason, times=1)

    assert transact(cloud.dynamodb, "writing", [ACTION])
    assert 2 == len(attempts)
    assert "Item" in cloud.dynamodb.get_item(TableName="StatusTable", Key={"name": {"S": "x"}})


def test_transaction_always_in_the_way(cloud: Cloud) -> None:
    """Trying again ends after four attempts."""
    attempts = cancel(cloud.dynamodb, "TransactionConflict", times=99)
    with pytest.raises(StoreError, match="writing failed"):
        transact(cloud.dynamodb, "writing", [ACTION])

    assert 4 == len(attempts)


def test_transaction_with_a_condition(cloud: Cloud) -> None:
    """A refused condition is an answer, not an error, and is not tried again."""
    attempts = cancel(cloud.dynamodb, "ConditionalCheckFailed", "None", times=99)

    assert not transact(cloud.dynamodb, "writing", [ACTION])
    assert 1 == len(attempts)


def test_transaction_refused(cloud: Cloud) -> None:
    """A transaction that is cancelled for another reason is an error at once."""
    attempts = cancel(cloud.dynamodb, "ValidationError", times=99)
    with pytest.raises(StoreError, match="writing failed"):
        transact(cloud.dynamodb, "writing", [ACTION])

    assert 1 == len(attempts)


def test_flight_that_closes_while_joining(cloud: Cloud) -> None:
    """A request that finds the flight closed when it wants to join leads the next."""
    store = jobs(cloud.dynamodb)
    store.open(make_job("one"))
    updates: list[int] = []

    def close_before_joining(**_: object) -> None:
        updates.append(1)
        if len(updates) == 2:
            cloud.dynamodb.delete_item(TableName="JobTable", Key=FLIGHT)

    cloud.dynamodb.meta.events.register("before-call.dynamodb.UpdateItem", close_before_joining)

    assert store.open(make_job("two"))
    assert 3 == len(updates)


def test_flight_that_never_holds_still(cloud: Cloud) -> None:
    """Claiming is given up when neither claiming nor joining ever works; such a job does not stand in the line."""
    updates: list[int] = []

    def change_leader(**_: object) -> None:
        updates.append(1)
        put_flight(cloud, leader=f"other-{len(updates)}")

    cloud.dynamodb.meta.events.register("before-call.dynamodb.UpdateItem", change_leader)
    with pytest.raises(StoreError, match="claiming a flight failed"):
        jobs(cloud.dynamodb).open(make_job())

    assert 10 + 1 == len(updates)
    assert [] == jobs(cloud.dynamodb).line(limit=1)


@pytest.mark.parametrize("update", [1, 2], ids=["claiming", "joining"])
def test_flight_that_is_refused(cloud: Cloud, update: int) -> None:
    """A table that refuses to let a job claim or join a flight is the store's failure; the job leaves the line."""
    jobs(cloud.dynamodb).open(make_job("one"))
    updates: list[int] = []

    def refuse(**_: object) -> None:
        updates.append(1)
        if len(updates) == update:
            raise ClientError({"Error": {"Code": "ThrottlingException", "Message": "slow down"}}, "UpdateItem")

    cloud.dynamodb.meta.events.register("before-call.dynamodb.UpdateItem", refuse)
    with pytest.raises(StoreError, match="a flight failed"):
        jobs(cloud.dynamodb).open(make_job("two"))

    assert ["one"] == [job.job_id for job in jobs(cloud.dynamodb).line(limit=9)]


def test_claim_whose_answer_was_lost(cloud: Cloud) -> None:
    """A claim that the SDK repeats, because it saw no answer to the first, is still the job's own."""
    put_flight(cloud, leader="req_1")

    assert jobs(cloud.dynamodb).open(make_job("req_1"))


FLIGHT: Any = {"job_id": {"S": "flight#fingerprint"}}


def put_flight(cloud: Cloud, *, leader: str) -> None:
    """Write a flight whose leader's lease holds."""
    lease = {"lease_until_ms": {"N": str(NOW_MS + 1000)}}
    cloud.dynamodb.put_item(TableName="JobTable", Item={**FLIGHT, "leader": {"S": leader}, **lease})


def test_job_that_is_too_large(cloud: Cloud) -> None:
    """A job that its answer would not fit beside is the caller's mistake, and nothing is stored."""
    with pytest.raises(RequestTooLargeError) as caught:
        jobs(cloud.dynamodb).open(make_job(prompt="\x01" * 32_000, system_prompt="\x01" * 32_000))

    assert "message" == caught.value.field
    assert 0 == cloud.dynamodb.scan(TableName="JobTable")["Count"]


def test_largest_usual_job(cloud: Cloud) -> None:
    """The longest prompt and instruction fit, in any script, with the longest answer."""
    job = make_job(prompt="\U0001f600" * 32_000, system_prompt="\u20ac" * 32_000, embedding=(0.5,) * 384)
    store = jobs(cloud.dynamodb)
    store.open(job)
    answer = make_answer("\U0001f600" * 4096)
    job = store.start("req_1", worker="w", lease_until_ms=NOW_MS + 1)
    store.renew(job, lease_until_ms=NOW_MS, partial_text=answer.text)

    assert store.finish(succeeded(job, answer, NOW_MS), make_usage())


def test_entry_of_another_version(cloud: Cloud) -> None:
    """A cache entry that lacks what an answer needs now is the store's failure, not a wrong answer."""
    cloud.dynamodb.put_item(TableName="CacheTable", Item={"namespace": {"S": "ns"}, "entry_id": {"S": "old"}})
    with pytest.raises(StoreError, match="reading the cache failed"):
        DynamoCacheStore(cloud.dynamodb, "CacheTable").get("ns", "old")
