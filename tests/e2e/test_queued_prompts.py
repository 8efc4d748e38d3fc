"""Prompts through queues on the whole stack: batches beside callers, twice, half-failed, killed, and without a box."""

import json
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from infra.local.ollama_exchange import Behaviour
from infra.local.ollama_stand_in import OllamaStandIn
from infra.local.twin import Twin
from llm_router import bootstrap
from llm_router.adapters.dynamodb_batches import DynamoBatchStore
from llm_router.adapters.dynamodb_rollups import DynamoRollupStore
from llm_router.adapters.sqs_prompts import SqsPromptQueue
from llm_router.batching.batches import Batch, PromptMessage, new_batch_id
from tests.e2e.conftest import TEMPLATE, Router, keyed_client
from tests.patience import eventually

REPLIES = "https://sqs.us-east-1.amazonaws.com/123456789012/replies-"
LANGUAGES = ("Python", "Rust", "Haskell", "Erlang", "Kotlin", "Fortran", "COBOL", "Prolog", "Scala", "Julia")
QUESTIONS = [f"What is {name}?" for name in LANGUAGES]


@pytest.fixture(scope="module")
def router(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Router]:
    """The stack with a queue for replies, and somebody who listens for ends."""
    log = (tmp_path_factory.mktemp("twin") / "functions.log").open("w")
    with (
        log,
        OllamaStandIn() as box,
        Twin(
            Path(TEMPLATE),
            parameters={"ReplyQueuePrefix": "replies-"},
            environment_overrides={"OLLAMA_BASE_URL": box.base_url},
            log=log,
        ) as twin,
        keyed_client(twin) as http,
    ):
        for name in ("replies-nightly", "listener"):
            twin.client("sqs").create_queue(QueueName=name)
        yield Router(twin, http, box)


@pytest.fixture(autouse=True)
def _quick_box(router: Router) -> None:
    router.box.behaviour = Behaviour()


class Submitted:
    """A batch whose lines were put into the queue, in the place of submit_batch."""

    def __init__(self, router: Router, questions: Sequence[str], *, times: int = 1) -> None:
        self.router, self.questions = router, questions
        twin = router.twin
        client = twin.client("dynamodb")
        self.store = DynamoBatchStore(client, job_table=twin.tables["JobTable"], clock=bootstrap.now_ms)
        self.rollups = DynamoRollupStore(client, twin.tables["RollupTable"], bootstrap.now_ms)
        self.batch_id = new_batch_id()
        self.store.open(Batch(batch_id=self.batch_id, tenant="default", created_at_ms=bootstrap.now_ms()))
        messages = [
            PromptMessage(message=question, batch_id=self.batch_id, line=line, custom_id=f"c{line}")
            for line, question in enumerate(questions, start=1)
        ]
        send = SqsPromptQueue(twin.client("sqs"), twin.queue_url("BatchQueue"))
        for _ in range(times):
            send(messages)
        self.store.note_input(self.batch_id, lines=len(questions), invalid=0, complete=True)

    def wait(self, *, seconds: float = 60) -> dict[str, int]:
        """Wait until every line is counted, and return the counters."""
        assert eventually(lambda: self._requests() >= len(self.questions), seconds=seconds), f"only {self._requests()}"
        return dict(self.rollups.batch(self.batch_id))

    def _requests(self) -> int:
        return self.rollups.batch(self.batch_id).get("requests", 0)

    def answers(self) -> list[str | None]:
        """Return the answers by line."""
        results = self.store.results(self.batch_id, first_line=1, count=len(self.questions))
        return [result.job.answer.text if result.job and result.job.answer else None for result in results]

    def usage(self) -> list[dict[str, Any]]:
        """Return the usage records of the batch."""
        items = self.router.twin.client("dynamodb").scan(TableName=self.router.twin.tables["UsageTable"])["Items"]
        return [item for item in items if item.get("batch_id", {}).get("S") == self.batch_id]


def received(router: Router, queue: str, *, count: int) -> list[dict[str, Any]]:
    """Take messages off a queue until there are so many."""
    sqs, url = router.twin.client("sqs"), f"{REPLIES.removesuffix('replies-')}{queue}"
    bodies: list[dict[str, Any]] = []
    give_up = time.monotonic() + 30
    while len(bodies) < count:
        assert time.monotonic() < give_up, bodies
        page = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", [])
        bodies += [json.loads(message["Body"]) for message in page]
        time.sleep(0.1)
    return bodies


def listen(router: Router) -> None:
    """Have ends of batches sent to a queue."""
    events = router.twin.client("events")
    events.put_rule(Name="ends", EventPattern='{"source": ["llm-router"]}')
    arn = "arn:aws:sqs:us-east-1:123456789012:listener"
    events.put_targets(Rule="ends", Targets=[{"Id": "1", "Arn": arn}])


