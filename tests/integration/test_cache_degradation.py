"""Every way the cache's parts can fail: a miss that says so, exact hits as ever, and never an error."""

import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from botocore.awsrequest import AWSResponse
from botocore.exceptions import ReadTimeoutError
from mypy_boto3_dynamodb import DynamoDBClient

from cache_lookup.app import lambda_handler as cache_lookup
from chat.app import lambda_handler as chat
from infer.app import lambda_handler as infer
from infra.local.vectors import lag_searches
from llm_router import bootstrap
from llm_router.adapters.dynamodb_cache import VECTOR_INDEX
from tests.builders import Context, body_of, http_event
from tests.integration.conftest import Cloud, Deploy
from tests.loading import load_event

QUESTION, REWORDED = "What is Python?", "what's Python"


def refuse(client: DynamoDBClient, operation: str, code: str) -> Callable[[], None]:
    """Let DynamoDB refuse an operation on the cache table, until the returned function is called."""

    def answer(params: Mapping[str, Any], **_: Any) -> object:
        if b"CacheTable" not in params["body"]:
            return None
        refusal = {"Error": {"Code": code, "Message": "no"}, "ResponseMetadata": {}}
        return AWSResponse(params["url"], 400, {}, None), refusal

    return interrupt(client, operation, answer)


def time_out(client: DynamoDBClient, operation: str) -> Callable[[], None]:
    """Let an operation on the cache table time out, until the returned function is called."""

    def answer(params: Mapping[str, Any], **_: Any) -> None:
        if b"CacheTable" in params["body"]:
            raise ReadTimeoutError(endpoint_url=params["url"])

    return interrupt(client, operation, answer)


def interrupt(client: DynamoDBClient, operation: str, answer: Callable[..., object]) -> Callable[[], None]:
    """Let `answer` speak in DynamoDB's place, after the SDK's retries, until the returned function is called."""
    event = f"before-call.dynamodb.{operation}"
    client.meta.events.register(event, answer)
    return lambda: client.meta.events.unregister(event, answer)


def drop_index(cloud: Cloud) -> None:
    """Delete the vector index."""
    cloud.dynamodb.update_table(TableName="CacheTable", VectorIndexUpdates=[{"Delete": {"IndexName": VECTOR_INDEX}}])


def write_foreign_entry(cloud: Cloud) -> None:
    """Make every entry one that another version of the router has written."""
    for item in cloud.dynamodb.scan(TableName="CacheTable")["Items"]:
        del item["input_tokens"]
        cloud.dynamodb.put_item(TableName="CacheTable", Item=item)


INDEX_TROUBLE: dict[str, Callable[[Cloud], object]] = {
    "missing": drop_index,
    "lagging": lambda _: lag_searches("CacheTable", 1),
    "throttled": lambda _: refuse(bootstrap.dynamodb(), "SearchVectors", "ThrottlingException"),
    "not allowed": lambda _: refuse(bootstrap.dynamodb(), "SearchVectors", "AccessDeniedException"),
    "timing out": lambda _: time_out(bootstrap.dynamodb(), "SearchVectors"),
}
TABLE_TROUBLE: dict[str, Callable[[Cloud], object]] = {
    "throttled": lambda _: refuse(bootstrap.dynamodb(), "GetItem", "ProvisionedThroughputExceededException"),
    "timing out": lambda _: time_out(bootstrap.dynamodb(), "GetItem"),
    "written by another version": write_foreign_entry,
}


def ask(message: str = QUESTION, **fields: Any) -> dict[str, Any]:
    """Ask for an answer."""
    response = chat(http_event("chat", {"message": message, **fields}), Context())
    assert response["statusCode"] in {200, 202}
    body: dict[str, Any] = body_of(response)
    return body


def look_up(message: str) -> dict[str, Any]:
    """Ask what the cache would answer."""
    response = cache_lookup(http_event("cache-lookup", {"message": message}), Context())
    assert response["statusCode"] == 200
    body: dict[str, Any] = body_of(response)
    return body


