"""The aggregator over the rollup table, with trouble at every transaction."""

import random
from collections.abc import Iterable
from typing import Any

import pytest
from botocore.exceptions import ClientError, ConnectionClosedError
from mypy_boto3_dynamodb import DynamoDBClient

from llm_router.adapters.dynamodb_rollups import DynamoRollupStore
from tests.fakes import SettableClock
from tests.integration.conftest import Cloud
from tests.usage_stream import Trouble, deliver, direct_sum, generated_usage, stored, stream_records, troubled

CONFLICT = ClientError(
    {
        "Error": {"Code": "TransactionCanceledException", "Message": "Transaction cancelled"},
        "CancellationReasons": [{"Code": "None"}, {"Code": "TransactionConflict"}],
    },
    "TransactWriteItems",
)
LOST = ConnectionClosedError(endpoint_url="https://dynamodb.us-east-1.amazonaws.com")
TROUBLES = [
    (Trouble.REFUSED, CONFLICT),
    (Trouble.REFUSED, LOST),
    (Trouble.ANSWER_LOST, LOST),
    (Trouble.DEATH_BEFORE, LOST),
    (Trouble.DEATH_AFTER, LOST),
]


class TroubledClient:
    """A DynamoDB client whose transactions meet the next trouble each, none when it is None or there are no more."""

    def __init__(self, client: DynamoDBClient, troubles: Iterable[tuple[Trouble, Exception] | None]) -> None:
        self.calls = 0
        self._client = client
        self._troubles = iter(troubles)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def transact_write_items(self, **request: Any) -> Any:
        """Write with trouble."""
        self.calls += 1
        trouble, error = next(self._troubles, None) or (None, LOST)
        return troubled(trouble, lambda: self._client.transact_write_items(**request), error)


def store(client: Any) -> DynamoRollupStore:
    """Return the rollup table behind a client."""
    return DynamoRollupStore(client, "RollupTable", SettableClock())


def test_replay(cloud: Cloud) -> None:
    """A few hundred events, every batch twice, shuffled, with conflicts, failures and deaths, add up to their sum."""
    usages = list(generated_usage(200, seed=200))
    records = stream_records(usages)
    dice = random.Random(200)
    dice.shuffle(records)
    batches = [records[start : start + 40] for start in range(0, len(records), 40)] * 2
    dice.shuffle(batches)
    client = TroubledClient(cloud.dynamodb, (dice.choice([None] * 10 + TROUBLES) for _ in iter(int, 1)))
    given_up = [number for batch in batches for number in deliver(store(client), batch)]

    assert [] == given_up
    assert direct_sum(usages) == stored(store(cloud.dynamodb))


@pytest.mark.parametrize("call", range(3))
@pytest.mark.parametrize("trouble", TROUBLES, ids=["conflict", "failure", "lost answer", "death", "death after"])
def test_trouble_at_every_call(cloud: Cloud, trouble: tuple[Trouble, Exception], call: int) -> None:
    """Whichever transaction meets whatever trouble, of a batch with records that were counted before, all count once.

    The calls: the first records alone, then the batch with them, which is refused, then the rest of it.
    """
    usages = list(generated_usage(6, seed=6))
    records = stream_records(usages)
    client = TroubledClient(cloud.dynamodb, [None] * call + [trouble])
    given_up = deliver(store(client), records[:3]) + deliver(store(client), records)

    assert [] == given_up
    assert call + 1 < client.calls
    assert direct_sum(usages) == stored(store(cloud.dynamodb))


def test_second_delivery(cloud: Cloud) -> None:
    """A batch that comes again costs one refused transaction, whatever its size."""
    records = stream_records(generated_usage(30, seed=30))
    client = TroubledClient(cloud.dynamodb, [])
    deliver(store(client), records)
    once = client.calls
    deliver(store(client), records)

    assert (1, 2) == (once, client.calls)
