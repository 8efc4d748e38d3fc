"""The composition root: builds what each function needs, once per environment, out of its settings."""

import random
import time
import uuid
from functools import lru_cache
from typing import TYPE_CHECKING

import boto3
import msgspec
from botocore.config import Config

from llm_router.access.allowances import Allowances
from llm_router.access.limits import BudgetAlert
from llm_router.access.rate_limiting import RateLimiter
from llm_router.access.worst_case import WorstCase
from llm_router.accounting.prices import price_book
from llm_router.accounting.tally import Tally
from llm_router.adapters.capacity import meter
from llm_router.adapters.dynamodb_allowances import DynamoAllowanceStore
from llm_router.adapters.dynamodb_batches import DynamoBatchStore
from llm_router.adapters.dynamodb_box_hours import DynamoBoxHours
from llm_router.adapters.dynamodb_cache import DynamoCacheStore
from llm_router.adapters.dynamodb_conversations import DynamoConversationStore
from llm_router.adapters.dynamodb_feedback import DynamoFeedbackStore
from llm_router.adapters.dynamodb_idempotency import DynamoIdempotencyStore
from llm_router.adapters.dynamodb_job_reader import DynamoJobReader
from llm_router.adapters.dynamodb_jobs import DynamoJobStore
from llm_router.adapters.dynamodb_keys import DynamoKeyStore
from llm_router.adapters.dynamodb_limits import DynamoLimitStore
from llm_router.adapters.dynamodb_rollups import DynamoRollupStore
from llm_router.adapters.dynamodb_status import DynamoStatusStore
from llm_router.adapters.dynamodb_usage import DynamoUsageStore
from llm_router.adapters.secrets import Secret
from llm_router.adapters.sqs import SqsInferenceQueue
from llm_router.box_schedule import BoxSchedule
from llm_router.breaker import Breaker, GuardedModel, SleepingBreaker
from llm_router.classification import LearnedClassifier, RuleClassifier
from llm_router.conversations import Conversations
from llm_router.costs import Costs
from llm_router.errors import EmbeddingError, StoreError
from llm_router.heartbeat import LeaseKeeper
from llm_router.inference import InferenceRunner
from llm_router.jobs import utc_day
from llm_router.metering import BoxMeter, CloudMeter
from llm_router.models import Lane, new_request_id
from llm_router.observability import Metric, count, count_degraded, logger
from llm_router.pipeline import Pipeline
from llm_router.remembering import RememberingEmbedder
from llm_router.requests import Requests
from llm_router.retrying import RetryingModel, RetryPolicy
from llm_router.routing import Router
from llm_router.semantic_cache import SemanticCache
from llm_router.settings import (
    BoxSettings,
    CacheSettings,
    ChatSettings,
    EmbeddingSettings,
    GradingSettings,
    InferCloudSettings,
    InferSettings,
    PipelineSettings,
    RunnerSettings,
    environment,
    memory_mb,
)
from llm_router.stored_answers import StoredAnswers
from llm_router.unavailable import UnavailableEmbedder
from llm_router.verification import PairVerifier

if TYPE_CHECKING:
    from collections.abc import Callable

    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_events import EventBridgeClient
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_secretsmanager import SecretsManagerClient
    from mypy_boto3_sqs import SQSClient

    from llm_router.accounting.prices import ListPrice
    from llm_router.adapters.ollama import OllamaClient
    from llm_router.metering import Meter
    from llm_router.models import Job
    from llm_router.ports import Classifier, Dispatch, Embedder, LanguageModel

_AWS_CONFIG = Config(connect_timeout=2, read_timeout=5, retries={"mode": "standard", "max_attempts": 3})
PROBE_LEASE_MS = 900_000
"""As long as `infer` may run: one probe of a box that is down must have reported before the next is let through."""
CLOUD_PROBE_LEASE_MS = 300_000
"""As long as `infer_cloud` may run, likewise."""
INLINE_LIMIT_MS = 280_000
"""How long inline inference may take: a complex answer from a small box."""


