"""A request that no attempt can finish: what its caller sees, where its message goes, and the redrive."""

import time

import httpx
import pytest

from tests.e2e.conftest import Router
from tests.e2e.test_faults import left_behind, record

QUESTION = "Describe the history of the compass"


@pytest.fixture(autouse=True)
def _impatient_queue(router: Router) -> None:
    """Hide a message for 2 s instead of 90 minutes, so that six deliveries are soon over."""
    router.twin.client("sqs").set_queue_attributes(
        QueueUrl=router.twin.queue_url("InferenceQueue"), Attributes={"VisibilityTimeout": "2"}
    )


def take_usage_table_away(router: Router) -> None:
    """Let every end of a request be refused: it is one transaction with its usage record."""
    router.twin.client("dynamodb").delete_table(TableName=router.twin.tables["UsageTable"])


def bring_usage_table_back(router: Router) -> None:
    """Mend the cause."""
    router.twin.client("dynamodb").create_table(
        TableName=router.twin.tables["UsageTable"],
        KeySchema=[{"AttributeName": "request_id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "request_id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )


def dead_letters(router: Router, *, count: int) -> list[str]:
    """Take messages out of the dead-letter queue, once there are so many."""
    sqs, url = router.twin.client("sqs"), router.twin.queue_url("InferenceDeadLetterQueue")
    bodies: list[str] = []
    give_up = time.monotonic() + 60
    while len(bodies) < count and time.monotonic() < give_up:
        for message in sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", []):
            bodies.append(message["Body"])
            sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        time.sleep(0.2)
    return bodies


def redrive(router: Router, bodies: list[str]) -> None:
    """Send messages anew, which is what StartMessageMoveTask does; moto does not have it."""
    for body in bodies:
        router.twin.client("sqs").send_message(QueueUrl=router.twin.queue_url("InferenceQueue"), MessageBody=body)


def test_redrive(router: Router) -> None:
    """A request fails with a reason and without a record, and a redrive answers it and who joined it, once each."""
    take_usage_table_away(router)
    address, joined = ask(router).headers["location"], router.accepted(QUESTION)
    seen = router.wait_for(address, "failed")
    refused = ask(router)
    (body,) = dead_letters(router, count=1)
    bring_usage_table_back(router)
    asked = len(router.box.calls)
    redrive(router, [body, body])
    answers = [router.wait_for(where, "succeeded") for where in (address, joined)]
    router.twin.drain()

    assert "set_aside" == seen["error"]["code"]
    assert "kept for the operator" in seen["error"]["message"]
    assert (503, seen["error"]) == (refused.status_code, refused.json()["error"])
    assert answers[0] == ask(router).json()
    assert answers[0]["response"] == answers[1]["response"]
    assert asked + 1 == len(router.box.calls)
    assert 2 == router.items("UsageTable")
    assert [False, True] == [record(router, answer["request_id"])["joined"]["BOOL"] for answer in answers]
    assert not left_behind(router)
    assert "exact" == router.answer(QUESTION)["cache_tier"]


def ask(router: Router) -> httpx.Response:
    """Ask the question, as one and the same request however often."""
    body = {"message": QUESTION, "wait_seconds": 0}
    return router.http.post("/api/v1/chat", json=body, headers={"Idempotency-Key": "compass"})
