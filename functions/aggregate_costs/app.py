"""UsageTable stream: add new usage records to the counters of their days, each exactly once."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import msgspec
from aws_lambda_powertools.utilities.batch.types import PartialItemFailureResponse
from aws_lambda_powertools.utilities.typing import LambdaContext

from llm_router import bootstrap
from llm_router.accounting.rollups import transactions, usage_event
from llm_router.accounting.usage import UsageRecord
from llm_router.adapters.dynamodb import from_item
from llm_router.errors import StoreError
from llm_router.observability import failures_logged
from llm_router.ports import RollupStore
from llm_router.settings import AggregateCostsSettings, environment, on_lambda


@lru_cache
def rollups() -> RollupStore:
    """Build the rollup store once per environment."""
    settings = AggregateCostsSettings.from_env(environment())
    return bootstrap.rollup_store(settings.rollup_table, limit_table=settings.limit_table)


def count_batch(store: RollupStore, records: Sequence[Mapping[str, Any]]) -> PartialItemFailureResponse:
    """Count stream records, and report those that failed, in their order; to count one again changes nothing.

    A record that cannot be read fails alone. Those of a failed transaction fail together: the stream halves what
    comes again, so that a record that the table refuses is alone in the end.
    """
    events, failed = [], set()
    inserted = {record["dynamodb"]["Keys"]["request_id"]["S"]: record["dynamodb"] for record in records}
    for request_id, record in inserted.items():
        try:
            with failures_logged("a usage record", request_id=request_id):
                usage = msgspec.convert(from_item(record["NewImage"]), UsageRecord)
                events.append(usage_event(usage))
        except Exception:  # noqa: BLE001 - logged, and reported to the stream, whatever is wrong with the record
            failed.add(request_id)
    for part in transactions(events):
        try:
            with failures_logged("a transaction of usage records", first_request_id=part[0].request_id):
                store.add(part)
        except StoreError:
            failed |= {event.request_id for event in part}
    numbers = [record["SequenceNumber"] for request_id, record in inserted.items() if request_id in failed]
    return {"batchItemFailures": [{"itemIdentifier": number} for number in numbers]}


def lambda_handler(event: dict[str, Any], _context: LambdaContext) -> PartialItemFailureResponse:
    """Count a batch; the stream comes back to the first record that failed."""
    return count_batch(rollups(), event["Records"])


if on_lambda(environment()):
    rollups()  # clients are made while Lambda gives the initialisation its full CPU