def now_ms() -> int:
    """Return milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


def today() -> str:
    """Return the UTC day, `YYYY-MM-DD`."""
    return utc_day(now_ms())


@lru_cache
def dynamodb() -> "DynamoDBClient":
    """Return the one DynamoDB client of this environment, which tells the tally what its calls consume."""
    client = boto3.client("dynamodb", config=_AWS_CONFIG)
    meter(client, tally())
    return client


@lru_cache
def tally() -> Tally:
    """Return what adds up what this environment uses."""
    return Tally(memory_mb(environment()), time.monotonic_ns)


@lru_cache
def sqs() -> "SQSClient":
    """Return the one SQS client of this environment."""
    return boto3.client("sqs", config=_AWS_CONFIG)


@lru_cache
def s3() -> "S3Client":
    """Return the one S3 client of this environment."""
    return boto3.client("s3", config=_AWS_CONFIG)


@lru_cache
def events() -> "EventBridgeClient":
    """Return the one EventBridge client of this environment."""
    return boto3.client("events", config=_AWS_CONFIG)


@lru_cache
def secretsmanager() -> "SecretsManagerClient":
    """Return the one Secrets Manager client of this environment."""
    return boto3.client("secretsmanager", config=_AWS_CONFIG)


def ollama(settings: BoxSettings) -> "OllamaClient":
    """Return a client of the box."""
    # Only functions that talk to the box pay for importing httpx.
    from llm_router.adapters.ollama import OllamaClient  # noqa: PLC0415

    secret = Secret(secretsmanager(), settings.ollama_secret) if settings.ollama_secret else None
    return OllamaClient(settings.ollama_base_url, clock=now_ms, secret=secret)


def breaker(status_table: str, server: str = "ollama", *, probe_lease_ms: int = PROBE_LEASE_MS) -> "Breaker":
    """Return the circuit breaker of a server, `ollama` or `cloud`, which all functions share."""
    from llm_router.adapters.circuit_breaker import DynamoBreaker  # noqa: PLC0415 - only who asks a model needs it

    return DynamoBreaker(dynamodb(), status_table, server=server, clock=now_ms, probe_lease_ms=probe_lease_ms)


def box_breaker(status_table: str, hours: str) -> "Breaker":
    """Return the circuit breaker of the box, which is open outside of the hours that it keeps, too."""
    circuit, schedule = breaker(status_table), BoxSchedule.parse(hours)
    return circuit if schedule is None else SleepingBreaker(breaker=circuit, schedule=schedule, clock=now_ms)


def guarded(model: "LanguageModel", circuit: "Breaker") -> "LanguageModel":
    """Return a model behind its circuit breaker, asked again where that can help."""
    guarded_model = GuardedModel(
        model=model,
        breaker=circuit,
        on_store_error=lambda error: logger().warning("breaker failed", exc_info=error),
    )
    return RetryingModel(
        model=guarded_model, policy=RetryPolicy(), clock=now_ms, sleep=time.sleep, random=random.random
    )


def embedder(settings: EmbeddingSettings) -> "Embedder":
    """Open the embedding model."""
    # Only functions with the embedding layer have onnxruntime.
    from llm_router.adapters.onnx_embedder import OnnxEmbedder, version_in  # noqa: PLC0415

    try:
        return OnnxEmbedder(settings.model_dir)
    except EmbeddingError as error:
        return UnavailableEmbedder(error, version_in(settings.model_dir))


def classifier(settings: GradingSettings, vectors: "Embedder") -> "Classifier":
    """Return the grader that the settings choose."""
    if settings.classifier == "rules":
        return RuleClassifier()
    return LearnedClassifier(vectors.embed, bias=settings.routing_bias)


def semantic_cache(settings: CacheSettings, vectors: "Embedder") -> SemanticCache:
    """Build the cache over its table and the embedding model."""
    return SemanticCache(
        cache_store(settings.cache_table),
        vectors,
        threshold=settings.cache_similarity_threshold,
        clock=now_ms,
        verifier=PairVerifier(),
    )


def cache_store(table: str) -> DynamoCacheStore:
    """Return the cache's table."""
    return DynamoCacheStore(dynamodb(), table)


