"""The rollup table: counters by tenant, day and dimensions, each event counted exactly once."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from llm_router.adapters.dynamodb import refused, store_errors
from llm_router.ports import Clock
from llm_router.rollups import by_row
from llm_router.usage import Rollup, RollupKey, UsageEvent

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

    def add(self, events: Sequence[UsageEvent]) -> int:
        """Remember events and add their sums in one transaction; those counted before drop out, and it is tried again.

        DynamoDB names every action whose condition failed, so a batch that comes a second time costs one refusal.
        """
        new = list(events)
        while new and (seen := refused(self._client, "counting requests", self._actions(new))):
            new = [event for place, event in enumerate(new) if place not in seen]
        return len(new)

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

    def _actions(self, events: Sequence[UsageEvent]) -> list[Any]:
        """Return the writes of a transaction: first one for each event, in order, then one for each row."""
        now = self._clock() // 1000
        remembered = [self._remembered(event.request_id, now + DEDUPE_TTL_SECONDS) for event in events]
        return remembered + [self._added(*row, now + ROLLUP_TTL_SECONDS) for row in by_row(events).items()]

    def _remembered(self, request_id: str, expires_at: int) -> dict[str, Any]:
        return {
            "Put": {
                "TableName": self._table,
                "Item": {
                    "tenant_day": {"S": f"counted#{request_id}"},
                    "dimensions": {"S": "-"},
                    "expires_at": {"N": str(expires_at)},
                },
                "ConditionExpression": "attribute_not_exists(tenant_day)",
            }
        }

    def _added(self, key: RollupKey, counters: Mapping[str, int], expires_at: int) -> dict[str, Any]:
        values = {f":{index}": {"N": str(count)} for index, count in enumerate(counters.values())}
        additions = ", ".join(f"#{index} :{index}" for index in range(len(counters)))
        return {
            "Update": {
                "TableName": self._table,
                "Key": {"tenant_day": {"S": f"{key.tenant}#{key.day}"}, "dimensions": {"S": _dimensions(key)}},
                "UpdateExpression": f"SET expires_at = :expires_at ADD {additions}",
                "ExpressionAttributeNames": {f"#{index}": name for index, name in enumerate(counters)},
                "ExpressionAttributeValues": values | {":expires_at": {"N": str(expires_at)}},
            }
        }


def _dimensions(key: RollupKey) -> str:
    return f"{key.model}#{key.complexity}#{key.arm}#{key.source}"


def _rollup(tenant: str, day: str, item: dict[str, Any]) -> Rollup:
    # A model's name may hold any character but the separator's position is known from the right.
    model, complexity, arm, source = item["dimensions"]["S"].rsplit("#", 3)
    counters = {
        name: int(value["N"]) for name, value in item.items() if name not in {"tenant_day", "dimensions", "expires_at"}
    }
    return Rollup(RollupKey(tenant, day, model, complexity, arm, source), counters)
