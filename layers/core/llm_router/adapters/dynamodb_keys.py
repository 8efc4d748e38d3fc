"""The key table: a key by the hash of its secret, which is all that a request reads, and its record by its id."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import msgspec

from llm_router.access.keys import ApiKey, KeyRecord
from llm_router.adapters.dynamodb import from_item, store_errors, to_item, transact
from llm_router.errors import NotFoundError

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import TransactWriteItemTypeDef

LISTING_INDEX: Final = "listing"
SECRET_KEPT_SECONDS: Final = 24 * 3600
"""How long a secret that has expired is kept, which lets nobody in."""
RECORD_KEPT_SECONDS: Final = 90 * 24 * 3600
"""How long a key that has expired or was revoked is listed."""
_LISTING: Final = "keys"
_BEFORE_ALL: Final = "k"
"""Before every id; the table compares no key with nothing."""


class DynamoKeyStore:
    """KeyStore over one table with the key `key_hash`; only records are in its index."""

    def __init__(self, client: "DynamoDBClient", table: str) -> None:
        self._client = client
        self._table = table

    def find(self, key_hash: str) -> ApiKey | None:
        """Return the key that a secret with this hash stands for, valid or not, as last written."""
        item = self._get(key_hash)
        return msgspec.convert(item, ApiKey) if item else None

    def get(self, key_id: str) -> KeyRecord:
        """Return what is known of a key, as last written.

        Raises:
            NotFoundError: there is no such key.
        """
        item = self._get(_record_hash(key_id))
        if item is None:
            raise NotFoundError("no such key")
        return msgspec.convert(item["record"], KeyRecord)

    def records(self, after: str | None, limit: int) -> Sequence[KeyRecord]:
        """Return the first keys after an id; what was written a moment ago may not be there yet."""
        pages = self._client.get_paginator("query").paginate(
            TableName=self._table,
            IndexName=LISTING_INDEX,
            KeyConditionExpression="listing = :listing AND key_id > :after",
            ExpressionAttributeValues={":listing": {"S": _LISTING}, ":after": {"S": after or _BEFORE_ALL}},
            PaginationConfig={"MaxItems": limit, "PageSize": limit},
        )
        with store_errors("listing the keys"):
            items = [item for page in pages for item in page["Items"]]
        return [msgspec.convert(from_item(item)["record"], KeyRecord) for item in items]

    def write(self, record: KeyRecord, before: KeyRecord | None = None) -> bool:
        """Write a key and its secrets in one transaction, and remove the secrets that it had before.

        Returns False when nothing was written, because another writer was there first.
        """
        holders = record.holders()
        removed = before.holders().keys() - holders.keys() if before else ()
        actions: list[TransactWriteItemTypeDef] = [
            *(self._delete(key_hash) for key_hash in sorted(removed)),
            *(self._put(_secret_values(key_hash, key)) for key_hash, key in holders.items()),
            self._put_record(record, before),
        ]
        return transact(self._client, "writing a key", actions)

    def _delete(self, key_hash: str) -> "TransactWriteItemTypeDef":
        return {"Delete": {"TableName": self._table, "Key": _key(key_hash)}}

    def _put(self, values: Mapping[str, Any]) -> "TransactWriteItemTypeDef":
        return {"Put": {"TableName": self._table, "Item": to_item(values)}}

    def _put_record(self, record: KeyRecord, before: KeyRecord | None) -> "TransactWriteItemTypeDef":
        action = self._put(_record_values(record))
        if before is None:
            action["Put"]["ConditionExpression"] = "attribute_not_exists(key_hash)"
            return action
        action["Put"]["ConditionExpression"] = "#record.#version = :version"
        action["Put"]["ExpressionAttributeNames"] = {"#record": "record", "#version": "version"}
        action["Put"]["ExpressionAttributeValues"] = {":version": {"N": str(before.version)}}
        return action

    def _get(self, key_hash: str) -> dict[str, Any] | None:
        with store_errors("reading a key"):
            # Who has revoked a key must not see it let in a moment later.
            answer = self._client.get_item(TableName=self._table, Key=_key(key_hash), ConsistentRead=True)
        return from_item(answer["Item"]) if "Item" in answer else None


def _key(key_hash: str) -> dict[str, Any]:
    return {"key_hash": {"S": key_hash}}


def _record_hash(key_id: str) -> str:
    # Hashes are hex digests, so this can never be one, and no secret has it.
    return f"record#{key_id}"


def _secret_values(key_hash: str, key: ApiKey) -> dict[str, Any]:
    return {
        **msgspec.to_builtins(key),
        "key_hash": key_hash,
        "expires_at": None if key.expires_at_ms is None else key.expires_at_ms // 1000 + SECRET_KEPT_SECONDS,
    }


def _record_values(record: KeyRecord) -> dict[str, Any]:
    ended_ms = record.key.revoked_at_ms or record.key.expires_at_ms
    return {
        "key_hash": _record_hash(record.key.key_id),
        "listing": _LISTING,
        "key_id": record.key.key_id,
        "record": msgspec.to_builtins(record),
        "expires_at": None if ended_ms is None else ended_ms // 1000 + RECORD_KEPT_SECONDS,
    }
