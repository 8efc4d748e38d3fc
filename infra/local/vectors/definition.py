"""What a vector index is made of: the definition, and the entry it keeps of an item."""

from collections.abc import Hashable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from infra.local.vectors.attributes import (
    Attributes,
    is_empty,
    name_bytes,
    read_vector,
    scalar,
    size_bytes,
    type_of,
)
from infra.local.vectors.errors import ValidationError, invalid
from infra.local.vectors.index import Distance, Float32s


class SchemaElement(NamedTuple):
    """One attribute of the SearchSchema with the type AttributeDefinitions gives it."""

    name: str
    role: str
    type: str


@dataclass(frozen=True)
class Entry:
    """What an index stores of one item: HASH value (None without HASH), float32 vector, projected attributes."""

    partition: Hashable
    vector_data: bytes
    attributes: Attributes

    @property
    def vector(self) -> Float32s:
        """The vector as a read-only array."""
        return np.frombuffer(self.vector_data, np.float32)


@dataclass(frozen=True)
class IndexDefinition:
    """A vector index as CreateTable or UpdateTable declared it."""

    name: str
    vector_attribute: str
    dimensions: int
    distance: Distance
    projection: dict[str, Any]
    schema: tuple[SchemaElement, ...]
    table_keys: tuple[str, ...]

    @cached_property
    def hash_element(self) -> SchemaElement | None:
        """The HASH attribute that partitions the index, if it has one."""
        return next((element for element in self.schema if element.role == "HASH"), None)

    @cached_property
    def _projected_names(self) -> frozenset[str] | None:
        if self.projection["ProjectionType"] == "ALL":
            return None
        names = (*self.table_keys, *(element.name for element in self.schema))
        return frozenset((*names, *self.projection.get("NonKeyAttributes", ())))

    def projects(self, name: str) -> bool:
        """Tell whether a search can return this attribute."""
        return self._projected_names is None or name in self._projected_names

    def describe(self) -> dict[str, Any]:
        """Return the members of the request that created the index."""
        description: dict[str, Any] = {
            "IndexName": self.name,
            "VectorAttribute": {"AttributeName": self.vector_attribute},
            "Dimensions": self.dimensions,
            "DistanceFunction": self.distance.value,
            "Projection": self.projection,
        }
        if self.schema:
            description["SearchSchema"] = [
                {"AttributeName": element.name, "SearchSchemaElementType": element.role} for element in self.schema
            ]
        return description

    def entry_of(self, item: Attributes) -> Entry | None:
        """Return what the index stores of an item, or None when the item does not qualify."""
        if self.vector_attribute not in item or not self._fits_schema(item):
            return None
        try:
            vector = self._read_vector(item)
        except ValidationError:
            return None
        attributes = {name: item[name] for name in item if name != self.vector_attribute and self.projects(name)}
        partition = scalar(item[self.hash_element.name]) if self.hash_element else None
        return Entry(partition, vector.tobytes(), attributes)

    def _fits_schema(self, item: Attributes) -> bool:
        if self.hash_element and is_empty(item.get(self.hash_element.name, {"S": ""})):
            return False
        return all(type_of(item[element.name]) == element.type for element in self.schema if element.name in item)

    def check_write(self, changed: Attributes, empty_hash_message: str) -> None:
        """Refuse attributes the index cannot take; keys of the table are left to the table's own rules.

        Raises:
            ValidationError: a type or the vector is wrong.
            MockValidationException: the HASH value is empty; the text may name `{index}` and `{key}`.
        """
        for element in self.schema:
            if element.name not in changed or element.name in self.table_keys:
                continue
            value = changed[element.name]
            if (actual := type_of(value)) != element.type:
                mismatch = f"Attribute '{element.name}' type mismatch. Expected: {element.type}, Actual: {actual}"
                raise ValidationError(f"One or more parameter values were invalid. {mismatch}. IndexName: {self.name}")
            if element.role == "HASH" and is_empty(value):
                raise invalid(empty_hash_message.format(index=self.name, key=element.name))
        if self.vector_attribute in changed:
            self._read_vector(changed)

    def _read_vector(self, attributes: Attributes) -> Float32s:
        value = attributes[self.vector_attribute]
        return read_vector(self.vector_attribute, value, dimensions=self.dimensions, index_name=self.name)

    def entry_bytes(self, entry: Entry) -> int:
        """Return the bytes a write of this entry is billed, apart from the 1 KiB minimum."""
        other_bytes = sum(name_bytes(name) + size_bytes(value) for name, value in entry.attributes.items())
        return len(entry.vector_data) + name_bytes(self.vector_attribute) + other_bytes
