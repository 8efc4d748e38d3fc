"""Validation of the control plane: the vector index parts of CreateTable and UpdateTable."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from moto.dynamodb.exceptions import ResourceNotFoundException

from infra.local.vectors.definition import IndexDefinition, SchemaElement
from infra.local.vectors.errors import LimitExceededError, invalid, invalid_parameter
from infra.local.vectors.index import Distance

ON_DEMAND = "PAY_PER_REQUEST"
MAX_INDEXES = 5
MAX_DIMENSIONS = 4096

Request = dict[str, Any]


@dataclass(frozen=True)
class TableShape:
    """What of a table decides whether an index fits it."""

    billing_mode: str
    attribute_types: dict[str, str]
    key_names: tuple[str, ...]
    secondary_names: tuple[str, ...]
    definitions: tuple[IndexDefinition, ...] = ()


def attribute_types(attribute_definitions: Iterable[dict[str, str]]) -> dict[str, str]:
    """Return the declared type of each attribute."""
    return {entry["AttributeName"]: entry["AttributeType"] for entry in attribute_definitions}


def plan_creation(request: Request) -> list[IndexDefinition]:
    """Check the VectorIndexes of a CreateTable request and return their definitions.

    Raises:
        MockValidationException: an index is not acceptable.
    """
    if "VectorIndexes" not in request:
        return []
    secondary = [*request.get("GlobalSecondaryIndexes", ()), *request.get("LocalSecondaryIndexes", ())]
    shape = TableShape(
        billing_mode=request.get("BillingMode", "PROVISIONED"),
        attribute_types=attribute_types(request["AttributeDefinitions"]),
        key_names=tuple(key["AttributeName"] for key in request["KeySchema"]),
        secondary_names=tuple(index["IndexName"] for index in secondary),
    )
    indexes = request["VectorIndexes"]
    for position, index in enumerate(indexes, start=1):
        _check_constraints(index, f"vectorIndexes.{position}.member")
    if not indexes:
        raise invalid_parameter("List of VectorIndexes is empty")
    names = Counter([*shape.secondary_names, *(index["IndexName"] for index in indexes)])
    for name, count in names.items():
        if count > 1:
            raise invalid_parameter(f"Duplicate index name: {name}")
    return _define(indexes, shape)


@dataclass(frozen=True)
class IndexChange:
    """The one vector index action of an UpdateTable request."""

    create: IndexDefinition | None = None
    delete: str | None = None


def plan_update(request: Request, table_name: str, shape: TableShape) -> IndexChange:
    """Check an UpdateTable request against the table and return what happens to its vector indexes.

    Raises:
        MockValidationException: the new index is not acceptable, or the billing mode does not suit the table's indexes.
        LimitExceededError: the request holds more than one index action.
        ResourceNotFoundException: the index to delete does not exist.
    """
    if shape.definitions and request.get("BillingMode", ON_DEMAND) != ON_DEMAND:
        raise invalid_parameter("Tables with vector indexes must be in PAY_PER_REQUEST mode")
    updates = request.get("VectorIndexUpdates") or []
    if not updates:
        return IndexChange()
    _check_single_action(request)
    (update,) = updates
    if "Delete" in update:
        name = update["Delete"]["IndexName"]
        if name not in {definition.name for definition in shape.definitions}:
            raise ResourceNotFoundException(f"Requested resource not found: Index {name} for table {table_name}")
        return IndexChange(delete=name)
    index = update["Create"]
    _check_constraints(index, "vectorIndexUpdates.1.member.create")
    if index["IndexName"] in {*shape.secondary_names, *(definition.name for definition in shape.definitions)}:
        raise invalid("Attempting to create an index which already exists")
    (definition,) = _define([index], shape)
    return IndexChange(create=definition)


def _check_single_action(request: Request) -> None:
    updates = request["VectorIndexUpdates"]
    if any(len(update) != 1 for update in updates):
        raise invalid_parameter("Only one vector index action is allowed per VectorIndexUpdate object")
    secondary = [update for update in request.get("GlobalSecondaryIndexUpdates", ()) if "Update" not in update]
    if len(updates) + len(secondary) > 1:
        raise LimitExceededError


def _check_constraints(index: Request, path: str) -> None:
    if index["Dimensions"] < 1:
        raise invalid(
            f"1 validation error detected: Value '{index['Dimensions']}' at '{path}.dimensions' failed to satisfy "
            "constraint: Member must have value greater than or equal to 1"
        )
    if index["DistanceFunction"] not in set(Distance):
        raise invalid(
            f"1 validation error detected: Value '{index['DistanceFunction']}' at '{path}.distanceFunction' failed to "
            f"satisfy constraint: Member must satisfy enum value set: [{', '.join(sorted(Distance))}]"
        )


def _define(indexes: list[Request], shape: TableShape) -> list[IndexDefinition]:
    if shape.billing_mode != ON_DEMAND:
        raise invalid_parameter("Vector indexes are only supported for PAY_PER_REQUEST tables")
    if len(shape.definitions) + len(indexes) > MAX_INDEXES:
        raise invalid_parameter(f"VectorIndex count exceeds the per-table limit of {MAX_INDEXES}")
    definitions = [_define_one(index, shape) for index in indexes]
    sizes: dict[str, int] = {}
    for definition in (*shape.definitions, *definitions):
        attribute = definition.vector_attribute
        if sizes.setdefault(attribute, definition.dimensions) != definition.dimensions:
            rule = "All VectorIndexes on the same vector attribute must use the same dimensions."
            raise invalid_parameter(f"Conflicting attribute definition for '{attribute}'. {rule}")
    return definitions


def _define_one(index: Request, shape: TableShape) -> IndexDefinition:
    if index["Dimensions"] > MAX_DIMENSIONS:
        raise invalid_parameter(f"Number of dimensions must be between 1 and {MAX_DIMENSIONS} inclusive.")
    attribute = index["VectorAttribute"]["AttributeName"]
    if attribute in shape.attribute_types:
        rule = "An attribute cannot be defined in AttributeDefinitions when used as a VectorAttribute."
        raise invalid_parameter(f"Conflicting attribute definition for '{attribute}'. {rule}")
    return IndexDefinition(
        name=index["IndexName"],
        vector_attribute=attribute,
        dimensions=int(index["Dimensions"]),
        distance=Distance(index["DistanceFunction"]),
        projection=index["Projection"],
        schema=_search_schema(index.get("SearchSchema", []), shape.attribute_types),
        table_keys=shape.key_names,
    )


def _search_schema(elements: list[dict[str, str]], types: dict[str, str]) -> tuple[SchemaElement, ...]:
    names = [element["AttributeName"] for element in elements]
    hash_count = sum(element["SearchSchemaElementType"] == "HASH" for element in elements)
    if any(name not in types for name in names):
        raise invalid_parameter("One element in SearchSchema is not defined in attribute definitions")
    if hash_count > 1:
        raise invalid_parameter(
            f"Value '{hash_count}' at 'SearchSchema' failed to satisfy constraint: "
            "Member must have HASH count less than or equal to 1"
        )
    if len(set(names)) < len(names):
        raise invalid_parameter("SearchSchema contains a duplicate AttributeName")
    return tuple(
        SchemaElement(element["AttributeName"], element["SearchSchemaElementType"], types[element["AttributeName"]])
        for element in elements
    )
