"""The rollup table: counters by day, half hour, month and batch, each event counted exactly once."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from llm_router.accounting.rollups import by_row
from llm_router.accounting.usage import AnyKey, BatchKey, BudgetKey, MonthKey, Rollup, RollupKey, RowKey, UsageEvent
from llm_router.adapters.dynamodb import refused, store_errors, to_item
from llm_router.adapters.dynamodb_allowances import BUDGET_TTL_SECONDS, budget_item
from llm_router.ports import Clock

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import TransactWriteItemTypeDef

DEDUPE_TTL_SECONDS: Final = 7 * 24 * 3600
"""A stream keeps its events for one day, so none comes again after a week."""
ROLLUP_TTL_SECONDS: Final = 5 * 366 * 24 * 3600
SLOT_TTL_SECONDS: Final = 400 * 24 * 3600
BATCH_ROW_TTL_SECONDS: Final = 15 * 24 * 3600
"""A day longer than the batch itself."""
_NO_COUNTERS: Final = frozenset({"tenant_day", "dimensions", "expires_at"})


class DynamoRollupStore:
    """RollupStore over one table with keys `tenant_day` and `dimensions`.

    Its partitions hold:

    - `<tenant>#<day>`: the rows of a day, by `<model>#<complexity>#<arm>#<source>`,
    - `slots#<tenant>#<day>`: those of its half hours, by `<HH:MM>#` and the same,
    - `months#<month>`: the row of every tenant, by its name,
    - `batch#<batch_id>`: its row,
    - `counted#<request>`: that a record was counted.

    Balances of budgets are in the limit table, see `DynamoAllowanceStore`.
    """

    def __init__(
        self, client: "DynamoDBClient", table: str, clock: Clock, *, limit_table: str = "", consistent: bool = False
    ) -> None:
        """Use a table, and that of the limits where records are counted.

        Consistent reads see every write before them, and cost twice as much.
        """
        self._limits = limit_table
        self._client = client
        self._consistent = consistent
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
        return [_rollup(tenant, day, item) for item in self._partition(f"{tenant}#{day}")]

    def slots(self, tenant: str, day: str, first: str = "00:00", end: str = "24:00") -> Sequence[Rollup]:
        """Return the rollups of some half hours of one tenant and UTC day."""
        # What follows the time in a key makes it greater than the time alone, so that none of `end` is between.
        items = self._partition(f"slots#{tenant}#{day}", first, end)
        return [_rollup(tenant, day, item, has_slot=True) for item in items]

    def month(self, month: str) -> Mapping[str, Mapping[str, int]]:
        """Return the counters of a UTC month of every tenant."""
        return {item["dimensions"]["S"]: _counters(item) for item in self._partition(f"months#{month}")}

    def month_of(self, tenant: str, month: str) -> Mapping[str, int]:
        """Return a tenant's counters of a UTC month, by a consistent read."""
        return self._row(MonthKey(month, tenant))

    def batch(self, batch_id: str) -> Mapping[str, int]:
        """Return the counters of a batch, by a consistent read."""
        return self._row(BatchKey(batch_id))

    def _row(self, key: RowKey) -> Mapping[str, int]:
        partition, sort, _ = _place(key)
        with store_errors("reading rollups"):
            found = self._client.get_item(TableName=self._table, Key=_key(partition, sort), ConsistentRead=True)
        return _counters(found.get("Item", {}))

    def replace(self, key: RowKey, counters: Mapping[str, int]) -> None:
        """Put a row with these counters in place of what is there, or remove it."""
        partition, sort, ttl_seconds = _place(key)
        place = _key(partition, sort)
        expiring = {**counters, "expires_at": self._clock() // 1000 + ttl_seconds}
        with store_errors("replacing a rollup"):
            if counters:
                self._client.put_item(TableName=self._table, Item=place | to_item(expiring))
            else:
                self._client.delete_item(TableName=self._table, Key=place)

    def adjust(self, key: RowKey, changes: Mapping[str, int]) -> None:
        """Add to the counters of a row; in a transaction, because the SDK may send those twice and they count once."""
        refused(self._client, "adjusting a rollup", [self._added(key, changes, self._clock() // 1000)])

    def _partition(self, partition: str, first: str = "", end: str = "") -> Sequence[dict[str, Any]]:
        """Return the items of a partition, where it is given those with a sort key from `first` to `end`."""
        condition, values = "tenant_day = :partition", {":partition": {"S": partition}}
        if end:
            condition += " AND dimensions BETWEEN :first AND :end"
            values |= {":first": {"S": first}, ":end": {"S": end}}
        pages = self._client.get_paginator("query").paginate(
            TableName=self._table,
            KeyConditionExpression=condition,
            ExpressionAttributeValues=values,
            ConsistentRead=self._consistent,
        )
        with store_errors("reading rollups"):
            return [item for page in pages for item in page["Items"]]

    def _actions(self, events: Sequence[UsageEvent]) -> list[Any]:
        """Return the writes of a transaction: first one for each event, in order, then one for each row."""
        now = self._clock() // 1000
        remembered = [self._remembered(event.request_id, now + DEDUPE_TTL_SECONDS) for event in events]
        return remembered + [self._added(*row, now) for row in by_row(events).items()]

    def _remembered(self, request_id: str, expires_at: int) -> dict[str, Any]:
        return {
            "Put": {
                "TableName": self._table,
                "Item": _key(f"counted#{request_id}", "-") | {"expires_at": {"N": str(expires_at)}},
                "ConditionExpression": "attribute_not_exists(tenant_day)",
            }
        }

    def _added(self, key: AnyKey, counters: Mapping[str, int], now: int) -> "TransactWriteItemTypeDef":
        table, place, ttl_seconds = self._where(key)
        values = {f":{index}": {"N": str(count)} for index, count in enumerate(counters.values())}
        additions = ", ".join(f"#{index} :{index}" for index in range(len(counters)))
        return {
            "Update": {
                "TableName": table,
                "Key": place,
                "UpdateExpression": f"SET expires_at = :expires_at ADD {additions}",
                "ExpressionAttributeNames": {f"#{index}": name for index, name in enumerate(counters)},
                "ExpressionAttributeValues": values | {":expires_at": {"N": str(now + ttl_seconds)}},
            }
        }

    def _where(self, key: AnyKey) -> tuple[str, dict[str, Any], int]:
        """Return the table and the key of a row, and how many seconds after its last event it is kept."""
        if isinstance(key, BudgetKey):
            return self._limits, budget_item(key.key_id, key.month), BUDGET_TTL_SECONDS
        partition, sort, ttl_seconds = _place(key)
        return self._table, _key(partition, sort), ttl_seconds


def _place(key: RowKey) -> tuple[str, str, int]:
    """Return the partition and the sort key of a row, and how many seconds after its last event it is kept."""
    if isinstance(key, MonthKey):
        return f"months#{key.month}", key.tenant, ROLLUP_TTL_SECONDS
    if isinstance(key, BatchKey):
        return f"batch#{key.batch_id}", "-", BATCH_ROW_TTL_SECONDS
    day, dimensions = f"{key.tenant}#{key.day}", f"{key.model}#{key.complexity}#{key.arm}#{key.source}"
    if key.slot:
        return f"slots#{day}", f"{key.slot}#{dimensions}", SLOT_TTL_SECONDS
    return day, dimensions, ROLLUP_TTL_SECONDS


def _key(partition: str, sort: str) -> dict[str, Any]:
    return {"tenant_day": {"S": partition}, "dimensions": {"S": sort}}


def _rollup(tenant: str, day: str, item: Mapping[str, Any], *, has_slot: bool = False) -> Rollup:
    # A model's name may hold any character, but the separators' positions are known from the right and from the left.
    model, complexity, arm, source = item["dimensions"]["S"].rsplit("#", 3)
    slot, model = model.split("#", 1) if has_slot else ("", model)
    return Rollup(RollupKey(tenant, day, model, complexity, arm, source, slot), _counters(item))


def _counters(item: Mapping[str, Any]) -> dict[str, int]:
    return {name: int(value["N"]) for name, value in item.items() if name not in _NO_COUNTERS}
