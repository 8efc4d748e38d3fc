"""JobTable stream, escalated jobs only: run each in the cloud, and report the ones that must come again."""

from typing import Any

from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType, process_partial_response
from aws_lambda_powertools.utilities.batch.types import PartialItemFailureResponse
from aws_lambda_powertools.utilities.data_classes.dynamo_db_stream_event import DynamoDBRecord
from aws_lambda_powertools.utilities.typing import LambdaContext

from infer_cloud.wiring import run_job, runner
from llm_router import bootstrap
from llm_router.observability import failures_logged
from llm_router.settings import environment, on_lambda
from llm_router.work import SPARE_MS


def lambda_handler(event: dict[str, Any], context: LambdaContext) -> PartialItemFailureResponse:
    """Run the jobs of a batch; one that a table refused comes again, and one that was run before is not run twice."""
    deadline_ms = bootstrap.now_ms() + context.get_remaining_time_in_millis() - SPARE_MS

    def run(record: DynamoDBRecord) -> None:
        change = record.raw_event
        with failures_logged("an escalated job", event_id=change["eventID"]):
            run_job(change["dynamodb"]["Keys"]["job_id"]["S"], deadline_ms)

    processor = BatchProcessor(event_type=EventType.DynamoDBStreams, raise_on_entire_batch_failure=False)
    return process_partial_response(event, run, processor, context)


if on_lambda(environment()):
    runner()  # clients are made while Lambda gives the initialisation its full CPU