def counted(capsys: pytest.CaptureFixture[str]) -> list[str]:
    """Return the parts that the metric has counted since the last look."""
    lines = capsys.readouterr().out.splitlines()
    return [json.loads(line)["part"] for line in lines if '"CacheDegraded"' in line]


@pytest.mark.parametrize("trouble", INDEX_TROUBLE)
def test_index(cloud: Cloud, deploy: Deploy, capsys: pytest.CaptureFixture[str], trouble: str) -> None:
    """An index that does not answer makes a visible miss; the same words are served as ever."""
    deploy("ChatFunction", INFERENCE_MODE="inline")
    ask()
    INDEX_TROUBLE[trouble](cloud)
    reworded, same = ask(REWORDED), ask()

    assert (False, ["cache_index"]) == (reworded["was_cached"], reworded["degraded"])
    assert ("exact", []) == (same["cache_tier"], same["degraded"])
    assert ["cache_index"] == counted(capsys)


@pytest.mark.parametrize("trouble", INDEX_TROUBLE)
def test_index_in_a_look_up(cloud: Cloud, deploy: Deploy, capsys: pytest.CaptureFixture[str], trouble: str) -> None:
    """A look into the cache tells of an index that does not answer, and counts it, too."""
    deploy("ChatFunction", INFERENCE_MODE="inline")
    ask()
    deploy("CacheLookupFunction")
    INDEX_TROUBLE[trouble](cloud)
    reworded, same = look_up(REWORDED), look_up(QUESTION)

    assert (False, ["cache_index"]) == (reworded["hit"], reworded["degraded"])
    assert ("exact", []) == (same["cache_tier"], same["degraded"])
    assert ["cache_index"] == counted(capsys)


@pytest.mark.parametrize("trouble", TABLE_TROUBLE)
def test_table(cloud: Cloud, deploy: Deploy, capsys: pytest.CaptureFixture[str], trouble: str) -> None:
    """A table that cannot be read costs a generation and says so."""
    deploy("ChatFunction", INFERENCE_MODE="inline")
    ask()
    TABLE_TROUBLE[trouble](cloud)
    again = ask()

    assert (False, "succeeded", ["cache"]) == (again["was_cached"], again["status"], again["degraded"])
    assert ["cache"] == counted(capsys)


def test_embedder_in_a_look_up(deploy: Deploy, capsys: pytest.CaptureFixture[str]) -> None:
    """A look into the cache without the embedding model finds exact words only, says so, and counts it."""
    deploy("CacheLookupFunction", MODEL_DIR="/nowhere")
    found = look_up(REWORDED)

    assert (False, ["embedder", "classifier"]) == (found["hit"], found["degraded"])
    assert ["embedder", "classifier"] == counted(capsys)


def test_answer_that_cannot_be_stored(deploy: Deploy, capsys: pytest.CaptureFixture[str]) -> None:
    """An answer that the cache does not take reaches its caller, and is counted."""
    deploy("ChatFunction", INFERENCE_MODE="inline")
    heal = refuse(bootstrap.dynamodb(), "UpdateItem", "ThrottlingException")
    first = ask()
    heal()
    again = ask()

    assert ("succeeded", False) == (first["status"], again["was_cached"])
    assert ["cache_write"] == counted(capsys)


def test_answer_that_the_queue_cannot_store(deploy: Deploy, capsys: pytest.CaptureFixture[str]) -> None:
    """Such an answer is no reason to run its message again: its caller has it."""
    deploy("ChatFunction")
    job_id = ask(wait_seconds=0)["request_id"]
    deploy("InferFunction")
    (record,) = load_event("infer")["Records"]
    refuse(bootstrap.dynamodb(), "UpdateItem", "ThrottlingException")
    result = infer({"Records": [record | {"body": json.dumps({"job_id": job_id})}]}, Context())

    assert {"batchItemFailures": []} == result
    assert "succeeded" == bootstrap.job_store("JobTable", "UsageTable").get(job_id).status
    assert ["cache_write"] == counted(capsys)
