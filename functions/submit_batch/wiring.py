"""Builds what takes batches in and tells of them."""

from functools import lru_cache
from typing import Any, Final

import msgspec
from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType, process_partial_response
from aws_lambda_powertools.utilities.batch.types import PartialItemFailureResponse
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
from aws_lambda_powertools.utilities.typing import LambdaContext

from llm_router import bootstrap
from llm_router.access.rate_limiting import RateLimiter
from llm_router.adapters.s3_files import S3Files
from llm_router.adapters.sqs_input import SqsInputQueue
from llm_router.adapters.sqs_prompts import SqsPromptQueue
from llm_router.batching.batch_bodies import BatchResponse
from llm_router.batching.batches import Batch, new_batch_id
from llm_router.batching.input_files import InputOrder
from llm_router.observability import failures_logged
from llm_router.ports import BatchStore
from llm_router.settings import SubmitBatchSettings, environment
from submit_batch.intake import Intake
from submit_batch.reading import InputReader
from submit_batch.results import Results
from submit_batch.states import describe
from submit_batch.submission import Submission

MAX_RECEIVES: Final = 3
"""How often the queue delivers the message that has a file read."""


@lru_cache
def settings() -> SubmitBatchSettings:
    """Parse the settings once per environment."""
    return SubmitBatchSettings.from_env(environment())


@lru_cache
def batches() -> BatchStore:
    """Return the batches."""
    return bootstrap.batch_store(settings().job_table)


@lru_cache
def intake() -> Intake:
    """Build what hands lines on."""
    return Intake(batches(), SqsPromptQueue(bootstrap.sqs(), settings().batch_queue_url))


@lru_cache
def files() -> S3Files:
    """Return the files of batches."""
    return S3Files(bootstrap.s3())


@lru_cache
def limiter() -> RateLimiter:
    """Build what counts the requests of keys, once per environment."""
    return bootstrap.rate_limiter(settings().limit_table)


@lru_cache
def submission() -> Submission:
    """Build what makes batches, once per environment."""
    return Submission(
        store=batches(),
        intake=intake(),
        keys=bootstrap.idempotency_store(settings().job_table),
        files=files(),
        order=SqsInputQueue(bootstrap.sqs(), settings().batch_input_queue_url),
        input_bucket=settings().batch_input_bucket,
        clock=bootstrap.now_ms,
        new_id=new_batch_id,
    )


@lru_cache
def results() -> Results:
    """Build what reads results, once per environment."""
    return Results(batches(), bootstrap.now_ms)


def described(batch: Batch) -> BatchResponse:
    """Return where a batch stands."""
    counted = bootstrap.rollup_store(settings().rollup_table).batch(batch.batch_id)
    return describe(batch, counted, bootstrap.now_ms())


def read_files(event: dict[str, Any], context: LambdaContext) -> PartialItemFailureResponse:
    """Read the files that messages name; one that could not be read comes again."""
    reader = InputReader(batches(), intake(), files())

    def read(record: SQSRecord) -> None:
        with failures_logged("the file of a batch", message_id=record.message_id):
            order = msgspec.json.decode(record.body, type=InputOrder)
            reader.read(order, is_last_try=int(record.attributes.approximate_receive_count) >= MAX_RECEIVES)

    processor = BatchProcessor(event_type=EventType.SQS, raise_on_entire_batch_failure=False)
    return process_partial_response(event, read, processor, context)
