"""Reads the usage table."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import msgspec

from llm_router.accounting.usage import UsageRecord
from llm_router.adapters.dynamodb import from_item, store_errors
from llm_router.errors import StoreError

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient


class DynamoUsageStore:
    """UsageStore over a table with the index `day`."""

    def __init__(self, client: "DynamoDBClient", table: str) -> None:
        self._client = client
        self._table = table

    def day(self, day: str) -> Iterator[UsageRecord]:
        """Yield the records of a UTC day, in no order that means anything; one page of them is in memory."""
        pages = self._client.get_paginator("query").paginate(
            TableName=self._table,
            IndexName="day",
            KeyConditionExpression="#day = :day",
            ExpressionAttributeNames={"#day": "day"},
            ExpressionAttributeValues={":day": {"S": day}},
        )
        with store_errors("reading usage records"):
            for page in pages:
                yield from map(_record, page["Items"])


def _record(item: dict[str, Any]) -> UsageRecord:
    try:
        return msgspec.convert(from_item(item), UsageRecord)
    except msgspec.ValidationError as error:
        raise StoreError(f"the usage record {item['request_id']['S']} cannot be read") from error
