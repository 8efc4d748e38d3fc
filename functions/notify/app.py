"""JobTable and RollupTable streams: send answers to the queues that wait for them, and announce the ends of batches."""

from collections.abc import Mapping
from typing import Any

from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType, process_partial_response
from aws_lambda_powertools.utilities.batch.types import PartialItemFailureResponse
from aws_lambda_powertools.utilities.data_classes.dynamo_db_stream_event import DynamoDBRecord
from aws_lambda_powertools.utilities.typing import LambdaContext

from llm_router.adapters.job_items import job_of
from llm_router.observability import failures_logged
from llm_router.settings import environment, on_lambda
from notify.wiring import completion, send_reply


def lambda_handler(event: dict[str, Any], context: LambdaContext) -> PartialItemFailureResponse:
    """Tell of every change of a batch; what could not be told comes again, and may then be told twice."""
    processor = BatchProcessor(event_type=EventType.DynamoDBStreams, raise_on_entire_batch_failure=False)
    return process_partial_response(event, tell, processor, context)


def tell(record: DynamoDBRecord) -> None:
    """Tell of one change: of a batch, of its counters, or of the end of a request."""
    change = record.raw_event
    with failures_logged("a notice", event_id=change["eventID"]):
        kind, _, batch_id = key_of(change["dynamodb"]["Keys"]).partition("#")
        if kind == "batch":
            completion().check(batch_id)
        else:
            image = change["dynamodb"]["NewImage"]
            # What the stream brings has its bytes in base64, and nobody compares the embedding here.
            send_reply(job_of({name: value for name, value in image.items() if name != "embedding"}))


def key_of(keys: Mapping[str, Mapping[str, str]]) -> str:
    """Return the partition that a change is in."""
    return (keys.get("tenant_day") or keys["job_id"])["S"]


if on_lambda(environment()):
    completion()  # clients are made while Lambda gives the initialisation its full CPU
