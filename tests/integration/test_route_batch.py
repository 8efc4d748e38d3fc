"""route_batch over the template's tables and queues, with a real embedding model, on its sample events."""

import json
from typing import Any

import pytest

from infer.app import lambda_handler as infer
from llm_router import bootstrap
from llm_router.batching.batches import Batch
from llm_router.models import JobStatus
from route_batch.app import lambda_handler as route_batch
from tests.builders import Context
from tests.integration.conftest import Cloud, Deploy
from tests.loading import load_event

BATCH = Batch(batch_id="batch_0f8fad5bd9cb469fa16570867728950e", tenant="default", created_at_ms=bootstrap.now_ms())


def received(cloud: Cloud, queue: str) -> list[dict[str, Any]]:
    """Take the messages off a queue."""
    url = cloud.sqs.get_queue_url(QueueName=queue)["QueueUrl"]
    page = cloud.sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, MessageAttributeNames=["All"])
    return [dict(message) for message in page.get("Messages", [])]


def job_ids(cloud: Cloud) -> list[str]:
    """Take the jobs that were dispatched."""
    return [json.loads(message["Body"])["job_id"] for message in received(cloud, "BatchJobQueue")]


def with_bodies(name: str, *bodies: str) -> dict[str, Any]:
    """Return a sample event with other messages."""
    record = load_event(name)["Records"][0]
    return {"Records": [record | {"messageId": str(number), "body": body} for number, body in enumerate(bodies)]}


def job_event(*ids: str) -> dict[str, Any]:
    """Return a message for each job, as the queue of batch jobs delivers it."""
    return with_bodies("infer-batch", *(json.dumps({"job_id": job_id}) for job_id in ids))


@pytest.fixture
def batch(deploy: Deploy) -> Batch:
    """Open a batch in the place of submit_batch."""
    deploy("RouteBatchFunction")
    bootstrap.batch_store("JobTable").open(BATCH)
    return BATCH


def test_lines_to_the_end(cloud: Cloud, deploy: Deploy, batch: Batch) -> None:
    """Lines of a batch are dispatched and answered, and what came of them is read in their order, each once."""
    events = [route_batch(load_event("route-line"), Context()) for _ in range(2)]
    dispatched = job_ids(cloud)
    deploy("InferFunction")
    for job_id in dispatched * 2:
        infer(job_event(job_id), Context(remaining_ms=890_000))
    results = bootstrap.batch_store("JobTable").results(batch.batch_id, first_line=1, count=3)

    assert [{"batchItemFailures": []}] * 2 == events
    assert 2 == len(dispatched)
    assert [("q-1", JobStatus.SUCCEEDED), ("q-2", JobStatus.SUCCEEDED), (None, None)] == [
        (result.custom_id, result.job and result.job.status) for result in results
    ]
    usages = cloud.dynamodb.scan(TableName="UsageTable")["Items"]
    assert [{"S": batch.batch_id}] * 2 == [item["batch_id"] for item in usages]


def test_plain_prompt(cloud: Cloud, deploy: Deploy) -> None:
    """A prompt that a service queued is dispatched for the default tenant, once, however often it comes."""
    deploy("RouteBatchFunction")
    events = [route_batch(load_event("route-prompt"), Context()) for _ in range(2)]
    (job_id,) = job_ids(cloud)
    job = bootstrap.job_store("JobTable", "UsageTable").get(job_id)

    assert [{"batchItemFailures": []}] * 2 == events
    assert ("default", "q-17", None) == (job.tenant, job.delivery.custom_id, job.delivery.batch_id)


def test_poison_among_prompts(cloud: Cloud, deploy: Deploy, caplog: pytest.LogCaptureFixture) -> None:
    """Poison is put aside with its reason, fails nothing and holds nobody up; no prompt gets into a log."""
    deploy("RouteBatchFunction")
    poison = {
        "no JSON: secret": "body: must be JSON in UTF-8",
        '{"message": "secret", "x": 1}': "x: is not a known field",
    }
    answer = route_batch(with_bodies("route-prompt", *poison, '{"message": "What is a tree?"}'), Context())
    aside = received(cloud, "PromptDeadLetterQueue")
    reasons = {message["Body"]: message["MessageAttributes"]["reason"]["StringValue"] for message in aside}

    assert {"batchItemFailures": []} == answer
    assert 1 == len(job_ids(cloud))
    assert poison == reasons
    assert "secret" not in caplog.text


def test_line_of_a_cancelled_batch(cloud: Cloud, batch: Batch) -> None:
    """Lines of a cancelled batch are cancelled at once, each with its record."""
    bootstrap.batch_store("JobTable").cancel(batch.batch_id, bootstrap.now_ms())
    route_batch(load_event("route-line"), Context())
    results = bootstrap.batch_store("JobTable").results(batch.batch_id, first_line=1, count=2)

    assert [JobStatus.CANCELLED] * 2 == [result.job.status for result in results if result.job]
    assert 2 == cloud.dynamodb.scan(TableName="UsageTable")["Count"]


def test_queue_that_refuses(cloud: Cloud, batch: Batch) -> None:
    """Where a job cannot be dispatched its message alone comes again, and the job is neither lost nor failed."""
    url = cloud.sqs.get_queue_url(QueueName="BatchJobQueue")["QueueUrl"]
    cloud.sqs.delete_queue(QueueUrl=url)
    answer = route_batch(load_event("route-line"), Context())
    results = bootstrap.batch_store("JobTable").results(batch.batch_id, first_line=1, count=2)

    failed = [record["messageId"] for record in load_event("route-line")["Records"]]
    assert failed == [item["itemIdentifier"] for item in answer["batchItemFailures"]]
    assert [JobStatus.QUEUED] * 2 == [result.job.status for result in results if result.job]
