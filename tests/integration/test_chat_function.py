"""The chat and infer functions over the template's tables and queues, a real embedding model and a real HTTP box."""

import json
from typing import Any

import pytest

from chat.app import lambda_handler as chat
from infer.app import MAX_RECEIVES
from infer.app import lambda_handler as infer
from infra.local.ollama_exchange import Behaviour, Fault
from infra.local.ollama_stand_in import OllamaStandIn
from llm_router import bootstrap
from llm_router.adapters.dynamodb_jobs import DynamoJobStore
from llm_router.models import JobStatus, Source
from llm_router.requests import OVERDUE_MS
from tests.builders import Context, body_of, http_event, make_job
from tests.fakes import SettableClock
from tests.integration.conftest import TEMPLATE, Cloud, Deploy, other_day
from tests.loading import load_event

ASYNC = {"message": "What is Python?", "wait_seconds": 0}
PATH = "/api/v1/requests/{}"
JOB_ID = load_event("request")["pathParameters"]["job_id"]


def ask(body: object) -> dict[str, Any]:
    """Post a chat request."""
    return chat(http_event("chat", body), Context())


def state_of(job_id: str, **request_context: Any) -> dict[str, Any]:
    """Ask where a request stands."""
    event = http_event("request", rawPath=PATH.format(job_id), pathParameters={"job_id": job_id})
    event["requestContext"] |= request_context
    return chat(event, Context())


def queued(cloud: Cloud) -> list[str]:
    """Take the messages off the inference queue."""
    url = cloud.environment("ChatFunction")["INFERENCE_QUEUE_URL"]
    messages = cloud.sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", [])
    return [message["Body"] for message in messages]


def message(*bodies: str) -> dict[str, Any]:
    """Return an SQS event with these bodies."""
    (record,) = load_event("infer")["Records"]
    return {"Records": [record | {"messageId": str(number), "body": body} for number, body in enumerate(bodies)]}


def job_message(job_id: str, *, received: int = 1) -> dict[str, Any]:
    """Return an SQS event for a job."""
    event = message(json.dumps({"job_id": job_id}))
    event["Records"][0]["attributes"]["ApproximateReceiveCount"] = str(received)
    return event


def store_of(clock: SettableClock | None = None) -> DynamoJobStore:
    """Return the job store, with the machine's clock unless a test has its own."""
    return DynamoJobStore(
        bootstrap.dynamodb(), job_table="JobTable", usage_table="UsageTable", clock=clock or bootstrap.now_ms
    )


def count_items(cloud: Cloud, table: str) -> int:
    """Count a table's items."""
    return cloud.dynamodb.scan(TableName=table)["Count"]


def test_the_whole_way(cloud: Cloud, deploy: Deploy) -> None:
    """A question is queued, run, and answered; its words come from the exact tier, its sense from the semantic one."""
    deploy("ChatFunction")
    accepted = ask(ASYNC)
    job_id = body_of(accepted)["request_id"]
    waiting = body_of(state_of(job_id))
    messages = queued(cloud)
    deploy("InferFunction")
    run = infer(message(*messages), Context())
    deploy("ChatFunction")
    done, again, reworded = state_of(job_id), ask(ASYNC), ask({"message": "what's Python"})

    assert (202, f"/api/v1/requests/{job_id}", "2") == (
        accepted["statusCode"],
        accepted["headers"]["Location"],
        accepted["headers"]["Retry-After"],
    )
    assert waiting.pop("waited_ms") >= body_of(accepted)["waited_ms"] >= 0
    assert {"request_id": job_id, "status": "queued", "arm": "default", "position": 0} == waiting
    assert [json.dumps({"job_id": job_id}, separators=(",", ":"))] == messages
    assert {"batchItemFailures": []} == run
    assert (200, "succeeded", False) == (done["statusCode"], body_of(done)["status"], body_of(done)["was_cached"])
    assert "ollama/tinyllama+stand-in" == body_of(done)["model_used"]
    assert ("exact", 1.0, 0) == (
        body_of(again)["cache_tier"],
        body_of(again)["cache_similarity"],
        body_of(again)["actual_cost"],
    )
    assert "semantic" == body_of(reworded)["cache_tier"]
    assert 0.85 <= body_of(reworded)["cache_similarity"] < 1
    assert body_of(done)["response"] == body_of(again)["response"] == body_of(reworded)["response"]
    assert 3 == count_items(cloud, "UsageTable")


