"""One vector index of a table: its entries by item key, and the searchable vectors."""

import copy
from collections.abc import Hashable
from typing import Any, Self

from infra.local.vectors.attributes import Attributes
from infra.local.vectors.definition import Entry, IndexDefinition
from infra.local.vectors.index import VectorIndex

# What the developer guide's monitoring page gives as the least that a write request is billed.
MINIMUM_REQUEST_BYTES = 1024


class TableVectorIndex:
    """A vector index that follows the writes of its table."""

    def __init__(self, definition: IndexDefinition) -> None:
        self.definition = definition
        self.vectors = VectorIndex(definition.dimensions, definition.distance)
        self.entries: dict[Hashable, Entry] = {}

    def apply(self, key: Hashable, item: Attributes | None) -> int:
        """Follow a write of an item (None: deleted) and return the bytes it bills, 0 when the entry is unchanged.

        A removal is billed by what it removes; no capture of AWS says otherwise.
        """
        before = self.entries.get(key)
        after = self.definition.entry_of(item) if item is not None else None
        if before == after:
            return 0
        if after is None:
            self.vectors.remove(key)
            del self.entries[key]
        else:
            self.vectors.upsert(key, after.partition, after.vector)
            self.entries[key] = after
        billed = [self.definition.entry_bytes(entry) for entry in (after or before,) if entry]
        return max(MINIMUM_REQUEST_BYTES, *billed)

    def describe(self, table_arn: str) -> dict[str, Any]:
        """Return the index as DescribeTable shows it."""
        return self.definition.describe() | {
            "IndexStatus": "ACTIVE",
            "IndexSizeBytes": sum(self.definition.entry_bytes(entry) for entry in self.entries.values()),
            "ItemCount": len(self.entries),
            "IndexArn": f"{table_arn}/index/{self.definition.name}",
        }

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        clone = copy.copy(self)
        clone.vectors = copy.deepcopy(self.vectors, memo)
        clone.entries = dict(self.entries)
        return clone
