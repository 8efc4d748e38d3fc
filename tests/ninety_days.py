"""100,000 requests of 90 days, and their counters as the aggregation would have left them."""

from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from itertools import product
from random import Random
from typing import TYPE_CHECKING, Any, Final, cast

from msgspec.structs import replace

from llm_router import bootstrap
from llm_router.accounting.rollups import counters, rollup_key
from llm_router.accounting.usage import RollupKey, UsageRecord
from llm_router.adapters.dynamodb_rollups import DynamoRollupStore
from llm_router.classification import Complexity
from llm_router.models import Source
from tests.builders import usage_at

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

RECORDS: Final = 100_000
DAYS: Final = 90
MODELS: Final = ("ollama/tinyllama", "ollama/llama3.2", "cloud/gpt-4o-mini")
ARMS: Final = ("default", "phi")
COMBINATIONS: Final = tuple(product(MODELS, Complexity, ARMS, (Source.HTTP, Source.SQS)))
WRITES_AT_ONCE: Final = 25


def records(last_day: datetime, seed: int = 1) -> Iterator[UsageRecord]:
    """Make up the requests, of every combination on every day."""
    dice = Random(seed)
    days = [usage_at(f"{last_day - timedelta(days=back):%Y-%m-%d}") for back in range(DAYS)]
    every = list(product(range(DAYS), COMBINATIONS))
    for number in range(RECORDS):
        back, (model, complexity, arm, source) = every[number] if number < len(every) else dice.choice(every)
        yield replace(
            days[back],
            request_id=f"req_{number}",
            model=model,
            complexity=complexity,
            arm=arm,
            source=source,
            input_tokens=dice.randrange(1, 4000),
            output_tokens=dice.randrange(1, 1000),
            busy_ms=dice.randrange(100_000),
            latency_ms=dice.randrange(1, 300_000),
            actual_nano_usd=dice.randrange(10**8),
        )


class Bulk:
    """A DynamoDB client that writes items many at a time, for nobody else is looking."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._puts: list[dict[str, Any]] = []

    def put_item(self, *, TableName: str, Item: dict[str, Any]) -> None:  # noqa: N803 - the client's own names
        """Keep an item for later, and write those there are when that is as many as one call takes."""
        self._puts.append({"PutRequest": {"Item": Item}})
        if len(self._puts) == WRITES_AT_ONCE:
            self.flush(TableName)

    def flush(self, table: str) -> None:
        """Write what is left."""
        if self._puts:
            self._client.batch_write_item(RequestItems={table: self._puts})
            self._puts = []


def fill(client: Any, table: str, last_day: datetime) -> Mapping[RollupKey, Counter[str]]:
    """Write the rows of the requests' days, and return them."""
    rows: dict[RollupKey, Counter[str]] = {}
    for record in records(last_day):
        rows.setdefault(rollup_key(record), Counter()).update(counters(record))
    bulk = Bulk(client)
    store = DynamoRollupStore(cast("DynamoDBClient", bulk), table, bootstrap.now_ms)
    for key, row in rows.items():
        store.replace(key, row)
    bulk.flush(table)
    return rows


def today() -> datetime:
    """Return the beginning of the present UTC day."""
    return datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=None)