def test_inline(deploy: Deploy) -> None:
    """With inline inference the answer is in the first response."""
    deploy("ChatFunction", INFERENCE_MODE="inline")
    response = ask({"message": "What is Python?"})

    assert (200, "succeeded", []) == (
        response["statusCode"],
        body_of(response)["status"],
        body_of(response)["degraded"],
    )


def test_direct_invoke(deploy: Deploy) -> None:
    """A direct invoke gets the bare answer."""
    deploy("ChatFunction", INFERENCE_MODE="inline")
    answer = chat(load_event("chat-invoke"), Context())

    assert ("succeeded", "simple") == (answer["status"], answer["complexity"])
    assert answer["response"]


def test_direct_invoke_with_little_time(deploy: Deploy) -> None:
    """A direct invoke keeps two seconds for its answer, however early that ends the wait for the job."""
    deploy("ChatFunction")
    reads: list[str] = []
    bootstrap.dynamodb().meta.events.register(
        "provide-client-params.dynamodb.GetItem", lambda params, **_: reads.append(str(params["Key"]))
    )
    answer = chat(load_event("chat-invoke"), Context(remaining_ms=2_000))

    assert "queued" == answer["status"]
    assert reads
    assert not [key for key in reads if answer["request_id"] in key]


def test_bad_direct_invoke(cloud: Cloud, deploy: Deploy) -> None:
    """A direct invoke with a field that is not known gets the error that HTTP would get, and nothing is stored."""
    deploy("ChatFunction")
    answer = chat({"message": "What is Python?", "colour": "red"}, Context())

    assert ("invalid_request", "colour") == (answer["error"]["code"], answer["error"]["field"])
    assert 0 == count_items(cloud, "JobTable")


def test_direct_invoke_with_half_a_character(deploy: Deploy) -> None:
    """Text that is no Unicode gets the error that HTTP would get, and is no failure of the function."""
    deploy("ChatFunction")
    answer = chat({"message": "What is \ud83d?"}, Context())

    assert ("malformed_body", "body") == (answer["error"]["code"], answer["error"]["field"])


def test_failing_model(deploy: Deploy, ollama: OllamaStandIn) -> None:
    """A box that breaks off in the middle makes an error of the one shape, with the status of its cause."""
    deploy("ChatFunction", INFERENCE_MODE="inline")
    ollama.next_behaviours.append(Behaviour(fault=Fault.CUT))
    response = ask({"message": "What is Python?"})
    error = body_of(response)["error"]

    assert (503, "model_unavailable") == (response["statusCode"], error["code"])
    assert "failed" == body_of(state_of(error["request_id"]))["status"]


def test_box_that_sleeps_without_a_cloud(cloud: Cloud, deploy: Deploy) -> None:
    """Outside of the hours of the box a question that the cache cannot answer is told when to come back."""
    deploy("ChatFunction", BOX_HOURS=other_day())
    response = ask(ASYNC)

    assert (503, "model_unavailable") == (response["statusCode"], body_of(response)["error"]["code"])
    assert 86_400 < int(response["headers"]["Retry-After"]) < 4 * 86_400
    assert ([], 0) == (queued(cloud), count_items(cloud, "JobTable"))


def test_box_that_sleeps_with_a_cloud(cloud: Cloud, deploy: Deploy) -> None:
    """Where there is a cloud it is asked at once."""
    api = {"CLOUD_MODEL": "gpt-4o-mini", "CLOUD_BASE_URL": "http://localhost:1/v1", "CLOUD_API_KEY_SECRET": "key"}
    deploy("ChatFunction", BOX_HOURS=other_day(), **api)
    accepted = ask(ASYNC)

    assert 202 == accepted["statusCode"]
    assert JobStatus.ESCALATED is store_of().get(body_of(accepted)["request_id"]).status
    assert [] == queued(cloud)


def test_question_that_waits_when_the_box_goes_to_sleep(deploy: Deploy, ollama: OllamaStandIn) -> None:
    """What is left in the queue when the hours of the box end is not asked of it, and ends with the reason."""
    deploy("ChatFunction")
    job_id = body_of(ask(ASYNC))["request_id"]
    asked = len(ollama.calls)
    deploy("InferFunction", BOX_HOURS=other_day())
    run = infer(job_message(job_id), Context())
    job = store_of().get(job_id)

    assert ({"batchItemFailures": []}, asked) == (run, len(ollama.calls))
    assert (JobStatus.FAILED, "model_unavailable") == (job.status, job.failure and job.failure.code)


