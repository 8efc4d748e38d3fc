"""What an answer looks like in the cache table, and the writes that more than one adapter makes."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import msgspec

from llm_router.adapters.dynamodb import from_item, to_item
from llm_router.cache_entries import CacheEntry
from llm_router.errors import StoreError

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.type_defs import UpdateTypeDef

EVICTED_TTL_SECONDS: Final = 15 * 24 * 3600
"""Longer than any job lives, one that was set aside included: no message that comes again can bring an evicted answer
back."""
FIELDS: Final = CacheEntry.__struct_fields__
_KEYS: Final = ("namespace", "entry_id")
_KEPT: Final = ("similarity_floor", "expires_at")
_REMOVED: Final = (*(name for name in FIELDS if name not in (*_KEYS, *_KEPT)), "embedding")


def key_of(namespace: str, entry_id: str) -> dict[str, Any]:
    """Return the key of an item."""
    return {"namespace": {"S": namespace}, "entry_id": {"S": entry_id}}


def pair_key(tenant: str, one: str, other: str) -> tuple[str, str]:
    """Return `namespace` and `entry_id` of the item that keeps two prompts apart, in whatever order they are given."""
    first, second = sorted((one, other))
    # Namespaces are hex digests, so this can never be one.
    return f"refused#{tenant}", f"{first}#{second}"


def decimal(value: float) -> dict[str, str]:
    """Return a number with the nine digits that carry a float32 exactly."""
    return {"N": format(value, ".9g")}


def entry_of(item: Mapping[str, Any]) -> CacheEntry | None:
    """Return the entry an item holds; None for the trace of an evicted one.

    Raises:
        StoreError: a version with other fields wrote it; it expires within the time to live.
    """
    if "evicted_at_ms" in item:
        return None
    try:
        return msgspec.convert(from_item(item), CacheEntry)
    except msgspec.ValidationError as error:
        raise StoreError("reading the cache failed") from error


def storing(table: str, entry: CacheEntry, embedding: Sequence[float] | None) -> "UpdateTypeDef":
    """Return the write of an entry over an older one, whose floor stays."""
    values = {name: value for name, value in msgspec.structs.asdict(entry).items() if name not in _KEYS}
    values.pop("similarity_floor")
    item = to_item(values)
    if embedding is not None:
        item["embedding"] = {"L": [decimal(value) for value in embedding]}
    assignments = [f"#{name} = :{name}" for name in item]
    return {
        "TableName": table,
        "Key": key_of(entry.namespace, entry.entry_id),
        "UpdateExpression": f"SET {', '.join(assignments)}, #floor = if_not_exists(#floor, :floor) REMOVE #evicted",
        "ConditionExpression": "(attribute_not_exists(#created_at_ms) OR #created_at_ms < :created_at_ms)"
        " AND (attribute_not_exists(#evicted) OR #evicted < :created_at_ms)",
        "ExpressionAttributeNames": {f"#{name}": name for name in item}
        | {"#floor": "similarity_floor", "#evicted": "evicted_at_ms"},
        "ExpressionAttributeValues": {f":{name}": value for name, value in item.items()}
        | {":floor": decimal(entry.similarity_floor)},
    }


def evicting(table: str, key: Mapping[str, Any], now_ms: int, *, floor: float | None = None) -> "UpdateTypeDef":
    """Return the write that takes the answer, the prompt and the vector out of an entry; the caller adds a condition.

    The trace that stays keeps the floor, and answers out that were begun before.
    """
    floored = ", similarity_floor = :new_floor" if floor is not None else ""
    names = {f"#{name}": name for name in _REMOVED}
    return {
        "TableName": table,
        "Key": dict(key),
        "UpdateExpression": f"SET evicted_at_ms = :now, expires_at = :expires_at{floored} REMOVE {', '.join(names)}",
        "ExpressionAttributeNames": names,
        "ExpressionAttributeValues": {
            ":now": {"N": str(now_ms)},
            ":expires_at": {"N": str(now_ms // 1000 + EVICTED_TTL_SECONDS)},
        }
        | ({":new_floor": decimal(floor)} if floor is not None else {}),
    }
