import io
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from infra.local.cloud import Cloud
from infra.local.functions import InvokeResult
from infra.local.resources import Queue, QueueEvent, StreamEvent, Table
from infra.local.source import Poller
from infra.local.sqs_source import SqsSource
from infra.local.stream_source import StreamSource

TABLE = Table(
    "Items",
    "Items",
    {
        "BillingMode": "PAY_PER_REQUEST",
        "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
        "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
        "StreamSpecification": {"StreamViewType": "NEW_AND_OLD_IMAGES"},
    },
    None,
)
QUEUE = Queue("Work", "Work", {"VisibilityTimeout": "1"}, None)


@dataclass
class Consumer:
    """A function that answers batches as it is told, and remembers them."""

    answer: Callable[[list[dict[str, Any]]], Any]
    batches: list[list[dict[str, Any]]] = field(default_factory=list)

    def invoke(self, event: dict[str, Any]) -> InvokeResult:
        """Answer a batch; an exception of the answer is a function error."""
        self.batches.append(event["Records"])
        try:
            payload, is_error = json.dumps(self.answer(event["Records"])).encode(), False
        except ValueError as error:
            payload, is_error = json.dumps({"errorMessage": str(error)}).encode(), True
        return InvokeResult("id", payload, is_error=is_error, duration_ms=1.0, init_ms=None)

    def names(self) -> list[list[str]]:
        """Give the keys of the stream records of every batch."""
        return [[record["dynamodb"]["Keys"]["id"]["S"] for record in batch] for batch in self.batches]


@pytest.fixture
def cloud() -> Iterator[Cloud]:
    cloud = Cloud()
    cloud.start()
    cloud.create([TABLE], [QUEUE])
    yield cloud
    cloud.close()


def _stream_event(**settings: Any) -> StreamEvent:
    defaults: dict[str, Any] = {
        "function": "F",
        "table": "Items",
        "batch_size": 10,
        "starting_position": "TRIM_HORIZON",
        "maximum_retries": 1,
        "bisect": False,
        "report_item_failures": False,
        "filters": (),
        "on_failure_queue": None,
    }
    return StreamEvent(**{**defaults, **settings})


@contextmanager
def _running(source: Poller, cloud: Cloud) -> Iterator[None]:
    """Run a source until everything written so far has been worked on."""
    source.start()
    yield
    give_up = time.monotonic() + 20
    while not source.is_drained(cloud.writes.count):
        assert time.monotonic() < give_up, f"{source.name} is still busy"
        time.sleep(0.01)
    source.stop()
    cloud.writes.add()
    source.join()


def _put(cloud: Cloud, *names: str) -> None:
    items: list[Any] = [{"Put": {"TableName": "Items", "Item": {"id": {"S": name}}}} for name in names]
    cloud.client("dynamodb").transact_write_items(TransactItems=items)


def _raise(_: list[dict[str, Any]]) -> Any:
    raise ValueError("no")


def test_without_bisection_a_failing_batch_is_given_up_whole(cloud: Cloud) -> None:
    """A batch is tried once and once again, then skipped; what comes later is delivered by itself."""
    consumer = Consumer(lambda records: _raise(records) if len(records) > 1 else None)
    _put(cloud, "a", "b")
    log = io.StringIO()
    with _running(StreamSource(_stream_event(), "arn:f", cloud, consumer.invoke, log), cloud):
        while "gave up" not in log.getvalue():
            time.sleep(0.01)
        _put(cloud, "c")

    assert [["a", "b"], ["a", "b"], ["c"]] == consumer.names()
    assert "gave up 2 records after 1 retries" in log.getvalue()


def test_without_a_retry_limit_a_batch_is_tried_until_it_succeeds(cloud: Cloud) -> None:
    """MaximumRetryAttempts -1 keeps the shard at its place."""
    consumer = Consumer(lambda records: _raise(records) if len(consumer.batches) < 4 else None)
    _put(cloud, "a", "b")
    event = _stream_event(maximum_retries=None)
    with _running(StreamSource(event, "arn:f", cloud, consumer.invoke, io.StringIO()), cloud):
        pass

    assert [["a", "b"]] * 4 == consumer.names()


def test_progress_within_a_batch_starts_the_retries_anew(cloud: Cloud) -> None:
    """Each reported record has its own retries, so a batch of stumbling records loses none."""
    tries: dict[str, int] = {}

    def stumble_once(records: list[dict[str, Any]]) -> Any:
        for record in records:
            number = record["dynamodb"]["SequenceNumber"]
            tries[number] = tries.get(number, 0) + 1
            if tries[number] == 1:
                return {"batchItemFailures": [{"itemIdentifier": number}]}
        return None

    consumer = Consumer(stumble_once)
    _put(cloud, "a", "b", "c")
    event = _stream_event(report_item_failures=True)
    with _running(StreamSource(event, "arn:f", cloud, consumer.invoke, io.StringIO()), cloud):
        pass

    assert [["a", "b", "c"], ["a", "b", "c"], ["b", "c"], ["c"]] == consumer.names()