def test_line_of_a_batch_waits_until_the_box_wakes(deploy: Deploy, ollama: OllamaStandIn) -> None:
    """What nobody waits for outlasts the night: its message comes back, and it stays as it is."""
    deploy("InferFunction", BOX_HOURS=other_day())
    asked = len(ollama.calls)
    store_of().open(make_job(JOB_ID, source=Source.SQS, created_at_ms=bootstrap.now_ms()))
    failures = infer(job_message(JOB_ID), Context())["batchItemFailures"]

    assert ([{"itemIdentifier": "0"}], asked) == (failures, len(ollama.calls))
    assert JobStatus.QUEUED is store_of().get(JOB_ID).status


def test_caller_who_does_not_wait(deploy: Deploy) -> None:
    """`Prefer: respond-async`, in any case and with other preferences, answers 202 at once."""
    deploy("ChatFunction")
    event = http_event("chat")
    event["headers"]["prefer"] = "handling=strict, Respond-Async"

    assert 202 == chat(event, Context())["statusCode"]


def test_request_that_another_call_cancelled(deploy: Deploy) -> None:
    """Who waits for a request, here by its idempotency key, while another call cancels it gets 409."""
    deploy("ChatFunction")
    event = http_event("chat", ASYNC)
    event["headers"]["idempotency-key"] = "one"
    job_id = body_of(chat(event, Context()))["request_id"]
    cancelled = chat(http_event("cancel", pathParameters={"job_id": job_id}, rawPath=PATH.format(job_id)), Context())
    waited = chat(event, Context())

    assert (200, 409) == (cancelled["statusCode"], waited["statusCode"])
    assert ("cancelled", job_id) == (body_of(waited)["error"]["code"], body_of(waited)["error"]["request_id"])


def test_other_tenant(deploy: Deploy) -> None:
    """A request of another tenant looks like one that does not exist."""
    deploy("ChatFunction")
    job_id = body_of(ask(ASYNC))["request_id"]
    theirs = state_of(job_id, authorizer={"lambda": {"tenant": "acme"}})
    unknown = state_of(JOB_ID, authorizer={"lambda": {"tenant": "acme"}})

    assert 404 == theirs["statusCode"] == unknown["statusCode"]
    assert body_of(theirs) == body_of(unknown)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ('{"message": ""}', 422),
        (json.dumps({"message": "x" * 32_001}), 422),
        ('{"message": "a", "colour": "red"}', 422),
        ('{"message": "a", "force_model": "gpt-4"}', 422),
        ("hello", 400),
        ("x" * 7_000_000, 413),
    ],
)
def test_bad_body(cloud: Cloud, deploy: Deploy, body: str, status: int) -> None:
    """A bad body is refused, and nothing reaches a table or the queue."""
    deploy("ChatFunction")
    response = ask(body)

    assert status == response["statusCode"]
    assert body_of(response)["error"]["field"]
    assert (0, []) == (count_items(cloud, "JobTable"), queued(cloud))


def test_without_embedding_model(deploy: Deploy, capsys: pytest.CaptureFixture[str]) -> None:
    """Without the model prompts are still answered and repeats served; response and metric say what is missing."""
    deploy("ChatFunction", INFERENCE_MODE="inline", MODEL_DIR="/nowhere")
    first, again = body_of(ask({"message": "What is Python?"})), body_of(ask({"message": "What is Python?"}))
    metrics = [json.loads(line) for line in capsys.readouterr().out.splitlines() if '"CacheDegraded"' in line]

    assert ["embedder", "classifier"] == first["degraded"]
    assert "exact" == again["cache_tier"]
    assert ["embedder", "classifier", "classifier"] == [metric["part"] for metric in metrics]


def test_missing_tables(cloud: Cloud, deploy: Deploy) -> None:
    """Without its tables the function answers 503 in the one shape."""
    deploy("ChatFunction")
    for table in cloud.dynamodb.list_tables()["TableNames"]:
        cloud.dynamodb.delete_table(TableName=table)
    response = ask(ASYNC)

    assert (503, "store_error") == (response["statusCode"], body_of(response)["error"]["code"])


def test_missing_queue(cloud: Cloud, deploy: Deploy) -> None:
    """Without its queue the function answers 503, and the next equal question does not wait for a dead flight."""
    deploy("ChatFunction")
    url = cloud.environment("ChatFunction")["INFERENCE_QUEUE_URL"]
    cloud.sqs.delete_queue(QueueUrl=url)
    refused = ask(ASYNC)
    cloud.sqs.create_queue(QueueName="InferenceQueue")
    accepted = ask(ASYNC)

    assert (503, 202) == (refused["statusCode"], accepted["statusCode"])
    assert 1 == len(queued(cloud))


