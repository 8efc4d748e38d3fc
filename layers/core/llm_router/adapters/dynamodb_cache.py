"""The cache table: answers by exact key, and by vector through the table's own vector index."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import msgspec

from llm_router.adapters.dynamodb import from_item, store_errors, to_item
from llm_router.errors import StoreError
from llm_router.ports import CacheEntry, Candidate

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

VECTOR_INDEX: Final = "prompt-embedding"
_GENERATION_ENTRY: Final = "generation"
_FIELDS: Final = CacheEntry.__struct_fields__


class DynamoCacheStore:
    """CacheStore over one table with keys `namespace` and `entry_id`."""

    def __init__(self, client: "DynamoDBClient", table: str) -> None:
        self._client = client
        self._table = table

    def generation(self, tenant: str) -> int:
        """Return the number that clearing the tenant's cache increases; 0 at first."""
        item = self._get(_tenant_partition(tenant), _GENERATION_ENTRY, ("generation",))
        return int(item["generation"]["N"]) if item else 0

    def get(self, namespace: str, entry_id: str, *, consistent: bool = False) -> CacheEntry | None:
        """Return the entry with this exact key, expired or not; `consistent` sees a write of a moment ago."""
        item = self._get(namespace, entry_id, _FIELDS, consistent=consistent)
        return _entry(item) if item else None

    def nearest(self, namespace: str, embedding: Sequence[float], limit: int) -> Sequence[Candidate]:
        """Return up to `limit` entries of the namespace, most similar first, expired or not.

        DynamoDB's score of a COSINE index is the distance 1 - cosine similarity. An index that is still being built
        answers with an error, which the caller sees as StoreError.
        """
        with store_errors("searching the cache"):
            found = self._client.search_vectors(
                TableName=self._table,
                IndexName=VECTOR_INDEX,
                SearchVector=[{"N": digits} for digits in _digits(embedding)],
                TopK=limit,
                SearchConditionExpression="namespace = :namespace",
                ExpressionAttributeValues={":namespace": {"S": namespace}},
            )
        return [Candidate(_entry(result["Item"]), 1 - result["Score"]) for result in found["SearchResults"]]

    def put(self, entry: CacheEntry, embedding: Sequence[float] | None) -> None:
        """Store an entry; without an embedding it is found by its exact key only."""
        numbers = {"similarity_floor": {"N": format(entry.similarity_floor, ".9g")}}
        values = {name: value for name, value in msgspec.structs.asdict(entry).items() if name not in numbers}
        item = to_item(values) | numbers
        if embedding is not None:
            item["embedding"] = {"L": [{"N": digits} for digits in _digits(embedding)]}
        with store_errors("writing to the cache"):
            self._client.put_item(TableName=self._table, Item=item)

    def _get(
        self, namespace: str, entry_id: str, fields: Sequence[str], *, consistent: bool = False
    ) -> dict[str, Any] | None:
        names = {f"#{index}": field for index, field in enumerate(fields)}
        with store_errors("reading the cache"):
            answer = self._client.get_item(
                TableName=self._table,
                Key={"namespace": {"S": namespace}, "entry_id": {"S": entry_id}},
                # Without the projection every read would carry 384 numbers that nobody looks at.
                ProjectionExpression=", ".join(names),
                ExpressionAttributeNames=names,
                ConsistentRead=consistent,
            )
        return answer.get("Item")


def _tenant_partition(tenant: str) -> str:
    # Namespaces are hex digests, so this can never be one.
    return f"tenant#{tenant}"


def _digits(embedding: Sequence[float]) -> list[str]:
    """Return numbers with the nine digits that carry a float32 exactly."""
    return [format(value, ".9g") for value in embedding]


def _entry(item: Any) -> CacheEntry:
    try:
        return msgspec.convert(from_item(item), CacheEntry)
    except msgspec.ValidationError as error:
        # Written by a version with other fields; it expires within the time to live.
        raise StoreError("reading the cache failed") from error