def test_batch_beside_a_caller(router: Router) -> None:
    """A batch of repeats and rewordings, every message twice, is answered once for each question, after the caller."""
    listen(router)
    router.box.behaviour = Behaviour(token_delay_s=0.01)
    calls = len(router.box.calls)
    reworded = [f"what's {name}" for name in LANGUAGES]
    batch = Submitted(router, [*QUESTIONS, *QUESTIONS[:5], *reworded, *QUESTIONS[:5]], times=2)
    assert eventually(lambda: len(router.box.calls) >= calls + 3)
    address = router.accepted("Who was Ada Lovelace?")
    before = len(router.box.calls)
    router.wait_for(address, "succeeded")
    place = [call.contents[-1] for call in router.box.calls[before:]].index("Who was Ada Lovelace?")
    counted = batch.wait()
    router.twin.drain()
    usage = batch.usage()
    (end,) = received(router, "listener", count=1)

    assert place <= 2  # either of the two workers may have begun one in the very moment
    assert len(LANGUAGES) + 1 == len(router.box.calls) - calls
    assert (30, 30) == (counted["requests"], counted["succeeded_requests"])
    assert 30 == len(usage)
    for name in ("actual_nano_usd", "baseline_nano_usd"):
        assert sum(int(item[name]["N"]) for item in usage) == counted[name]
    answers = batch.answers()
    assert None not in answers
    assert answers[:5] == answers[10:15] == answers[25:]
    assert (batch.batch_id, 30, 0) == tuple(end["detail"][name] for name in ("batch_id", "succeeded", "failed"))


def test_plain_prompts_and_their_replies(router: Router) -> None:
    """A service that queues prompts gets each answer on its own queue, and the reason for what cannot be answered."""
    sqs, url = router.twin.client("sqs"), router.twin.queue_url("PromptQueue")
    for body in (
        {"message": "What is a hash table?", "custom_id": "good", "reply_to": f"{REPLIES}nightly"},
        {"message": "Hi", "custom_id": "bad", "force_model": "gpt-9", "reply_to": f"{REPLIES}nightly"},
        {"message": "Hi", "custom_id": "mean", "tenant": "acme"},
    ):
        sqs.send_message(QueueUrl=url, MessageBody=json.dumps(body))
    replies = {reply["custom_id"]: reply for reply in received(router, "replies-nightly", count=2)}
    aside = sqs.receive_message(
        QueueUrl=router.twin.queue_url("PromptDeadLetterQueue"), MaxNumberOfMessages=10, MessageAttributeNames=["All"]
    )["Messages"]

    assert ("succeeded", "refused") == (replies["good"]["status"], replies["bad"]["status"])
    assert "force_model" == replies["bad"]["error"]["field"]
    assert {"mean": "tenant: is not for this sender to say"} == {
        json.loads(message["Body"])["custom_id"]: message["MessageAttributes"]["reason"]["StringValue"]
        for message in aside
        if "tenant" in message["Body"]
    }


def test_cancelled_batch(router: Router) -> None:
    """What of a cancelled batch has not begun is cancelled, each line with its record."""
    router.box.behaviour = Behaviour(token_delay_s=0.05)
    calls = len(router.box.calls)
    batch = Submitted(router, [f"Explain the {name} compiler in detail" for name in LANGUAGES])
    assert eventually(lambda: len(router.box.calls) > calls)
    batch.store.cancel(batch.batch_id, bootstrap.now_ms())
    counted = batch.wait()

    assert len(LANGUAGES) == counted["requests"]
    assert counted["cancelled_requests"] >= len(LANGUAGES) - 3


def test_batch_waits_for_the_box(router: Router) -> None:
    """While the box is down no line fails; the batch goes on by itself when it is back."""
    status = router.twin.tables["StatusTable"]
    router.twin.client("dynamodb").put_item(
        TableName=status,
        Item={
            "name": {"S": "breaker#ollama"},
            "failures": {"N": "5"},
            "refused_until_ms": {"N": str(bootstrap.now_ms() + 5000)},
            "expires_at": {"N": str(bootstrap.now_ms() // 1000 + 3600)},
        },
    )
    calls = len(router.box.calls)
    batch = Submitted(router, [f"Name three users of {name}" for name in LANGUAGES[:3]])
    time.sleep(2.5)
    waited = len(router.box.calls)
    counted = batch.wait()

    assert calls == waited
    assert Counter({"requests": 3, "succeeded_requests": 3}) == Counter(
        {name: counted[name] for name in ("requests", "succeeded_requests")}
    )


def show_again_soon(router: Router, queue: str, *, seconds: int) -> None:
    """Hide a queue's messages for seconds instead of minutes, and none for good: a busy machine starts slowly."""
    sqs, url = router.twin.client("sqs"), router.twin.queue_url(queue)
    policy = json.loads(
        sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["RedrivePolicy"])["Attributes"]["RedrivePolicy"]
    )
    attributes = {"VisibilityTimeout": str(seconds), "RedrivePolicy": json.dumps(policy | {"maxReceiveCount": 1000})}
    sqs.set_queue_attributes(QueueUrl=url, Attributes=attributes)


def test_workers_that_are_killed(router: Router) -> None:
    """Functions that die at random, and messages that come twice, change nothing in what comes of a batch."""
    router.box.behaviour = Behaviour(token_delay_s=0.02)
    show_again_soon(router, "BatchQueue", seconds=90)  # until a job that was stored and not sent on is overdue
    show_again_soon(router, "BatchJobQueue", seconds=3)
    questions = [f"Describe the history of the {name} programming language" for name in LANGUAGES[:6]]
    batch = Submitted(router, questions, times=2)
    for function in ("RouteBatchFunction", "InferFunction", "RouteBatchFunction", "InferFunction"):
        time.sleep(0.7)
        router.twin.crash(function)
    router.box.behaviour = Behaviour()
    counted = batch.wait(seconds=300)

    assert {"requests": 6, "succeeded_requests": 6} == {
        name: counted[name] for name in ("requests", "succeeded_requests")
    }
    assert 6 == len(batch.usage())
    assert all(name in (answer or "") for name, answer in zip(LANGUAGES, batch.answers(), strict=False))