def test_same_message_twice(cloud: Cloud, deploy: Deploy, ollama: OllamaStandIn) -> None:
    """A message that is delivered twice is one generation, one record and one cache entry."""
    deploy("InferFunction")
    store_of().open(make_job(JOB_ID))
    before = len(ollama.calls)
    runs = [infer(load_event("infer"), Context()) for _ in range(2)]

    assert [{"batchItemFailures": []}] * 2 == runs
    assert 1 == len(ollama.calls) - before
    assert [1, 1] == [count_items(cloud, table) for table in ("UsageTable", "CacheTable")]
    assert JobStatus.SUCCEEDED == store_of().get(JOB_ID).status


def test_shadow_through_the_handler(cloud: Cloud, deploy: Deploy, ollama: OllamaStandIn) -> None:
    """The same message twice is one shadow, which the worker runs after the answer, and caches nowhere."""
    deploy("InferFunction", SHADOW_MODEL="ollama/llama3.2", SHADOW_DAILY_LIMIT="5")
    store_of().open(make_job(JOB_ID, created_at_ms=bootstrap.now_ms()))
    before = len(ollama.calls)
    runs = [infer(load_event("infer"), Context(remaining_ms=890_000)) for _ in range(2)]
    shadow = store_of().get(f"shadow#{JOB_ID}")

    assert [{"batchItemFailures": []}] * 2 == runs
    assert ["tinyllama", "llama3.2"] == [call.model for call in ollama.calls[before:]]
    assert (JobStatus.SUCCEEDED, "shadow", "ollama/llama3.2") == (shadow.status, shadow.arm, shadow.model)
    assert [2, 1] == [count_items(cloud, table) for table in ("UsageTable", "CacheTable")]


@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_nobody_can_ask_for_a_shadow(deploy: Deploy, method: str) -> None:
    """A shadow is no request: its own tenant cannot look at it, cancel it, or report on it."""
    deploy("ChatFunction")
    name = f"shadow#{JOB_ID}"
    store_of().open_shadow(make_job(name, arm="shadow", flight=None), daily_limit=1)
    route = {"routeKey": f"{method} /api/v1/requests/{{job_id}}", "rawPath": PATH.format("shadow%23" + JOB_ID)}
    event = http_event("request", pathParameters={"job_id": name}, **route)
    event["requestContext"]["http"] |= {"method": method, "path": route["rawPath"]}

    assert 404 == chat(event, Context())["statusCode"]
    assert JobStatus.QUEUED is store_of().get(name).status


def test_message_of_an_expired_job(deploy: Deploy, ollama: OllamaStandIn) -> None:
    """A message that outlived its job is done with."""
    deploy("InferFunction")
    before = len(ollama.calls)
    store_of(SettableClock()).open(make_job(JOB_ID))  # in 2023

    assert {"batchItemFailures": []} == infer(load_event("infer"), Context())
    assert before == len(ollama.calls)


def test_job_in_other_hands(deploy: Deploy, ollama: OllamaStandIn) -> None:
    """A message for a job that another worker holds waits for its end, or for that of the worker's lease."""
    deploy("InferFunction")
    store_of().open(make_job(JOB_ID))
    store_of().start(JOB_ID, worker="other", lease_until_ms=bootstrap.now_ms() + 500)
    before = len(ollama.calls)

    assert {"batchItemFailures": []} == infer(load_event("infer"), Context())
    assert 1 == len(ollama.calls) - before
    assert JobStatus.SUCCEEDED == store_of().get(JOB_ID).status


def test_job_in_other_hands_until_the_end(deploy: Deploy, ollama: OllamaStandIn) -> None:
    """When the function's time ends before the other worker's lease, the message comes again."""
    deploy("InferFunction")
    store_of().open(make_job(JOB_ID))
    store_of().start(JOB_ID, worker="other", lease_until_ms=bootstrap.now_ms() + 60_000)
    before = len(ollama.calls)
    failures = infer(load_event("infer"), Context(remaining_ms=10_000))["batchItemFailures"]

    assert 1 == len(failures)
    assert before == len(ollama.calls)