def stored_answers(table: str, threshold: float) -> StoredAnswers:
    """Return a look at the cache that is given up soon where its index cannot be reached."""
    quick = Config(connect_timeout=1, read_timeout=2, retries={"mode": "standard", "total_max_attempts": 1})
    client = boto3.client("dynamodb", config=quick)
    meter(client, tally())
    return StoredAnswers(DynamoCacheStore(client, table), threshold=threshold, clock=now_ms, verifier=PairVerifier())


def feedback_store(cache_table: str, usage_table: str) -> DynamoFeedbackStore:
    """Return what was said of answers, in the cache table, counted in the usage table."""
    return DynamoFeedbackStore(dynamodb(), cache_table=cache_table, usage_table=usage_table)


def job_store(job_table: str, usage_table: str) -> DynamoJobStore:
    """Return the job and usage tables."""
    return DynamoJobStore(dynamodb(), job_table=job_table, usage_table=usage_table, clock=now_ms)


def batch_store(job_table: str) -> DynamoBatchStore:
    """Return the batches in the job table."""
    return DynamoBatchStore(dynamodb(), job_table=job_table, clock=now_ms)


def idempotency_store(job_table: str) -> DynamoIdempotencyStore:
    """Return the keys in the job table."""
    return DynamoIdempotencyStore(dynamodb(), job_table=job_table, clock=now_ms)


def conversations(job_table: str, look: "Callable[[str], Job] | None" = None) -> Conversations:
    """Return the conversations in the job table; `look` reads a request, and by default does nothing else."""
    reader = DynamoJobReader(dynamodb(), job_table=job_table, clock=now_ms)
    store = DynamoConversationStore(dynamodb(), job_table=job_table, clock=now_ms)
    return Conversations(store, look or reader.get, now_ms)


def rollup_store(table: str, *, limit_table: str = "", consistent: bool = False) -> DynamoRollupStore:
    """Return the rollup table, and that of the limits for whoever counts records."""
    return DynamoRollupStore(dynamodb(), table, now_ms, limit_table=limit_table, consistent=consistent)


def usage_store(table: str) -> DynamoUsageStore:
    """Return what reads the usage table."""
    return DynamoUsageStore(dynamodb(), table)


def inference_queue(url: str) -> SqsInferenceQueue:
    """Return the queue that `infer` reads."""
    return SqsInferenceQueue(sqs(), url)


def box_hours(rollup_table: str) -> DynamoBoxHours:
    """Return the box's hours in the rollup table."""
    return DynamoBoxHours(dynamodb(), rollup_table)


def status_store(table: str) -> DynamoStatusStore:
    """Return the status table."""
    return DynamoStatusStore(dynamodb(), table)


def key_store(table: str) -> DynamoKeyStore:
    """Return the key table."""
    return DynamoKeyStore(dynamodb(), table)


def rate_limiter(limit_table: str) -> RateLimiter:
    """Return what counts the requests of keys."""
    return RateLimiter(
        store=DynamoLimitStore(dynamodb(), limit_table), clock=now_ms, on_store_error=_request_not_counted
    )


def allowances(settings: PipelineSettings, costs: Costs) -> Allowances:
    """Return what requests take of keys while they are on their way."""
    return Allowances(
        store=DynamoAllowanceStore(dynamodb(), settings.limit_table),
        worst_case=WorstCase(statuses=status_store(settings.status_table), costs=costs),
        clock=now_ms,
        announce=_announce_low_budget,
        on_store_error=_request_not_counted,
    )


def _announce_low_budget(alert: BudgetAlert) -> None:
    from llm_router.adapters.eventbridge import put_event  # noqa: PLC0415 - hardly anybody needs it

    put_event(events(), "Budget Alert", msgspec.json.encode(alert).decode())
    logger().warning("a budget runs low", extra={"key_id": alert.key_id, "month": alert.month})
    count(Metric.BUDGET_ALERT)


