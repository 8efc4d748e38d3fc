"""The rollup table: counters by tenant, day and dimensions, each event counted exactly once."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from llm_router.adapters.dynamodb import store_errors, transact
from llm_router.ports import Clock
from llm_router.usage import Rollup, RollupKey

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

DEDUPE_TTL_SECONDS: Final = 7 * 24 * 3600
"""A stream keeps its events for one day, so none comes again after a week."""
ROLLUP_TTL_SECONDS: Final = 5 * 366 * 24 * 3600


class DynamoRollupStore:
    """RollupStore over one table with keys `tenant_day` and `dimensions`."""

    def __init__(self, client: "DynamoDBClient", table: str, clock: Clock) -> None:
        self._client = client
        self._table = table
        self._clock = clock

    def add(self, event_id: str, key: RollupKey, counters: Mapping[str, int]) -> bool:
        """Add counters and remember the event in one transaction; return False when it was counted before."""
        now = self._clock() // 1000
        seen: Any = {
            "Put": {
                "TableName": self._table,
                "Item": {
                    "tenant_day": {"S": f"event#{event_id}"},
                    "dimensions": {"S": "-"},
                    "expires_at": {"N": str(now + DEDUPE_TTL_SECONDS)},
                },
                "ConditionExpression": "attribute_not_exists(tenant_day)",
            }
        }
        names = {f"#{index}": name for index, name in enumerate(counters)}
        values = {f":{index}": {"N": str(count)} for index, count in enumerate(counters.values())}
        additions = ", ".join(f"#{index} :{index}" for index in range(len(counters)))
        counted: Any = {
            "Update": {
                "TableName": self._table,
                "Key": {"tenant_day": {"S": f"{key.tenant}#{key.day}"}, "dimensions": {"S": _dimensions(key)}},
                "UpdateExpression": f"SET expires_at = :expires_at ADD {additions}",
                "ExpressionAttributeNames": names,
                "ExpressionAttributeValues": values | {":expires_at": {"N": str(now + ROLLUP_TTL_SECONDS)}},
            }
        }
        return transact(self._client, "counting a request", [seen, counted])

    def day(self, tenant: str, day: str) -> Sequence[Rollup]:
        """Return all rollups of one tenant and UTC day."""
        paginator = self._client.get_paginator("query")
        pages = paginator.paginate(
            TableName=self._table,
            KeyConditionExpression="tenant_day = :tenant_day",
            ExpressionAttributeValues={":tenant_day": {"S": f"{tenant}#{day}"}},
        )
        with store_errors("reading rollups"):
            return [_rollup(tenant, day, item) for page in pages for item in page["Items"]]


def _dimensions(key: RollupKey) -> str:
    return f"{key.model}#{key.complexity}#{key.arm}#{key.source}"


def _rollup(tenant: str, day: str, item: dict[str, Any]) -> Rollup:
    # A model's name may hold any character but the separator's position is known from the right.
    model, complexity, arm, source = item["dimensions"]["S"].rsplit("#", 3)
    counters = {
        name: int(value["N"]) for name, value in item.items() if name not in {"tenant_day", "dimensions", "expires_at"}
    }
    return Rollup(RollupKey(tenant, day, model, complexity, arm, source), counters)
