"""UsageTable stream: add each new usage record to the counters of its day, exactly once."""

from functools import lru_cache
from typing import Any

import msgspec
from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType, process_partial_response
from aws_lambda_powertools.utilities.batch.types import PartialItemFailureResponse
from aws_lambda_powertools.utilities.data_classes.dynamo_db_stream_event import DynamoDBRecord
from aws_lambda_powertools.utilities.typing import LambdaContext

from llm_router import bootstrap
from llm_router.adapters.dynamodb import from_item
from llm_router.observability import failures_logged
from llm_router.ports import RollupStore
from llm_router.rollups import counters, rollup_key
from llm_router.settings import AggregateCostsSettings, environment, on_lambda
from llm_router.usage import UsageRecord


@lru_cache
def rollups() -> RollupStore:
    """Build the rollup store once per environment."""
    return bootstrap.rollup_store(AggregateCostsSettings.from_env(environment()).rollup_table)


def count_record(record: DynamoDBRecord) -> None:
    """Count one stream record; counting it again changes nothing."""
    event = record.raw_event
    with failures_logged("a usage record", event_id=event["eventID"]):
        usage = msgspec.convert(from_item(event["dynamodb"]["NewImage"]), UsageRecord)
        rollups().add(event["eventID"], rollup_key(usage), counters(usage))


def lambda_handler(event: dict[str, Any], context: LambdaContext) -> PartialItemFailureResponse:
    """Count a batch; the stream comes back to the first record that failed."""
    processor = BatchProcessor(event_type=EventType.DynamoDBStreams, raise_on_entire_batch_failure=False)
    return process_partial_response(event, count_record, processor, context)


if on_lambda(environment()):
    rollups()  # clients are made while Lambda gives the initialisation its full CPU
