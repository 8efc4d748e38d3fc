"""The template's tables and queues on moto, inside the process."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import boto3
import pytest
from moto import mock_aws
from mypy_boto3_dynamodb import DynamoDBClient
from mypy_boto3_sqs import SQSClient

import aggregate_costs.app
import analytics.wiring
import authorize.app
import cache_lookup.wiring
import chat.wiring
import classify.wiring
import infer.wiring
import keys.wiring
import notify.wiring
import probe.app
import recompute.app
import route_batch.wiring
import status.wiring
import submit_batch.wiring
from infra.local.ollama_stand_in import OllamaStandIn
from infra.local.template import load_template
from infra.local.vectors import install
from llm_router import bootstrap
from tests.fakes import SettableClock

ROOT = Path(__file__).parents[2]
MODEL = ROOT / ".build" / "layers" / "EmbeddingLayer" / "model"
TEMPLATE = load_template(ROOT / "template.yaml", endpoint_url="https://sqs.us-east-1.amazonaws.com")

install()


@dataclass(frozen=True)
class Cloud:
    """Clients of the mocked account."""

    dynamodb: DynamoDBClient
    sqs: SQSClient

    def environment(self, function: str) -> Mapping[str, str]:
        """Return the environment that the template gives a function."""
        return TEMPLATE.functions[function].environment


@pytest.fixture
def cloud(clean_environ: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cloud]:
    """Create the template's tables and queues, empty."""
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with mock_aws():
        cloud = Cloud(boto3.client("dynamodb"), boto3.client("sqs"))
        for table in TEMPLATE.tables:
            properties = dict(table.properties)
            if "StreamSpecification" in properties:
                # CloudFormation switches a stream on by naming its view type; the API wants it said.
                properties["StreamSpecification"] = {"StreamEnabled": True} | properties["StreamSpecification"]
            cloud.dynamodb.create_table(TableName=table.name, **properties)
        for queue in TEMPLATE.queues:
            cloud.sqs.create_queue(QueueName=queue.name, Attributes=queue.attributes)
        yield cloud


@pytest.fixture
def clock() -> SettableClock:
    """Return a clock that stands still."""
    return SettableClock()


@pytest.fixture(scope="session")
def ollama() -> Iterator[OllamaStandIn]:
    """Serve Ollama's protocol."""
    with OllamaStandIn() as server:
        yield server


Deploy = Callable[..., None]


@pytest.fixture
def deploy(cloud: Cloud, ollama: OllamaStandIn, monkeypatch: pytest.MonkeyPatch) -> Iterator[Deploy]:
    """Return what gives this process the environment of a function, as a new Lambda environment would have it."""

    def deploy(function: str, **settings: str) -> None:
        usual = {"MODEL_DIR": str(MODEL), "OLLAMA_BASE_URL": ollama.base_url}
        declared = cloud.environment(function)
        for name, value in {
            **declared,
            **{name: usual[name] for name in usual if name in declared},
            **settings,
        }.items():
            monkeypatch.setenv(name, value)
        forget()

    yield deploy
    forget()


def forget() -> None:
    """Forget everything that was built once per environment."""
    for built in (
        bootstrap.dynamodb,
        bootstrap.sqs,
        bootstrap.events,
        bootstrap.tally,
        bootstrap.s3,
        bootstrap.secretsmanager,
        chat.wiring.pipeline,
        chat.wiring.settings,
        chat.wiring.keyed_requests,
        chat.wiring.limiter,
        cache_lookup.wiring.settings,
        cache_lookup.wiring.limiter,
        cache_lookup.wiring.inspector,
        cache_lookup.wiring.complaints,
        infer.wiring.settings,
        infer.wiring.runner,
        infer.wiring.scheduler,
        infer.wiring.lines,
        notify.wiring.completion,
        infer.wiring.shadows,
        aggregate_costs.app.rollups,
        analytics.wiring.reports,
        analytics.wiring.metrics,
        authorize.app.gatekeeper,
        recompute.app.recomputation,
        keys.wiring.registry,
        status.wiring.parts,
        probe.app.parts,
        route_batch.wiring.prompts,
        classify.wiring.settings,
        classify.wiring.limiter,
        classify.wiring.grading,
        submit_batch.wiring.settings,
        submit_batch.wiring.batches,
        submit_batch.wiring.intake,
        submit_batch.wiring.files,
        submit_batch.wiring.limiter,
        submit_batch.wiring.submission,
        submit_batch.wiring.results,
    ):
        built.cache_clear()


def other_day() -> str:
    """Return hours of the box on a day that is neither today nor next to it, anywhere."""
    return f"{datetime.fromtimestamp(bootstrap.now_ms() / 1000, UTC) + timedelta(days=3):%a} 07:00-19:00 UTC"
