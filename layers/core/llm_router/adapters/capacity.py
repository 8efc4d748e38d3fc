"""Has DynamoDB tell what every single call consumes, and passes it on to the tally.

Not told, and so not counted: what a call consumes that fails, a write refused by its condition among them, and what
the SDK's own second attempts do. Transactions are left to the rules of `footprint`, which counts them with the record
that they write.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from llm_router.accounting.tally import Tally

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

_UNITS: Final = {
    "GetItem": "read_request_milliunits",
    "Query": "read_request_milliunits",
    "PutItem": "write_request_milliunits",
    "UpdateItem": "write_request_milliunits",
    "DeleteItem": "write_request_milliunits",
    "SearchVectors": "",
}


def meter(client: "DynamoDBClient", tally: Tally) -> None:
    """Let the tally count what the client's calls consume while it runs."""

    def ask(params: dict[str, Any], **_: Any) -> None:
        if tally.is_running:
            params["ReturnConsumedCapacity"] = "INDEXES"  # TOTAL leaves out what is written to a vector index

    def count(parsed: Mapping[str, Any], model: Any, **_: Any) -> None:
        tally.add(**consumed(model.name, parsed.get("ConsumedCapacity", {})))

    for operation in _UNITS:
        client.meta.events.register(f"provide-client-params.dynamodb.{operation}", ask)
        client.meta.events.register(f"after-call.dynamodb.{operation}", count)


def consumed(operation: str, capacity: Mapping[str, Any]) -> dict[str, int]:
    """Return what a call consumed, by the names of `Quantities`."""
    written = capacity.get("VectorIndexes", {}).values()
    amounts = {
        _UNITS[operation]: round(1000 * capacity.get("CapacityUnits", 0)),
        "vector_search_bytes": round(capacity.get("VectorSearchRequestBytes", 0)),
        "vector_write_bytes": sum(round(index["VectorWriteRequestBytes"]) for index in written),
    }
    return {name: amount for name, amount in amounts.items() if amount}
