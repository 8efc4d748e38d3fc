import json
from typing import Any

import pytest

from tests.integration.local.conftest import Sample
from tests.patience import eventually


def _receive(sample: Sample, queue: str) -> list[str]:
    answer = sample.twin.client("sqs").receive_message(
        QueueUrl=sample.twin.queue_url(queue), MaxNumberOfMessages=10, VisibilityTimeout=0
    )
    return [message["Body"] for message in answer.get("Messages", [])]


def _put(sample: Sample, *names: str, kind: str = "seen") -> None:
    requests: list[Any] = [
        {"Put": {"TableName": "ItemTable", "Item": {"id": {"S": name}, "kind": {"S": kind}}}} for name in names
    ]
    sample.twin.client("dynamodb").transact_write_items(TransactItems=requests)


def test_a_message_reaches_its_function_in_lambdas_shape(sample: Sample) -> None:
    """A queue message arrives with its attributes, and is gone from the queue afterwards."""
    sent = sample.twin.client("sqs").send_message(
        QueueUrl=sample.twin.queue_url("WorkQueue"),
        MessageBody="shape",
        MessageAttributes={
            "tenant": {"DataType": "String", "StringValue": "acme"},
            "raw": {"DataType": "Binary", "BinaryValue": b"\x00\x01"},
        },
    )
    sample.twin.drain()
    record = next(told["record"] for told in sample.told("work") if told["body"] == "shape")

    assert sent["MessageId"] == record["messageId"]
    assert sent["MD5OfMessageBody"] == record["md5OfBody"]
    assert "1" == record["attributes"]["ApproximateReceiveCount"]
    assert {"SenderId", "SentTimestamp", "ApproximateFirstReceiveTimestamp"} <= record["attributes"].keys()
    assert ("acme", "String") == (
        record["messageAttributes"]["tenant"]["stringValue"],
        record["messageAttributes"]["tenant"]["dataType"],
    )
    assert "AAE=" == record["messageAttributes"]["raw"]["binaryValue"]
    assert ("aws:sqs", "arn:aws:sqs:us-east-1:123456789012:WorkQueue", "us-east-1") == (
        record["eventSource"],
        record["eventSourceARN"],
        record["awsRegion"],
    )


def test_only_failed_messages_come_back_and_then_go_to_the_dead_letter_queue(sample: Sample) -> None:
    """Of a batch the reported messages reappear after the visibility timeout, at most maxReceiveCount times."""
    bodies = ["good", "fail once", "fail"]
    sample.twin.client("sqs").send_message_batch(
        QueueUrl=sample.twin.queue_url("WorkQueue"),
        Entries=[{"Id": str(index), "MessageBody": body} for index, body in enumerate(bodies)],
    )

    dead = eventually(lambda: _receive(sample, "DeadLetterQueue"))
    sample.twin.drain()
    received = {told["body"]: told["received"] for told in sample.told("work") if told["body"] in bodies}

    assert ["fail"] == dead
    assert {"good": 1, "fail once": 2} == received


def test_no_more_batches_are_at_work_than_maximum_concurrency(sample: Sample) -> None:
    """With MaximumConcurrency 2 and batches of one, never three messages are worked on at once."""
    for number in range(6):
        sample.twin.client("sqs").send_message(QueueUrl=sample.twin.queue_url("SlowQueue"), MessageBody=str(number))
    sample.twin.drain()
    spans = sample.told("slow")
    at_once = [sum(other["begun"] <= span["begun"] < other["ended"] for other in spans) for span in spans]

    assert [1] * 6 == [span["messages"] for span in spans]
    assert max(at_once) <= 2


def test_stream_records_arrive_in_order_and_in_lambdas_shape(sample: Sample) -> None:
    """Records reach the function in the order of the writes, with key, image, sequence number and a number as time."""
    expected = [f"order-{number}" for number in range(12)]
    for name in expected:
        _put(sample, name)
    sample.twin.drain()
    told = [told for told in sample.told("raising") if told["names"][0].startswith("order")]
    record = told[0]["records"][0]

    assert expected == [name for each in told for name in each["names"]]
    assert {"id": {"S": "order-0"}, "kind": {"S": "seen"}} == record["dynamodb"]["NewImage"]
    assert {"id": {"S": "order-0"}} == record["dynamodb"]["Keys"]
    assert ("INSERT", "aws:dynamodb", "1.1", "NEW_IMAGE") == (
        record["eventName"],
        record["eventSource"],
        record["eventVersion"],
        record["dynamodb"]["StreamViewType"],
    )
    assert isinstance(record["dynamodb"]["ApproximateCreationDateTime"], float)
    assert record["dynamodb"]["SequenceNumber"].isdigit()
    assert record["eventSourceARN"].startswith("arn:aws:dynamodb:us-east-1:123456789012:table/ItemTable/stream/")


def test_a_poisoned_record_is_found_by_halving_and_given_up(sample: Sample) -> None:
    """A record that always raises is retried, reported to the on-failure queue, and holds up nothing else."""
    _put(sample, "before", "poison", "after")
    sample.twin.drain()
    delivered = [name for told in sample.told("raising") for name in told["names"]]
    reports = [json.loads(body) for body in _receive(sample, "GivenUpQueue")]

    assert ["before", "after"] == [name for name in delivered if name in {"before", "poison", "after"}]
    assert [1] == [report["DDBStreamBatchInfo"]["batchSize"] for report in reports]
    assert ("RetryAttemptsExhausted", 2) == (
        reports[0]["requestContext"]["condition"],
        reports[0]["requestContext"]["approximateInvokeCount"],
    )
    assert "poison" not in json.dumps(reports)


def test_a_reported_record_is_where_the_stream_goes_on(sample: Sample) -> None:
    """Records before the reported one are not delivered again, it and the later ones are."""
    _put(sample, "one", "stumble", "three")
    sample.twin.drain()
    delivered = [name for told in sample.told("reporting") for name in told["names"]]

    assert ["one", "stumble", "three"] == [name for name in delivered if name in {"one", "stumble", "three"}]


def test_filtered_records_do_not_reach_the_function(sample: Sample) -> None:
    """Only inserts of the right kind pass the filter."""
    _put(sample, "hidden", kind="other")
    _put(sample, "shown")
    _put(sample, "shown")
    sample.twin.drain()
    delivered = [name for told in sample.told("reporting") for name in told["names"]]

    assert ["shown"] == [name for name in delivered if name in {"hidden", "shown"}]


def test_a_schedule_fires_at_the_start(sample: Sample) -> None:
    """The first event of a rate comes at once, in EventBridge's shape."""
    sample.twin.drain()
    (event,) = sample.told("tick")

    assert ("Scheduled Event", "aws.events", {}) == (event["detail-type"], event["source"], event["detail"])
    assert ["arn:aws:events:us-east-1:123456789012:rule/TickFunctionTick"] == event["resources"]


def test_drain_says_what_is_still_under_way(sample: Sample) -> None:
    """A drain that takes too long names what it waits for."""
    sample.twin.client("sqs").send_message(QueueUrl=sample.twin.queue_url("SlowQueue"), MessageBody="last")

    with pytest.raises(TimeoutError, match="SlowQueue -> SlowFunction"):
        sample.twin.drain(timeout_seconds=0.01)
