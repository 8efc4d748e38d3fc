"""The cache table: answers by exact key, and by vector through the table's own vector index."""

from collections.abc import Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from llm_router.access.keys import ALL_TENANTS
from llm_router.adapters.cache_items import FIELDS, decimal, entry_of, evicting, key_of, pair_key, storing
from llm_router.adapters.dynamodb import is_written, store_errors
from llm_router.cache_entries import CacheEntry, Candidate, Census

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import UpdateTypeDef

VECTOR_INDEX: Final = "prompt-embedding"
TENANT_INDEX: Final = "tenant-age"
CENSUS_PAGES: Final = 5
"""A page is 1 MB of the index, some 5,000 entries."""
_GENERATION_ENTRY: Final = "generation"


class DynamoCacheStore:
    """CacheStore over one table with keys `namespace` and `entry_id`."""

    def __init__(self, client: "DynamoDBClient", table: str) -> None:
        self._client = client
        self._table = table

    def generation(self, tenant: str) -> int:
        """Return the number that clearing the tenant's cache, or everybody's, increases; 0 at first."""
        return self._times_cleared(tenant) + self._times_cleared(ALL_TENANTS)

    def get(self, namespace: str, entry_id: str) -> CacheEntry | None:
        """Return the entry with this exact key as last written, expired or not."""
        item = self._get(namespace, entry_id, (*FIELDS, "evicted_at_ms"))
        return entry_of(item) if item else None

    def nearest(self, namespace: str, embedding: Sequence[float], limit: int) -> Sequence[Candidate]:
        """Return up to `limit` entries of the namespace, most similar first, expired or not.

        DynamoDB's score of a COSINE index is the distance 1 - cosine similarity. An index that is still being built
        answers with an error, which the caller sees as StoreError.
        """
        with store_errors("searching the cache"):
            found = self._client.search_vectors(
                TableName=self._table,
                IndexName=VECTOR_INDEX,
                SearchVector=[decimal(value) for value in embedding],
                TopK=limit,
                SearchConditionExpression="namespace = :namespace",
                ExpressionAttributeValues={":namespace": {"S": namespace}},
            )
        near = [(entry_of(result["Item"]), 1 - result["Score"]) for result in found["SearchResults"]]
        return [Candidate(entry, similarity) for entry, similarity in near if entry is not None]

    def put(self, entry: CacheEntry, embedding: Sequence[float] | None) -> bool:
        """Store an entry; without an embedding it is found by its exact key only.

        Returns False when the stored one is not older, or was evicted since this one's generation began.
        """
        return self._update("writing to the cache", storing(self._table, entry, embedding))

    def evict(self, tenant: str, namespace: str, entry_id: str, now_ms: int) -> bool:
        """Remove a tenant's entry; return False when the tenant has no such entry."""
        update = evicting(self._table, key_of(namespace, entry_id), now_ms)
        update["ConditionExpression"] = "#tenant = :tenant"
        update["ExpressionAttributeValues"] = {**update["ExpressionAttributeValues"], ":tenant": {"S": tenant}}
        return self._update("evicting from the cache", update)

    def is_refused(self, tenant: str, asked: str, answered: str) -> bool:
        """Whether a complaint of the tenant's keeps two prompts, by their entry ids, from sharing answers."""
        return self._get(*pair_key(tenant, asked, answered), ("entry_id",)) is not None

    def clear(self, tenant: str, now_ms: int) -> int:
        """Increase the number that is part of the tenant's namespaces, or of everybody's, and return it.

        The item has no time to live: were it forgotten, entries of the first generation would be found again.
        """
        with store_errors("clearing the cache"):
            answer = self._client.update_item(
                TableName=self._table,
                Key=key_of(_tenant_partition(tenant), _GENERATION_ENTRY),
                UpdateExpression="SET cleared_at_ms = :now ADD #generation :one",
                ExpressionAttributeNames={"#generation": "generation"},
                ExpressionAttributeValues={":now": {"N": str(now_ms)}, ":one": {"N": "1"}},
                ReturnValues="UPDATED_NEW",
            )
        generation = int(answer["Attributes"]["generation"]["N"])
        return generation if tenant == ALL_TENANTS else generation + self._times_cleared(ALL_TENANTS)

    def census(self, tenant: str, now_ms: int) -> Census:
        """Count the entries stored since the tenant's cache was last cleared that have not expired."""
        cleared_ms = max(self._cleared_ms(tenant), self._cleared_ms(ALL_TENANTS))
        pages = self._client.get_paginator("query").paginate(
            TableName=self._table,
            IndexName=TENANT_INDEX,
            KeyConditionExpression="tenant = :tenant AND created_at_ms > :cleared",
            FilterExpression="expires_at > :now",
            ProjectionExpression="created_at_ms",
            ExpressionAttributeValues={
                ":tenant": {"S": tenant},
                ":cleared": {"N": str(cleared_ms)},
                ":now": {"N": str(now_ms // 1000)},
            },
        )
        with store_errors("counting the cache"):
            counted = list(islice(pages, CENSUS_PAGES))
        items = [item for page in counted for item in page["Items"]]
        return Census(
            entries=len(items),
            complete="LastEvaluatedKey" not in counted[-1],
            oldest_created_at_ms=int(items[0]["created_at_ms"]["N"]) if items else None,
        )

    def _times_cleared(self, tenant: str) -> int:
        item = self._get(_tenant_partition(tenant), _GENERATION_ENTRY, ("generation",))
        return int(item["generation"]["N"]) if item else 0

    def _cleared_ms(self, tenant: str) -> int:
        item = self._get(_tenant_partition(tenant), _GENERATION_ENTRY, ("cleared_at_ms",))
        return int(item["cleared_at_ms"]["N"]) if item else 0

    def _update(self, what: str, update: "UpdateTypeDef") -> bool:
        return is_written(what, lambda: self._client.update_item(**update))

    def _get(self, namespace: str, entry_id: str, fields: Sequence[str]) -> dict[str, Any] | None:
        names = {f"#{index}": field for index, field in enumerate(fields)}
        with store_errors("reading the cache"):
            answer = self._client.get_item(
                TableName=self._table,
                Key=key_of(namespace, entry_id),
                # Without the projection every read would carry 384 numbers that nobody looks at.
                ProjectionExpression=", ".join(names),
                ExpressionAttributeNames=names,
                # Whoever has removed an answer, or all of them, must not get one a moment later.
                ConsistentRead=True,
            )
        return answer.get("Item")


def _tenant_partition(tenant: str) -> str:
    # Namespaces are hex digests, so this can never be one.
    return f"tenant#{tenant}"
