"""PromptQueue and BatchQueue: answer each prompt from the cache, or have it run when the box has time."""

from typing import Any, Final

from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType, process_partial_response
from aws_lambda_powertools.utilities.batch.types import PartialItemFailureResponse
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
from aws_lambda_powertools.utilities.typing import LambdaContext

from llm_router import bootstrap
from llm_router.observability import count_degraded, failures_logged, logger
from llm_router.settings import environment, on_lambda
from route_batch.routing import Received
from route_batch.wiring import prompts

QUEUE_REQUESTS: Final = 1
"""What a message costs, rounded up, where ten are sent, received and deleted together."""


def lambda_handler(event: dict[str, Any], context: LambdaContext) -> PartialItemFailureResponse:
    """Route the prompts of a batch; one that a table or a queue refused comes again."""
    processor = BatchProcessor(event_type=EventType.SQS, raise_on_entire_batch_failure=False)
    with bootstrap.tally().running(queue_requests=QUEUE_REQUESTS * len(event["Records"])):
        return process_partial_response(event, route, processor, context)


def route(record: SQSRecord) -> None:
    """Route one prompt, or put it aside for good with the reason."""
    message = Received(
        message_id=record.message_id,
        queue_arn=record.event_source_arn,
        sender_id=record.attributes.sender_id or "",
        body=record.body,
    )
    traces = {"message_id": message.message_id, "trace": record.attributes.aws_trace_header}
    with failures_logged("a prompt", message_id=message.message_id):
        outcome = prompts().route(message)
    count_degraded(outcome.degraded)
    logger().info("prompt", extra=traces | {"job_id": outcome.job_id, "outcome": outcome.what})


if on_lambda(environment()):
    prompts()  # opens the embedding model while Lambda still gives the initialisation its full CPU
