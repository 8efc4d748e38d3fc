"""The status table: what is known of the box."""

from typing import TYPE_CHECKING, Final

import msgspec

from llm_router.adapters.dynamodb import store_errors
from llm_router.ports import BoxSighting

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

_BOX: Final = "ollama"
_STATUS_TTL_SECONDS: Final = 24 * 3600


class DynamoStatusStore:
    """StatusStore over one table with key `name`."""

    def __init__(self, client: "DynamoDBClient", table: str) -> None:
        self._client = client
        self._table = table

    def put_box(self, sighting: BoxSighting) -> None:
        """Replace the last known state of the box."""
        with store_errors("writing the box's state"):
            self._client.put_item(
                TableName=self._table,
                Item={
                    "name": {"S": _BOX},
                    "document": {"S": msgspec.json.encode(sighting).decode()},
                    "expires_at": {"N": str(sighting.checked_at_ms // 1000 + _STATUS_TTL_SECONDS)},
                },
            )

    def box(self) -> BoxSighting | None:
        """Return the last known state of the box; None before the first look."""
        with store_errors("reading the box's state"):
            item = self._client.get_item(TableName=self._table, Key={"name": {"S": _BOX}}).get("Item")
        return msgspec.json.decode(item["document"]["S"], type=BoxSighting) if item else None