def _request_not_counted(error: StoreError) -> None:
    logger().warning("a request was not counted", exc_info=error)
    count(Metric.LIMIT_UNCHECKED)


def inference_runner(settings: InferSettings) -> InferenceRunner:
    """Build what runs queued jobs on the box."""
    costs = Costs.of(settings.instance_usd_per_hour, settings.baseline_model, today())
    box = guarded(ollama(settings), box_breaker(settings.status_table, settings.box_hours))
    return _runner(settings, box, costs, BoxMeter(costs))


def cloud_runner(settings: InferCloudSettings) -> InferenceRunner:
    """Build what runs the jobs that are left to the cloud.

    Raises:
        ConfigError: the cloud's model has no known price.
    """
    from llm_router.adapters.openai_compatible import OpenAICompatibleClient  # noqa: PLC0415 - imports httpx

    client = OpenAICompatibleClient(
        settings.cloud_base_url,
        api_key=Secret(secretsmanager(), settings.cloud_api_key_secret),
        model=settings.cloud_model,
        clock=now_ms,
    )
    costs = Costs.of(settings.instance_usd_per_hour, settings.baseline_model, today())
    circuit = breaker(settings.status_table, "cloud", probe_lease_ms=CLOUD_PROBE_LEASE_MS)

    def price() -> "ListPrice":
        return price_book().price(settings.cloud_model, today())

    price()  # a model without a price is found here, not by the first answer
    return _runner(settings, guarded(client, circuit), costs, CloudMeter(price), in_cloud=True)


def _runner(
    settings: RunnerSettings, model: "LanguageModel", costs: Costs, meter: "Meter", *, in_cloud: bool = False
) -> InferenceRunner:
    jobs = job_store(settings.job_table, settings.usage_table)
    return InferenceRunner(
        jobs=jobs,
        cache=cache_store(settings.cache_table),
        statuses=status_store(settings.status_table),
        model=model,
        costs=costs,
        meter=meter,
        in_cloud=in_cloud,
        tally=tally(),
        clock=now_ms,
        heartbeat=LeaseKeeper(jobs, now_ms).keep,
        new_worker=lambda: uuid.uuid4().hex,
        cache_ttl_hours=settings.cache_ttl_hours,
        on_store_error=lambda error: logger().warning("pace was not learned", exc_info=error),
        on_cache_error=_answer_not_stored,
    )


def _answer_not_stored(error: StoreError) -> None:
    logger().warning("an answer was not stored", exc_info=error)
    count_degraded(("cache_write",))


def pipeline(
    settings: PipelineSettings, dispatch: "Dispatch", *, lane: Lane = Lane.INTERACTIVE, is_inline: bool = False
) -> Pipeline:
    """Build the way of every prompt; `dispatch` has the jobs of a lane run, or runs them itself."""
    jobs = job_store(settings.job_table, settings.usage_table)
    requests = Requests(jobs, dispatch, now_ms, lane)
    vectors = RememberingEmbedder(embedder(settings))
    costs = Costs.of(settings.instance_usd_per_hour, settings.baseline_model, today())
    return Pipeline(
        classifier=classifier(settings, vectors),
        router=Router.from_settings(settings, today()),
        cache=semantic_cache(settings, vectors),
        # A conversation whose last request is stuck gets it going again: its caller may never look at it.
        conversations=conversations(settings.job_table, lambda job_id: requests.revive(jobs.get(job_id))),
        jobs=jobs,
        costs=costs,
        allowances=allowances(settings, costs),
        dispatch=dispatch,
        breaker=box_breaker(settings.status_table, settings.box_hours),
        statuses=status_store(settings.status_table),
        clock=now_ms,
        new_id=new_request_id,
        tally=tally(),
        is_inline=is_inline,
        lane=lane,
    )


def chat_dispatch(settings: ChatSettings) -> "Dispatch":
    """Return what has a job run for a caller who waits."""
    if settings.inference_mode == "queue":
        return inference_queue(settings.inference_queue_url)
    runner = inference_runner(settings)
    return lambda job_id: runner.run(job_id, deadline_ms=now_ms() + INLINE_LIMIT_MS)
