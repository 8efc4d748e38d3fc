"""The handler that runs escalated jobs, over moto's tables and secrets and a stand-in for the cloud."""

from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from msgspec.structs import replace

from infer_cloud import wiring
from infer_cloud.app import lambda_handler
from infra.local.openai_exchange import Behaviour, Fault
from infra.local.openai_stand_in import OpenAIStandIn
from infra.local.template import load_template
from llm_router import bootstrap
from llm_router.errors import ConfigError
from llm_router.models import JobStatus, Spent, Target
from tests.builders import Context, make_job
from tests.integration.conftest import ROOT, Cloud
from tests.loading import load_event

KEY = "sk-of-the-cloud"
SECRET = "the-cloud-s-key"
MODEL = "gpt-4o-mini"
SPENT = Spent(busy_ms=30, actual_nano_usd=3000)
FALLBACK = Target(model=f"cloud/{MODEL}", namespace="ns-cloud", max_tokens=64)


@pytest.fixture(name="api")
def cloud_api() -> Iterator[OpenAIStandIn]:
    """Serve a cloud."""
    with OpenAIStandIn(api_key=KEY, model=MODEL) as server:
        yield server


@pytest.fixture(autouse=True)
def _deployed(cloud: Cloud, api: OpenAIStandIn, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Give this process the environment that the template gives the function."""
    parameters = {"CloudModel": MODEL, "CloudBaseUrl": api.base_url, "CloudApiKeySecretArn": SECRET}
    template = load_template(ROOT / "template.yaml", endpoint_url="https://sqs.example", parameters=parameters)
    for name, value in template.functions["InferCloudFunction"].environment.items():
        monkeypatch.setenv(name, value)
    forget()
    boto3.client("secretsmanager").create_secret(Name=SECRET, SecretString=f"{KEY}\n")
    yield
    forget()


def forget() -> None:
    """Forget everything that was built once per environment."""
    for built in (bootstrap.dynamodb, bootstrap.secretsmanager, wiring.runner):
        built.cache_clear()


def escalated(job_id: str = "req_1", **fields: Any) -> dict[str, Any]:
    """Store a job that was left to the cloud after 30 ms of the box, and return the event of its stream record."""
    job = make_job(job_id, created_at_ms=bootstrap.now_ms(), fallbacks=(FALLBACK,), **fields)
    store().open(job)
    store().escalate(replace(job, spent=SPENT))
    event = load_event("infer-cloud")
    event["Records"][0]["dynamodb"]["Keys"]["job_id"]["S"] = job_id
    return event


def store() -> Any:
    """Return the job table."""
    return bootstrap.job_store("JobTable", "UsageTable")


def test_escalated_job_is_answered(cloud: Cloud, api: OpenAIStandIn) -> None:
    """The job has the cloud's answer, which costs its tokens beside what the box took, and is kept under its name."""
    event = escalated()

    assert {"batchItemFailures": []} == lambda_handler(event, Context())
    answer = store().get("req_1").answer
    assert (FALLBACK.model, 30, 3000 + answer.input_tokens * 150 + answer.output_tokens * 600) == (
        answer.fallback,
        answer.busy_ms,
        answer.actual_nano_usd,
    )
    assert [64] == [call.max_tokens for call in api.calls]
    assert ["ns-cloud"] == [item["namespace"]["S"] for item in cloud.dynamodb.scan(TableName="CacheTable")["Items"]]


def test_record_that_comes_again(api: OpenAIStandIn) -> None:
    """A record that comes again, after the end or while another worker is at it, is taken and changes nothing."""
    event, running = escalated(), escalated("req_2", flight=None)
    store().start("req_2", worker="w", lease_until_ms=bootstrap.now_ms() + 60_000, in_cloud=True)
    results = [lambda_handler(each, Context()) for each in (event, event, running)]

    assert [{"batchItemFailures": []}] * 3 == results
    assert 1 == len(api.calls)
    assert JobStatus.RUNNING is store().get("req_2").status


def test_job_that_has_expired(api: OpenAIStandIn) -> None:
    """A record whose job is gone is taken, and nobody is asked."""
    event = load_event("infer-cloud")

    assert {"batchItemFailures": []} == lambda_handler(event, Context())
    assert [] == api.calls


def test_cloud_that_fails(api: OpenAIStandIn, capsys: pytest.CaptureFixture[str]) -> None:
    """A job that the cloud does not answer has failed with its reason, and is counted; its record is done with."""
    api.behaviour = Behaviour(fault=Fault.CUT)
    result = lambda_handler(escalated(), Context())
    job = store().get("req_1")

    assert ({"batchItemFailures": []}, JobStatus.FAILED) == (result, job.status)
    assert job.failure.actual_nano_usd > SPENT.actual_nano_usd
    assert "JobFailed" in capsys.readouterr().out


def test_table_that_fails(cloud: Cloud) -> None:
    """A record whose job cannot be read is reported, so that it comes again."""
    event = escalated()
    cloud.dynamodb.delete_table(TableName="JobTable")

    assert [{"itemIdentifier": "4421584500000000017450439092"}] == lambda_handler(event, Context())["batchItemFailures"]


@pytest.mark.parametrize("trouble", ["gone", "wrong"])
def test_key_that_does_not_open(trouble: str, api: OpenAIStandIn) -> None:
    """Without a key that the cloud accepts the job fails and says so; the key is in no message."""
    secrets = boto3.client("secretsmanager")
    if trouble == "gone":
        secrets.delete_secret(SecretId=SECRET, ForceDeleteWithoutRecovery=True)
    else:
        secrets.put_secret_value(SecretId=SECRET, SecretString="sk-wrong")
    lambda_handler(escalated(), Context())
    message = store().get("req_1").failure.message

    assert {
        "gone": "The key of the cloud API cannot be read.",
        "wrong": "The cloud API does not accept the router's key.",
    }[trouble] == message
    assert [] == api.calls


def test_model_without_a_price(monkeypatch: pytest.MonkeyPatch) -> None:
    """A model whose answers could not be billed ends the function before it asks."""
    monkeypatch.setenv("CLOUD_MODEL", "gpt-99")
    with pytest.raises(ConfigError, match="no list price is known for 'gpt-99'"):
        wiring.runner()
