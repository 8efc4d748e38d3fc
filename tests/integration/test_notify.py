"""notify over the template's tables and queues, on its sample events."""

import json

import boto3
import pytest

from llm_router import bootstrap
from llm_router.accounting.rollups import usage_event
from llm_router.batching.batches import Batch
from notify.app import lambda_handler as notify
from tests.builders import Context, make_usage
from tests.integration.conftest import Cloud, Deploy
from tests.loading import load_event

BATCH = Batch(batch_id="batch_0f8fad5bd9cb469fa16570867728950e", tenant="default", created_at_ms=bootstrap.now_ms())


def test_reply_is_sent(cloud: Cloud, deploy: Deploy) -> None:
    """The end of a request goes to the queue that its message named."""
    deploy("NotifyFunction")
    url = cloud.sqs.create_queue(QueueName="llm-replies-nightly")["QueueUrl"]
    answer = notify(load_event("notify-end"), Context())
    (message,) = cloud.sqs.receive_message(QueueUrl=url)["Messages"]

    assert {"batchItemFailures": []} == answer
    assert {
        "request_id": "req_0f8fad5bd9cb469fa16570867728950e",
        "custom_id": "q-17",
        "status": "succeeded",
        "response": "A tree whose nodes have two children at most.",
        "model_used": "ollama/tinyllama",
        "was_cached": False,
        "actual_cost": 0.00003625,
        "baseline_cost": 0.00135,
    } == json.loads(message["Body"])


def test_reply_queue_that_is_gone(deploy: Deploy) -> None:
    """A reply that its queue does not take is reported, and comes again."""
    deploy("NotifyFunction")
    (record,) = load_event("notify-end")["Records"]
    number = record["dynamodb"]["SequenceNumber"]

    assert {"batchItemFailures": [{"itemIdentifier": number}]} == notify(load_event("notify-end"), Context())


def test_request_that_is_set_aside(cloud: Cloud, deploy: Deploy) -> None:
    """A request that the operator may still redrive has no end to tell of."""
    deploy("NotifyFunction")
    url = cloud.sqs.create_queue(QueueName="llm-replies-nightly")["QueueUrl"]
    event = load_event("notify-end")
    image = event["Records"][0]["dynamodb"]["NewImage"]
    del image["answer"]
    image |= {"status": {"S": "failed"}, "failure": {"S": '{"code": "set_aside", "message": "kept"}'}}
    notify(event, Context())

    assert "Messages" not in cloud.sqs.receive_message(QueueUrl=url)


@pytest.mark.parametrize("times", [1, 2])
def test_end_of_a_batch_is_announced(cloud: Cloud, deploy: Deploy, times: int) -> None:
    """Whoever has a rule for it hears once that a batch has ended, though its counters change more often."""
    deploy("NotifyFunction")
    url = cloud.sqs.create_queue(QueueName="listener")["QueueUrl"]
    events = boto3.client("events")
    events.put_rule(Name="ends", EventPattern='{"source": ["llm-router"], "detail-type": ["Batch Completed"]}')
    arn = "arn:aws:sqs:us-east-1:123456789012:listener"
    events.put_targets(Rule="ends", Targets=[{"Id": "1", "Arn": arn}])
    store = bootstrap.batch_store("JobTable")
    store.open(BATCH)
    store.note_input(BATCH.batch_id, lines=1, invalid=0, complete=True)
    bootstrap.rollup_store("RollupTable").add([usage_event(make_usage(batch_id=BATCH.batch_id))])
    answers = [notify(load_event("notify-count"), Context()) for _ in range(times)]
    (message,) = cloud.sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10)["Messages"]

    assert [{"batchItemFailures": []}] * times == answers
    assert (BATCH.batch_id, 1, 1) == tuple(
        json.loads(message["Body"])["detail"][name] for name in ("batch_id", "lines", "succeeded")
    )
