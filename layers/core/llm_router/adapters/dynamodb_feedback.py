"""What was said of answers, in the cache table, written together with what follows from it."""

from typing import TYPE_CHECKING, Any, Final

import msgspec

from llm_router.accounting.usage import UsageRecord
from llm_router.adapters.cache_items import decimal, evicting, key_of, pair_key
from llm_router.adapters.dynamodb import store_errors, to_item, transact
from llm_router.adapters.job_items import put_usage
from llm_router.feedback import EntryChange, Feedback

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import TransactWriteItemTypeDef, UpdateTypeDef

FEEDBACK_TTL_SECONDS: Final = 365 * 24 * 3600
"""Comments and refused pairs are kept for a year: longer than entries live, so that a new answer to the same question
finds its pairs still refused."""


class DynamoFeedbackStore:
    """FeedbackStore over the cache table and the usage table."""

    def __init__(self, client: "DynamoDBClient", *, cache_table: str, usage_table: str) -> None:
        self._client = client
        self._cache = cache_table
        self._usage = usage_table

    def get(self, tenant: str, request_id: str) -> Feedback | None:
        """Return what was said of a request's answer, if anything."""
        with store_errors("reading feedback"):
            item = self._client.get_item(
                TableName=self._cache, Key=key_of(_partition(tenant), request_id), ConsistentRead=True
            ).get("Item")
        return msgspec.json.decode(item["document"]["S"], type=Feedback) if item else None

    def record(self, feedback: Feedback, usage: UsageRecord, change: EntryChange | None) -> bool:
        """Store what was said, the record that counts it, and what follows for the cache, in one transaction.

        Returns False when nothing was written, because something was said before, or the entry is not as it was seen.
        """
        now_ms = feedback.recorded_at_ms
        expires_at = now_ms // 1000 + FEEDBACK_TTL_SECONDS
        document = msgspec.json.encode(feedback).decode()
        said = self._put(_partition(feedback.tenant), feedback.request_id, document=document, expires_at=expires_at)
        said["Put"]["ConditionExpression"] = "attribute_not_exists(entry_id)"
        actions = [said, put_usage(self._usage, usage)]
        if change is not None and change.refused is not None:
            pair = pair_key(feedback.tenant, change.refused, change.entry_id)
            actions.append(self._put(*pair, expires_at=expires_at))
        if change is not None and (update := self._update(change, now_ms)) is not None:
            actions.append({"Update": update})
        return transact(self._client, "recording feedback", actions)

    def _put(self, namespace: str, entry_id: str, **values: Any) -> "TransactWriteItemTypeDef":
        return {"Put": {"TableName": self._cache, "Item": key_of(namespace, entry_id) | to_item(values)}}

    def _update(self, change: EntryChange, now_ms: int) -> "UpdateTypeDef | None":
        key = key_of(change.namespace, change.entry_id)
        if change.evict:
            update = evicting(self._cache, key, now_ms, floor=change.similarity_floor)
        elif change.similarity_floor is not None:
            update = {
                "TableName": self._cache,
                "Key": key,
                "UpdateExpression": "SET similarity_floor = :new_floor, complaints = :new_complaints",
                "ExpressionAttributeValues": {
                    ":new_floor": decimal(change.similarity_floor),
                    ":new_complaints": {"N": str(change.complaints)},
                },
            }
        else:
            return None
        return _if_as_seen(update, change)


def _if_as_seen(update: "UpdateTypeDef", change: EntryChange) -> "UpdateTypeDef":
    if change.seen is None:
        return {**update, "ConditionExpression": "attribute_not_exists(created_at_ms)"}
    seen = change.seen
    return {
        **update,
        "ConditionExpression": "created_at_ms = :created AND complaints = :complaints AND similarity_floor = :floor",
        "ExpressionAttributeValues": {
            **update["ExpressionAttributeValues"],
            ":created": {"N": str(seen.created_at_ms)},
            ":complaints": {"N": str(seen.complaints)},
            ":floor": decimal(seen.similarity_floor),
        },
    }


def _partition(tenant: str) -> str:
    # Namespaces are hex digests, so this can never be one.
    return f"feedback#{tenant}"
