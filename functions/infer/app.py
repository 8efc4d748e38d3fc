"""InferenceQueue and BatchJobQueue: run the job a message names, and report the ones that must come again."""

from typing import Any, Final

import msgspec
from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType, process_partial_response
from aws_lambda_powertools.utilities.batch.types import PartialItemFailureResponse
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
from aws_lambda_powertools.utilities.typing import LambdaContext

from infer.wiring import handle, scheduler, settings
from llm_router import bootstrap
from llm_router.inference import MAX_STARTS
from llm_router.observability import failures_logged
from llm_router.settings import environment, on_lambda
from llm_router.work import SPARE_MS

MAX_RECEIVES: Final = MAX_STARTS + 1
"""How often the queue delivers a message; the last time tells that every worker died, or sets the job aside."""
MAX_BATCH_RECEIVES: Final = 150
"""As often as the queue of what nobody waits for: every 90 minutes that the box is down its message comes back."""


class JobMessage(msgspec.Struct, frozen=True):
    """Body of a message on the inference queue."""

    job_id: str


def lambda_handler(event: dict[str, Any], context: LambdaContext) -> PartialItemFailureResponse:
    """Run the jobs of a batch; one that a table refused comes again."""
    deadline_ms = bootstrap.now_ms() + context.get_remaining_time_in_millis() - SPARE_MS

    def run(record: SQSRecord) -> None:
        with failures_logged("a job", message_id=record.message_id):
            job_id = msgspec.json.decode(record.body, type=JobMessage).job_id
            is_batch = record.event_source_arn == settings().batch_job_queue_arn
            limit = MAX_BATCH_RECEIVES if is_batch else MAX_RECEIVES
            is_last = int(record.attributes.approximate_receive_count) >= limit
            handle(job_id, deadline_ms, is_last=is_last)

    processor = BatchProcessor(event_type=EventType.SQS, raise_on_entire_batch_failure=False)
    return process_partial_response(event, run, processor, context)


if on_lambda(environment()):
    scheduler()  # clients are made while Lambda gives the initialisation its full CPU
