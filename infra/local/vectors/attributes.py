"""DynamoDB attribute values in their plain JSON form: numbers, vectors, comparable scalars and sizes."""

import re
from collections.abc import Hashable
from decimal import Decimal
from typing import Any

import numpy as np

from infra.local.vectors.errors import ValidationError
from infra.local.vectors.index import Float32s

AttributeValue = dict[str, Any]
Attributes = dict[str, AttributeValue]

NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
ENVELOPE = "One or more parameter values were invalid. "
FLOAT32_RANGE = "[-3.4028235E38, 3.4028235E38]"


def type_of(value: AttributeValue) -> str:
    """Return the type descriptor of an attribute value, for example `S`."""
    return next(iter(value))


def scalar(value: AttributeValue) -> Hashable:
    """Return a form of a key or filter value that compares as DynamoDB does: 1 and 1.0 are one number."""
    kind, content = next(iter(value.items()))
    return kind, Decimal(content) if kind == "N" else content


def is_empty(value: AttributeValue) -> bool:
    """Tell whether the value is the empty string or empty binary."""
    return value in ({"S": ""}, {"B": b""}, {"B": ""})


def to_float32(numbers: list[str]) -> Float32s:
    """Round decimal texts to float32; what is too large becomes infinite."""
    with np.errstate(over="ignore"):
        return np.array([float(number) for number in numbers]).astype(np.float32)


def read_vector(name: str, value: AttributeValue, *, dimensions: int, index_name: str) -> Float32s:
    """Return the vector an attribute holds.

    Raises:
        ValidationError: it is no list of `dimensions` float32 numbers; the text is us-east-1's.
    """
    if len(value.get("NS", ())) != len({Decimal(number) for number in value.get("NS", ())}):
        raise ValidationError("One or more parameter values were invalid: Input collection contains duplicates")
    if "L" not in value:
        expected = "32-bit floating point number list"
        raise ValidationError(
            f"{ENVELOPE}Invalid type for parameter {name}, Expected: {expected} IndexName: {index_name}"
        )
    elements = value["L"]
    if len(elements) != dimensions:
        size = f"Expected: {dimensions}, Actual: {len(elements)}"
        raise ValidationError(f"{ENVELOPE}Invalid size for parameter {name}, {size} IndexName: {index_name}")
    for position, element in enumerate(elements):
        _check_element(f"{name}[{position}]", element, index_name)
    vector = to_float32([element["N"] for element in elements])
    for position in map(int, np.flatnonzero(~np.isfinite(vector))):
        number = Decimal(elements[position]["N"])
        problem = (
            f"Invalid value for parameter {name}[{position}], Value: {number} is outside valid range {FLOAT32_RANGE}"
        )
        raise ValidationError(f"{ENVELOPE}{problem}. IndexName: {index_name}")
    return vector


def _check_element(path: str, element: AttributeValue, index_name: str) -> None:
    if "N" not in element:
        problem = f"Expected: 32-bit floating point number, Actual: {type_of(element)}"
        raise ValidationError(f"{ENVELOPE}Invalid type for parameter {path}, {problem}. IndexName: {index_name}")
    if not NUMBER.fullmatch(element["N"]):
        raise ValidationError(f"The parameter cannot be converted to a numeric value: {element['N']}")


def size_bytes(value: AttributeValue) -> int:
    """Return the stored size of an attribute value.

    Rules: "DynamoDB item sizes and formats" of the developer guide; a number takes a byte per two digits and one more.
    """
    kind, content = next(iter(value.items()))
    if kind == "N":
        return _number_bytes(content)
    if kind in {"SS", "BS", "NS"}:
        return sum(size_bytes({kind[0]: element}) for element in content)
    if kind == "L":
        return 3 + sum(1 + size_bytes(element) for element in content)
    if kind == "M":
        return 3 + sum(1 + name_bytes(name) + size_bytes(element) for name, element in content.items())
    return 1 if kind in {"BOOL", "NULL"} else name_bytes(content)


def name_bytes(text: str | bytes) -> int:
    """Return the length of a text in UTF-8."""
    return len(text.encode() if isinstance(text, str) else text)


def _number_bytes(text: str) -> int:
    sign, digits, _ = Decimal(text).normalize().as_tuple()
    return 1 + (len(digits) + 1) // 2 + sign