@pytest.mark.parametrize("job_id", ["flight%23fingerprint", "flight#fingerprint", "req_1", "req_" + "g" * 32])
def test_what_is_no_request_id(deploy: Deploy, job_id: str) -> None:
    """Only what could be a request's id is looked up."""
    deploy("ChatFunction")
    store_of().open(make_job("req_1"))

    assert 404 == state_of(job_id)["statusCode"]


@pytest.mark.parametrize("body", ["not JSON", "{}", '{"job_id": 5}'])
def test_broken_message(deploy: Deploy, body: str) -> None:
    """A message that cannot be read is reported, for the dead-letter queue, and the others of its batch are run."""
    deploy("InferFunction")
    store_of().open(make_job("good"))

    assert {"batchItemFailures": [{"itemIdentifier": "0"}]} == infer(message(body, '{"job_id": "good"}'), Context())
    assert JobStatus.SUCCEEDED == store_of().get("good").status


def test_last_delivery(cloud: Cloud, deploy: Deploy) -> None:
    """A job that a table refuses waits for its next delivery, fails with a reason after the last, and stays redrivable.

    Every refusal is reported, so that the message ends in the dead-letter queue.
    """
    deploy("InferFunction")
    store_of().open(make_job(JOB_ID))
    (table,) = (table.properties for table in TEMPLATE.tables if table.name == "UsageTable")
    cloud.dynamodb.delete_table(TableName="UsageTable")
    reports, states = [], []
    for received in (1, MAX_RECEIVES - 1, MAX_RECEIVES):
        reports.append(infer(job_message(JOB_ID, received=received), Context()))
        states.append(store_of().get(JOB_ID).status)
    aside = store_of().get(JOB_ID).failure
    without_stream = {name: value for name, value in table.items() if name != "StreamSpecification"}
    cloud.dynamodb.create_table(TableName="UsageTable", **without_stream)

    assert [{"batchItemFailures": [{"itemIdentifier": "0"}]}] * 3 == reports
    assert [JobStatus.QUEUED, JobStatus.QUEUED, JobStatus.FAILED] == states
    assert "set_aside" == (aside and aside.code)
    assert [{"batchItemFailures": []}] * 2 == [infer(job_message(JOB_ID), Context()) for _ in range(2)]
    assert JobStatus.SUCCEEDED is store_of().get(JOB_ID).status
    assert 1 == count_items(cloud, "UsageTable")


def test_function_with_little_time(deploy: Deploy, capsys: pytest.CaptureFixture[str]) -> None:
    """A generation that could not be written down in time is not begun; the job fails, and is counted."""
    deploy("InferFunction")
    store_of().open(make_job(JOB_ID))
    infer(load_event("infer"), Context(remaining_ms=10_000))
    job = store_of().get(JOB_ID)

    assert "model_timeout" == (job.failure and job.failure.code)
    assert '"JobFailed"' in capsys.readouterr().out


def test_conversation_of_tenants(ollama: OllamaStandIn, deploy: Deploy) -> None:
    """A tenant's conversation goes on where it stands; another tenant's of the same name knows nothing of it."""
    deploy("ChatFunction", INFERENCE_MODE="inline")
    for tenant, question in (("acme", "What is a quince?"), ("acme", "How does it taste?"), ("other", "And raw?")):
        event = http_event("chat", {"message": question, "conversation_id": "fruit"})
        event["requestContext"]["authorizer"] = {"lambda": {"tenant": tenant}}

        assert 200 == chat(event, Context())["statusCode"]

    contents = [call.contents for call in ollama.calls[-3:]]

    assert [1, 3, 1] == [len(said) for said in contents]
    assert ["What is a quince?", "How does it taste?"] == contents[1][::2]


def test_conversation_that_is_stuck(cloud: Cloud, deploy: Deploy) -> None:
    """The next request of a conversation is refused while the last one has no worker, and gets that one going again."""
    deploy("ChatFunction")
    now_ms = bootstrap.now_ms()
    store_of().open(make_job(JOB_ID, "What is a plum?", created_at_ms=now_ms - OVERDUE_MS, flight=None))
    conversations = bootstrap.conversations("JobTable")
    with conversations.claimed(conversations.read("default", "fruit"), JOB_ID):
        pass
    refused = ask({"message": "And raw?", "conversation_id": "fruit"})

    assert (409, "conversation_id") == (refused["statusCode"], body_of(refused)["error"]["field"])
    assert [json.dumps({"job_id": JOB_ID}, separators=(",", ":"))] == queued(cloud)
