"""SearchVectors: from a request to the nearest entries.

The checks run in the order DynamoDB was observed to use: the JSON reader, the expressions by themselves, the table,
the index, the vector, and last the expression against the index.
"""

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

import numpy as np
from moto.dynamodb.models.dynamo_type import DynamoType, Item
from moto.dynamodb.models.utilities import dynamo_to_dict
from moto.dynamodb.responses import ProjectionExpressionParser, validate_attributes_used

from infra.local.vectors.attributes import NUMBER, Attributes, is_empty, scalar, size_bytes, to_float32, type_of
from infra.local.vectors.definition import Entry, IndexDefinition
from infra.local.vectors.errors import invalid
from infra.local.vectors.expression import Condition, parse_condition
from infra.local.vectors.index import Float32s, Match
from infra.local.vectors.table import VectorTable
from infra.local.vectors.table_index import MINIMUM_REQUEST_BYTES, TableVectorIndex

Request = dict[str, Any]


@dataclass(frozen=True)
class Expressions:
    """What the request's expressions say: equalities, paths to return (empty: everything) and operand values."""

    conditions: list[Condition]
    has_condition: bool
    paths: list[list[str]]
    values: Attributes


def parse_expressions(request: Request) -> Expressions:
    """Parse condition and projection.

    Raises:
        MockValidationException: an expression is wrong, or a name or value is undefined or unused.
    """
    names, values = request.get("ExpressionAttributeNames", {}), request.get("ExpressionAttributeValues", {})
    projection = ProjectionExpressionParser(request.get("ProjectionExpression"), names)
    paths, used_names = projection.parse(), list(projection.expr_attr_names_found)
    conditions: list[Condition] = []
    if "SearchConditionExpression" in request:
        parsed = parse_condition(request["SearchConditionExpression"], names)
        conditions = parsed.conditions
        used_names.extend(parsed.aliases)
    for condition in conditions:
        if condition.placeholder not in values:
            undefined = "An expression attribute value used in expression is not defined; attribute value: "
            raise invalid(f"Invalid SearchConditionExpression: {undefined}{condition.placeholder}")
    validate_attributes_used(names, used_names, validation_error_prefix=False)
    used_values = [condition.placeholder for condition in conditions]
    validate_attributes_used(values, used_values, "Values", validation_error_prefix=False)
    return Expressions(conditions, "SearchConditionExpression" in request, paths, values)


def search(table: VectorTable, request: Request, expressions: Expressions) -> dict[str, Any]:
    """Answer a SearchVectors request whose expressions were parsed.

    Raises:
        MockValidationException: the index is unknown or lags, or vector or condition do not fit it.
    """
    index = _find_index(table, request["IndexName"])
    definition = index.definition
    query = _read_query(request["SearchVector"], definition.dimensions)
    operands = _check_condition(expressions, definition)
    partition = operands.pop(definition.hash_element.name) if definition.hash_element else None

    def accept(key: Hashable) -> bool:
        attributes = index.entries[key].attributes
        return all(name in attributes and scalar(attributes[name]) == wanted for name, wanted in operands.items())

    matches = index.vectors.search(partition, query, request["TopK"], accept if operands else None)
    results = [_result(index, match, expressions.paths) for match in matches]
    response: dict[str, Any] = {"SearchResults": results}
    if request.get("ReturnConsumedCapacity", "NONE") != "NONE":
        response["ConsumedCapacity"] = {"VectorSearchRequestBytes": _billed_bytes(definition, request["TopK"], results)}
    return response


def _find_index(table: VectorTable, name: str) -> TableVectorIndex:
    index = table.vector_indexes.get(name)
    if index is None or table.lagging_searches > 0:
        table.lagging_searches = max(0, table.lagging_searches - 1)
        raise invalid(f"The table does not have the specified index: {name}")
    return index


def _read_query(elements: list[dict[str, Any]], dimensions: int) -> Float32s:
    numbers = [element["N"] for element in elements if NUMBER.fullmatch(element.get("N", ""))]
    query = to_float32(numbers)
    if len(query) < len(elements) or not np.isfinite(query).all():
        rule = "All values in the search vector must be a 32-bit floating-point number attribute"
        raise invalid(f"Search vector contains invalid values. {rule}")
    if len(query) != dimensions:
        raise invalid(f"Input search vector dimension {len(query)} does not match vector index dimension {dimensions}")
    return query


def _check_condition(expressions: Expressions, definition: IndexDefinition) -> dict[str, Hashable]:
    """Return the value each attribute of the SearchSchema must have, as the condition demands."""
    _check_paths(expressions.conditions, {element.name for element in definition.schema})
    wanted = {path[0]: expressions.values[placeholder] for path, placeholder in expressions.conditions}
    hash_element = definition.hash_element
    if hash_element and hash_element.name not in wanted:
        missing = "SearchConditionExpression must have all HASH attributes"
        absent = "SearchConditionExpression must be provided when SearchSchema has a HASH key"
        raise invalid(missing if expressions.has_condition else absent)
    for element in definition.schema:
        if element.name in wanted and (actual := type_of(wanted[element.name])) != element.type:
            mismatch = f"Type of '{element.name}' attribute in SearchConditionExpression ({actual})"
            raise invalid(f"{mismatch} does not match type in search schema ({element.type})")
    if hash_element and is_empty(wanted[hash_element.name]):
        rule = "The AttributeValue for a key attribute cannot contain an empty string value."
        raise invalid(f"One or more parameter values are not valid. {rule} Key: {hash_element.name}")
    return {name: scalar(dynamo_to_dict(DynamoType(value))) for name, value in wanted.items()}


def _check_paths(conditions: list[Condition], allowed: set[str]) -> None:
    for path, _ in conditions:
        if path[0] not in allowed:
            rule = "SearchConditionExpression must not contain any attributes that is not in SearchSchema."
            raise invalid(f"{rule} Invalid attribute: {path[0]}")
    prefix = "Invalid SearchConditionExpression: SearchConditionExpression"
    if any(len(path) > 1 for path, _ in conditions):
        raise invalid(f"{prefix} cannot have conditions on nested attributes")
    if len({path for path, _ in conditions}) < len(conditions):
        raise invalid(f"{prefix} must only contain one condition per attribute")


def _result(index: TableVectorIndex, match: Match, paths: list[list[str]]) -> dict[str, Any]:
    entry = index.entries[match.key]
    item = _project(entry, paths, index.definition) if paths else entry.attributes
    return {"Item": item, "Score": match.score}


def _project(entry: Entry, paths: list[list[str]], definition: IndexDefinition) -> Attributes:
    attributes = entry.attributes
    if definition.projects(definition.vector_attribute):
        vector = {"L": [{"N": str(element)} for element in entry.vector]}
        attributes = attributes | {definition.vector_attribute: vector}
    # moto's projection belongs to an item, whose key plays no part in it.
    item = Item(DynamoType({"S": ""}), None, attributes)
    projected: Attributes = dynamo_to_dict(item.project(paths).attrs)
    return projected


def _billed_bytes(definition: IndexDefinition, top_k: int, results: list[dict[str, Any]]) -> float:
    """Estimate the bytes examined and returned; AWS's own figure is documented as linear in TopK and varies."""
    returned = sum(size_bytes({"M": result["Item"]}) for result in results)
    return float(max(MINIMUM_REQUEST_BYTES, 4 * definition.dimensions * top_k + returned))
