"""What DynamoDB's JSON reader refuses in a SearchVectors request before anything is looked up."""

import json
import re
from typing import Any

from moto.dynamodb.exceptions import SerializationException

from infra.local.vectors.errors import invalid

REQUIRED = {"TableName": "a string", "IndexName": "a string", "SearchVector": "a sequence", "TopK": "i32"}
MIN_INDEX_NAME_LENGTH = 3
MAX_TOP_K = 100


def check_wire(raw_body: bytes) -> None:
    """Check presence, nulls and limits of the required members.

    Raises:
        SerializationException: a member is null or TopK is fractional.
        MockValidationException: a member is missing or out of its limits.
    """
    text = raw_body.decode()
    request: dict[str, Any] = json.loads(text)
    for name, expected in REQUIRED.items():
        if name in request and request[name] is None:
            raise SerializationException(f"invalid type: null, expected {expected} at {_end_of(name, text)}")
    if isinstance(request.get("TopK"), float):
        found = f"floating point `{request['TopK']}`"
        raise SerializationException(f"invalid type: {found}, expected i32 at {_end_of('TopK', text)}")
    for name in REQUIRED:
        if name not in request:
            raise invalid(f"missing field `{name}` at line 1 column {len(text)}")
    _check_limits(request)


def _end_of(name: str, text: str) -> str:
    value = re.search(rf'"{name}"\s*:\s*[^,}}\s]+', text)
    return f"line 1 column {value.end() if value else len(text)}"


def _check_limits(request: dict[str, Any]) -> None:
    rule = "failed to satisfy constraint: Member must have length greater than or equal to"
    if len(request["IndexName"]) < MIN_INDEX_NAME_LENGTH:
        raise invalid(f"1 validation error detected: Value at 'IndexName' {rule} {MIN_INDEX_NAME_LENGTH}")
    if not request["SearchVector"]:
        raise invalid(f"1 validation error detected: Value at 'SearchVector' {rule} 1")
    if not 1 <= request["TopK"] <= MAX_TOP_K:
        allowed = f"The value must be between 1 and {MAX_TOP_K} inclusive"
        raise invalid(f"Provided TopK value '{request['TopK']}' is out of valid range. {allowed}")
