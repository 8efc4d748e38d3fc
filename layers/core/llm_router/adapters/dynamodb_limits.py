"""The limit table: what keys have taken of their minutes."""

from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import ClientError

from llm_router.access.keys import Limits
from llm_router.access.limits import MINUTE_MS, Minute
from llm_router.adapters.dynamodb import from_item, is_condition_failure, is_written, store_errors
from llm_router.errors import StoreError

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

_ATTEMPTS: Final = 4
_MINUTE_TTL_SECONDS: Final = 3600
_OPEN: Final = "ends_at_ms > :now"


class DynamoLimitStore:
    """LimitStore over one table with the key `name`; the item `minute#<key_id>` holds the present minute of a key.

    A request is one conditional write, and one more where it begins a minute. The SDK repeats a write whose answer was
    lost, which may count a request twice, and never lets one too many through.
    """

    def __init__(self, client: "DynamoDBClient", table: str) -> None:
        self._client = client
        self._table = table

    def take(self, key_id: str, limits: Limits, tokens: int, now_ms: int) -> tuple[bool, Minute]:
        """Take one request and some tokens of a key's minute, or nothing where either exceeds its limit."""
        for _ in range(_ATTEMPTS):
            is_taken, minute = self._take(key_id, limits, tokens, now_ms)
            if minute is not None and (is_taken or not minute.is_over(now_ms)):
                return is_taken, minute
            begun = self._begin(key_id, tokens, now_ms)
            if begun is not None:
                return True, begun
        raise StoreError("counting a request failed: others always began the minute first")

    def settle(self, key_id: str, ends_at_ms: int, tokens: int) -> None:
        """Add tokens, or fewer than none, to what was taken in the minute with this end; nothing once it is over."""
        is_written(
            "counting tokens",
            lambda: self._client.update_item(
                TableName=self._table,
                Key=_key(key_id),
                UpdateExpression="ADD tokens :tokens",
                ConditionExpression="ends_at_ms = :ends",
                ExpressionAttributeValues=_numbers({":tokens": tokens, ":ends": ends_at_ms}),
            ),
        )

    def _take(self, key_id: str, limits: Limits, tokens: int, now_ms: int) -> tuple[bool, Minute | None]:
        """Take of the minute that has begun; return None where there has been none."""
        conditions, values = [_OPEN], {":one": 1, ":tokens": tokens, ":now": now_ms}
        if limits.requests_per_minute is not None:
            conditions.append("requests < :requests")
            values[":requests"] = limits.requests_per_minute
        if limits.tokens_per_minute is not None:
            conditions.append("tokens <= :room")
            values[":room"] = limits.tokens_per_minute - tokens
        with store_errors("counting a request"):
            try:
                answer = self._client.update_item(
                    TableName=self._table,
                    Key=_key(key_id),
                    UpdateExpression="ADD requests :one, tokens :tokens",
                    ConditionExpression=" AND ".join(conditions),
                    ExpressionAttributeValues=_numbers(values),
                    ReturnValues="ALL_NEW",
                    ReturnValuesOnConditionCheckFailure="ALL_OLD",
                )
            except ClientError as error:
                if not is_condition_failure(error):
                    raise
                return False, _minute(error.response.get("Item"))  # type: ignore[arg-type] # the condition's item
        return True, _minute(answer["Attributes"])

    def _begin(self, key_id: str, tokens: int, now_ms: int) -> Minute | None:
        """Begin a minute with one request; return None where another request has done so."""
        begun = Minute(ends_at_ms=now_ms + MINUTE_MS, requests=1, tokens=tokens)
        values = {":ends": begun.ends_at_ms, ":one": 1, ":tokens": tokens, ":now": now_ms}
        is_begun = is_written(
            "counting a request",
            lambda: self._client.update_item(
                TableName=self._table,
                Key=_key(key_id),
                UpdateExpression="SET ends_at_ms = :ends, requests = :one, tokens = :tokens, expires_at = :expires",
                ConditionExpression="attribute_not_exists(ends_at_ms) OR ends_at_ms <= :now",
                ExpressionAttributeValues=_numbers(values | {":expires": now_ms // 1000 + _MINUTE_TTL_SECONDS}),
            ),
        )
        return begun if is_begun else None


def _key(key_id: str) -> dict[str, Any]:
    return {"name": {"S": f"minute#{key_id}"}}


def _numbers(values: dict[str, int]) -> dict[str, Any]:
    return {name: {"N": str(value)} for name, value in values.items()}


def _minute(item: dict[str, Any] | None) -> Minute | None:
    if not item:
        return None
    kept = from_item(item)
    return Minute(ends_at_ms=kept["ends_at_ms"], requests=kept["requests"], tokens=kept["tokens"])