def test_lanes_work_at_once_and_keep_the_records_of_an_item_in_order(cloud: Cloud) -> None:
    """With a parallelization factor several batches are under way at once, but never two of the same item."""
    at_work = threading.Semaphore(1)
    two_at_once = threading.Event()

    def work(_: list[dict[str, Any]]) -> None:
        if at_work.acquire(blocking=False):
            assert two_at_once.wait(timeout=10)
            at_work.release()
        else:
            two_at_once.set()

    consumer = Consumer(work)
    _put(cloud, *"abcdefgh")
    _put(cloud, *"abcdefgh")
    event = _stream_event(batch_size=1, parallelization_factor=2)
    with _running(StreamSource(event, "arn:f", cloud, consumer.invoke, io.StringIO()), cloud):
        pass

    assert sorted("abcdefgh" * 2) == sorted(name for names in consumer.names() for name in names)
    numbers = [
        (batch[0]["dynamodb"]["Keys"]["id"]["S"], batch[0]["dynamodb"]["SequenceNumber"]) for batch in consumer.batches
    ]
    assert all(
        [number for name, number in numbers if name == each]
        == sorted(number for name, number in numbers if name == each)
        for each in "abcdefgh"
    )


def test_latest_begins_after_what_is_there(cloud: Cloud) -> None:
    """StartingPosition LATEST skips older records; changes and deletions arrive with the old image."""
    consumer = Consumer(lambda _: None)
    _put(cloud, "old")
    event = _stream_event(starting_position="LATEST")
    with _running(StreamSource(event, "arn:f", cloud, consumer.invoke, io.StringIO()), cloud):
        cloud.client("dynamodb").delete_item(TableName="Items", Key={"id": {"S": "old"}})
    ((record,),) = consumer.batches

    assert ("REMOVE", {"id": {"S": "old"}}) == (record["eventName"], record["dynamodb"]["OldImage"])


def test_an_error_of_the_poller_is_logged_and_it_goes_on(cloud: Cloud) -> None:
    """An exception that no rule covers leaves the messages in the queue and the source alive."""
    consumer = Consumer(lambda _: None)
    log = io.StringIO()

    def invoke(event: dict[str, Any]) -> InvokeResult:
        if not log.getvalue():
            raise ConnectionError("the runtime is away")
        return consumer.invoke(event)

    event = QueueEvent("F", "Work", 10, 1, 0.0, report_item_failures=False)
    cloud.client("sqs").send_message(QueueUrl=cloud.queue_url("Work"), MessageBody="kept")
    with _running(SqsSource(event, cloud, invoke, log), cloud):
        pass

    assert "ConnectionError: the runtime is away" in log.getvalue()
    assert [["kept"]] == [[record["body"] for record in batch] for batch in consumer.batches]


def test_a_batching_window_fills_batches_larger_than_ten(cloud: Cloud) -> None:
    """Several receives make one batch, up to its size; the rest goes when the window is over."""
    consumer = Consumer(lambda _: None)
    entries: list[Any] = [{"Id": str(number), "MessageBody": str(number)} for number in range(10)]
    for _ in range(3):
        cloud.client("sqs").send_message_batch(QueueUrl=cloud.queue_url("Work"), Entries=entries)
    event = QueueEvent("F", "Work", 20, 1, 0.3, report_item_failures=False)
    with _running(SqsSource(event, cloud, consumer.invoke, io.StringIO()), cloud):
        pass

    assert [20, 10] == [len(batch) for batch in consumer.batches]


def test_messages_wait_in_the_queue_while_all_slots_are_taken(cloud: Cloud) -> None:
    """A message is received, and its visibility timeout begins, only when a batch can be worked on."""
    ended_ms = [0]

    def work(_: list[dict[str, Any]]) -> None:
        time.sleep(0.1)
        ended_ms.append(int(time.time() * 1000))

    consumer = Consumer(work)
    for number in range(3):
        cloud.client("sqs").send_message(QueueUrl=cloud.queue_url("Work"), MessageBody=str(number))
    event = QueueEvent("F", "Work", 1, 1, 0.0, report_item_failures=False)
    with _running(SqsSource(event, cloud, consumer.invoke, io.StringIO()), cloud):
        pass
    received_ms = [int(batch[0]["attributes"]["ApproximateFirstReceiveTimestamp"]) for batch in consumer.batches]

    assert all(ended <= received for ended, received in zip(ended_ms, received_ms, strict=False))
    assert 3 == len(received_ms)
