"""moto's table with vector indexes that follow every write."""

import copy
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from typing import Any, Self

from moto.dynamodb.models.dynamo_type import DynamoType, Item
from moto.dynamodb.models.table import Table
from moto.dynamodb.models.utilities import dynamo_to_dict

from infra.local.vectors.attributes import scalar
from infra.local.vectors.definition import IndexDefinition
from infra.local.vectors.schema import TableShape, attribute_types
from infra.local.vectors.table_index import TableVectorIndex

EMPTY_HASH_ON_PUT = (
    "One or more parameter values are not valid. A value specified for a secondary index key is not supported. The "
    "AttributeValue for a key attribute cannot contain an empty string value. IndexName: {index}, IndexKey: {key}"
)
EMPTY_HASH_ON_UPDATE = (
    "One or more parameter values are not valid. The update expression attempted to update a secondary index key to a "
    "value that is not supported. The AttributeValue for a key attribute cannot contain an empty string value."
)


class VectorTable(Table):
    """A table of moto's, adopted after its creation; `lagging_searches` is how many searches still miss the index."""

    vector_indexes: dict[str, TableVectorIndex]
    lagging_searches: int
    billed_bytes: dict[str, int]

    @classmethod
    def adopt(cls, table: Table) -> "VectorTable":
        """Turn a fresh table of moto's into one that can carry vector indexes."""
        table.__class__ = cls
        assert isinstance(table, cls)  # noqa: S101 - tells the type checker what the line above did
        table.vector_indexes, table.lagging_searches, table.billed_bytes = {}, 0, {}
        return table

    def shape_after(self, request: dict[str, Any]) -> TableShape:
        """Return the table as index validation sees it, with an UpdateTable request applied."""
        return TableShape(
            billing_mode=request.get("BillingMode") or self.billing_mode or "PROVISIONED",
            attribute_types=attribute_types([*self.attr, *request.get("AttributeDefinitions", ())]),
            key_names=tuple(self.table_key_attrs),
            secondary_names=tuple(index.name for index in self.all_indexes()),
            definitions=tuple(index.definition for index in self.vector_indexes.values()),
        )

    def add_vector_index(self, definition: IndexDefinition) -> None:
        """Create an index and fill it with the items that qualify."""
        index = TableVectorIndex(definition)
        for item in self.all_items():
            index.apply(_key_of(item.hash_key, item.range_key), dynamo_to_dict(item.attrs))
        self.vector_indexes[definition.name] = index

    def check_put(self, item: dict[str, Any]) -> None:
        """Refuse an item with a malformed number, or that an index cannot take; see IndexDefinition.check_write."""
        self._validate_item_types(item)
        plain = {name: dynamo_to_dict(DynamoType(item[name])) for name in item if self._concerns_index(name)}
        for index in self.vector_indexes.values():
            index.definition.check_write(plain, EMPTY_HASH_ON_PUT)

    def _validate_item_types(self, item_attrs: dict[str, Any], attr: str | None = None) -> None:
        """Check numbers inside lists as well, which moto leaves out."""
        super()._validate_item_types(item_attrs, attr)
        for elements in item_attrs.values():
            for element in elements if isinstance(elements, list) else ():
                if isinstance(element, dict):
                    self._validate_item_types(element)

    def check_update(self, before: Item | None, after: Item) -> None:
        """Refuse an update; only the attributes it changed are judged."""
        old = dynamo_to_dict(before.attrs) if before else {}
        new = dynamo_to_dict(after.attrs)
        changed = {name: value for name, value in new.items() if old.get(name) != value}
        self._validate_item_types(changed)
        for index in self.vector_indexes.values():
            index.definition.check_write(changed, EMPTY_HASH_ON_UPDATE)

    def _concerns_index(self, name: str) -> bool:
        definitions = [index.definition for index in self.vector_indexes.values()]
        return any(
            name == definition.vector_attribute or name in {element.name for element in definition.schema}
            for definition in definitions
        )

    def follow(self, hash_key: DynamoType, range_key: DynamoType | None) -> None:
        """Bring every index in line with the stored item."""
        item = self.get_item(hash_key, range_key) if self.vector_indexes else None
        plain = dynamo_to_dict(item.attrs) if item else None
        for name, index in self.vector_indexes.items():
            if billed := index.apply(_key_of(hash_key, range_key), plain):
                self.billed_bytes[name] = self.billed_bytes.get(name, 0) + billed

    def put_item(self, item_attrs: dict[str, Any], *args: Any, **kwargs: Any) -> Item:
        """Put an item, refusing what an index cannot take, and index it."""
        self.check_put(item_attrs)
        item = super().put_item(item_attrs, *args, **kwargs)
        self.follow(item.hash_key, item.range_key)
        return item

    def delete_item(self, hash_key: DynamoType, range_key: DynamoType | None) -> Item | None:
        """Delete an item from the table and its indexes."""
        item = super().delete_item(hash_key, range_key)
        self.follow(hash_key, range_key)
        return item

    @contextmanager
    def bare(self) -> Iterator[None]:
        """Hide the stream and the SearchSchema's attribute types from moto, whose own handling of both is replaced."""
        shard, attributes = self.stream_shard, self.attr
        self.stream_shard = None
        self.attr = [entry for entry in attributes if entry["AttributeName"] in self.attribute_keys]
        try:
            yield
        finally:
            self.stream_shard, self.attr = shard, attributes

    def replace_item(self, hash_key: DynamoType, range_key: DynamoType | None, item: Item | None) -> None:
        """Set or drop a stored item without a check, a stream record or an index entry."""
        rows: dict[DynamoType, Any] = self.items[hash_key] if range_key else self.items
        key = range_key or hash_key
        if item is None:
            rows.pop(key, None)
        else:
            rows[key] = item

    def describe(self, base_key: str = "TableDescription") -> dict[str, Any]:
        """Describe the table; VectorIndexes is absent when there is none."""
        description = super().describe(base_key)
        if self.vector_indexes:
            indexes = [index.describe(self.table_arn) for index in self.vector_indexes.values()]
            description[base_key]["VectorIndexes"] = indexes
        return description

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """Take the snapshot that moto's transactions roll back to.

        Items are shared, because VectorBackend replaces them and never changes one in place. So is the stream shard:
        open iterators hold it, and would miss every later record if a rollback put another in its place.
        """
        clone = copy.copy(self)
        for name in vars(self).keys() - {"items", "stream_shard"}:
            setattr(clone, name, copy.deepcopy(getattr(self, name), memo))
        clone.items = self.items.copy()
        if self.has_range_key:
            clone.items.update({hash_key: dict(rows) for hash_key, rows in self.items.items()})
        return clone


def _key_of(hash_key: DynamoType, range_key: DynamoType | None) -> Hashable:
    return tuple(scalar({key.type: key.value}) for key in (hash_key, range_key) if key is not None)
