"""UsageTable stream: add new usage records to the counters of their days, each exactly once."""

from functools import lru_cache
from typing import Any

from aws_lambda_powertools.utilities.batch.types import PartialItemFailureResponse
from aws_lambda_powertools.utilities.typing import LambdaContext

from aggregate_costs.counting import count_batch
from llm_router import bootstrap
from llm_router.ports import RollupStore
from llm_router.settings import AggregateCostsSettings, environment, on_lambda


@lru_cache
def rollups() -> RollupStore:
    """Build the rollup store once per environment."""
    return bootstrap.rollup_store(AggregateCostsSettings.from_env(environment()).rollup_table)


def lambda_handler(event: dict[str, Any], _context: LambdaContext) -> PartialItemFailureResponse:
    """Count a batch; the stream comes back to the first record that failed."""
    failed = count_batch(rollups(), event["Records"])
    return {"batchItemFailures": [{"itemIdentifier": number} for number in failed]}


if on_lambda(environment()):
    rollups()  # clients are made while Lambda gives the initialisation its full CPU
