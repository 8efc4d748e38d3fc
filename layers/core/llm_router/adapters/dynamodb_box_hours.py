"""The items of the rollup table that say in which minutes the box ran, one for each UTC hour.

A look costs one write request unit: 43,800 a month. A month of them, 744 items of at most 0.5 KB, is one query.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any, Final

from llm_router.accounting.box_hours import BoxHour, BoxMinute
from llm_router.adapters.dynamodb import store_errors
from llm_router.adapters.dynamodb_rollups import ROLLUP_TTL_SECONDS

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

_MONTHS: Final = 12


class DynamoBoxHours:
    """BoxHours over the partitions `box##<month>`, which no tenant's name leads to, with sort keys `<day>T<HH>`."""

    def __init__(self, client: "DynamoDBClient", table: str) -> None:
        self._client = client
        self._table = table

    def note(self, at_ms: int, found: BoxMinute, nano_usd_per_hour: int) -> None:
        """Note how the box was found in the UTC minute of a moment, and its price; doing so again changes nothing."""
        at = datetime.fromtimestamp(at_ms / 1000, tz=UTC)
        with store_errors("noting the box's hours"):
            self._client.update_item(
                TableName=self._table,
                Key={"tenant_day": {"S": f"box##{at:%Y-%m}"}, "dimensions": {"S": f"{at:%Y-%m-%dT%H}"}},
                UpdateExpression="SET nano_usd_per_hour = :price, expires_at = :expires ADD #found :minute",
                ExpressionAttributeNames={"#found": found.value},
                ExpressionAttributeValues={
                    ":price": {"N": str(nano_usd_per_hour)},
                    ":expires": {"N": str(at_ms // 1000 + ROLLUP_TTL_SECONDS)},
                    ":minute": {"NS": [str(at.minute)]},
                },
            )

    def days(self, first_day: str, last_day: str) -> Sequence[BoxHour]:
        """Return the hours of some UTC days, both included, in which it was looked at, oldest first."""
        paginator = self._client.get_paginator("query")
        with store_errors("reading the box's hours"):
            return [
                _hour(item)
                for month in _months(first_day, last_day)
                for page in paginator.paginate(
                    TableName=self._table,
                    KeyConditionExpression="tenant_day = :month AND dimensions BETWEEN :first AND :last",
                    ExpressionAttributeValues={
                        ":month": {"S": f"box##{month}"},
                        ":first": {"S": f"{first_day}T00"},
                        ":last": {"S": f"{last_day}T23"},
                    },
                )
                for item in page["Items"]
            ]


def _months(first_day: str, last_day: str) -> Sequence[str]:
    first, last = (day.year * _MONTHS + day.month - 1 for day in map(date.fromisoformat, (first_day, last_day)))
    return [f"{number // _MONTHS}-{number % _MONTHS + 1:02}" for number in range(first, last + 1)]


def _hour(item: Mapping[str, Any]) -> BoxHour:
    day, hour = item["dimensions"]["S"].split("T")
    seen = {found.value: frozenset(map(int, item[found]["NS"])) for found in BoxMinute if found in item}
    return BoxHour(day=day, hour=int(hour), nano_usd_per_hour=int(item["nano_usd_per_hour"]["N"]), **seen)
