"""The status table: what is known of the box."""

from typing import TYPE_CHECKING, Final, TypeVar

import msgspec

from llm_router.adapters.dynamodb import store_errors
from llm_router.box import BoxSighting
from llm_router.errors import StoreError
from llm_router.estimates import Pace

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

_BOX: Final = "ollama"
_STATUS_TTL_SECONDS: Final = 24 * 3600
_PACE_TTL_SECONDS: Final = 30 * 24 * 3600
"""A box stays about as fast as it was, even if nobody asks it for weeks."""

T = TypeVar("T")


class DynamoStatusStore:
    """StatusStore over one table with key `name`."""

    def __init__(self, client: "DynamoDBClient", table: str) -> None:
        self._client = client
        self._table = table

    def put_box(self, sighting: BoxSighting) -> None:
        """Replace the last known state of the box."""
        self._put(_BOX, sighting, expires_at=sighting.checked_at_ms // 1000 + _STATUS_TTL_SECONDS)

    def box(self) -> BoxSighting | None:
        """Return the last known state of the box; None before the first look."""
        return self._get(_BOX, BoxSighting)

    def pace(self, model: str) -> Pace | None:
        """Return how fast a model was seen to be; None before its first answer."""
        return self._get(_pace_name(model), Pace)

    def put_pace(self, pace: Pace) -> None:
        """Replace a model's figures; the last of two writers wins, see `StatusStore`."""
        self._put(_pace_name(pace.model), pace, expires_at=pace.learned_at_ms // 1000 + _PACE_TTL_SECONDS)

    def _put(self, name: str, document: BoxSighting | Pace, *, expires_at: int) -> None:
        with store_errors("writing the box's state"):
            self._client.put_item(
                TableName=self._table,
                Item={
                    "name": {"S": name},
                    "document": {"S": msgspec.json.encode(document).decode()},
                    "expires_at": {"N": str(expires_at)},
                },
            )

    def _get(self, name: str, kind: type[T]) -> T | None:
        with store_errors("reading the box's state"):
            item = self._client.get_item(TableName=self._table, Key={"name": {"S": name}}).get("Item")
        try:
            return msgspec.json.decode(item["document"]["S"], type=kind) if item else None
        except msgspec.DecodeError as error:
            raise StoreError("reading the box's state failed") from error  # another version of the router wrote it


def _pace_name(model: str) -> str:
    return f"pace#{model}"
