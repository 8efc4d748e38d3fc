"""The limit table: slots of keys, and the balances of their budgets."""

import random
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import msgspec
from botocore.exceptions import ClientError

from llm_router.access.limits import Balance, Reservation
from llm_router.adapters.dynamodb import from_item, is_condition_failure, store_errors

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

_SLOTS_TTL_SECONDS: Final = 2 * 24 * 3600
"""A day longer than a request that somebody may wait for."""
BUDGET_TTL_SECONDS: Final = 100 * 24 * 3600
"""Longer than anything that is charged to a month."""
_OPENING: Final = "opening :opening"
_LOCKED_ATTEMPTS: Final = 6
_BACKOFF_SECONDS: Final = 0.02


class DynamoAllowanceStore:
    """AllowanceStore over one table with the key `name`.

    Its items are:

    - `slots#<key_id>`: the set of a key's slots that are taken,
    - `budget#<key_id>#<month>`: the balance of its budget, which `DynamoRollupStore` charges what requests did cost,
      and in `opening` the names of reservations whose requests are not known to be stored.

    The SDK repeats a write whose answer was lost, which may reserve twice, and never spends what there is not.
    """

    def __init__(self, client: "DynamoDBClient", table: str) -> None:
        self._client = client
        self._table = table

    def reserve(self, reservation: Reservation, ceiling_nano_usd: int, name: str) -> tuple[bool, Balance]:
        """Take a reservation of a budget, unless more than the ceiling would be committed then."""
        room = ceiling_nano_usd - reservation.nano_usd
        has_room = "committed_nano_usd <= :room"
        with store_errors("reserving a budget"):
            return self._committed(
                reservation,
                reservation.nano_usd,
                f"ADD committed_nano_usd :nano_usd, {_OPENING}",
                name,
                ConditionExpression=has_room if room < 0 else f"attribute_not_exists(committed_nano_usd) OR {has_room}",
                more=_numbers({":room": room}),
            )

    def release(self, reservation: Reservation, name: str) -> None:
        """Give a reservation back, whose request never came to be; nothing where its name is not kept any more."""
        with store_errors("releasing a budget"):
            self._committed(
                reservation,
                -reservation.nano_usd,
                f"ADD committed_nano_usd :nano_usd DELETE {_OPENING}",
                name,
                ConditionExpression="contains(opening, :name)",
                more={":name": {"S": name}},
            )

    def note_opened(self, reservation: Reservation, name: str) -> None:
        """Forget the name of a reservation, whose request is stored."""
        with store_errors("noting that a request is stored"):
            self._unless_locked(
                Key=budget_item(reservation.key_id, reservation.month),
                UpdateExpression=f"DELETE {_OPENING}",
                ExpressionAttributeValues={":opening": {"SS": [name]}},
            )

    def note_announced(self, reservation: Reservation) -> None:
        """Note that somebody was told that the budget runs low."""
        with store_errors("noting an announcement"):
            self._unless_locked(
                Key=budget_item(reservation.key_id, reservation.month),
                UpdateExpression="SET is_announced = :yes",
                ExpressionAttributeValues={":yes": {"BOOL": True}},
            )

    def take_slot(self, key_id: str, slot: str, limit: int, now_ms: int) -> Sequence[str]:
        """Take a slot; return those that are taken where there are as many as the limit, and none when it was taken."""
        with store_errors("taking a slot"):
            try:
                self._client.update_item(
                    TableName=self._table,
                    Key=_slots(key_id),
                    UpdateExpression="SET expires_at = :expires ADD slots :slot",
                    ConditionExpression="attribute_not_exists(slots) OR size(slots) < :limit",
                    ExpressionAttributeValues={":slot": {"SS": [slot]}}
                    | _numbers({":limit": limit, ":expires": now_ms // 1000 + _SLOTS_TTL_SECONDS}),
                    ReturnValuesOnConditionCheckFailure="ALL_OLD",
                )
            except ClientError as error:
                if not is_condition_failure(error):
                    raise
                taken: Sequence[str] = error.response["Item"]["slots"]["SS"]  # type: ignore[typeddict-item] # the condition's item
                return taken
        return ()

    def free_slots(self, key_id: str, slots: Sequence[str]) -> None:
        """Free slots; those that are free stay so."""
        with store_errors("freeing slots"):
            self._client.update_item(
                TableName=self._table,
                Key=_slots(key_id),
                UpdateExpression="DELETE slots :slots",
                ExpressionAttributeValues={":slots": {"SS": list(slots)}},
            )

    def _committed(
        self,
        reservation: Reservation,
        nano_usd: int,
        changes: str,
        name: str,
        *,
        more: Mapping[str, Any],
        **condition: str,
    ) -> tuple[bool, Balance]:
        values = {":nano_usd": nano_usd, ":expires": _start_seconds(reservation.month) + BUDGET_TTL_SECONDS}
        try:
            answer = self._unless_locked(
                Key=budget_item(reservation.key_id, reservation.month),
                UpdateExpression=f"SET expires_at = :expires {changes}",
                ExpressionAttributeValues={**_numbers(values), **more, ":opening": {"SS": [name]}},
                ReturnValues="ALL_NEW",
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
                **condition,
            )
        except ClientError as error:
            if not is_condition_failure(error):
                raise
            return False, _balance(error.response.get("Item", {}))  # type: ignore[arg-type] # as above
        return True, _balance(answer["Attributes"])

    def _unless_locked(self, **update: Any) -> Any:
        """Update an item, again and again while a transaction has it, which the SDK leaves to its caller."""
        for attempt in range(_LOCKED_ATTEMPTS - 1):
            try:
                return self._client.update_item(TableName=self._table, **update)
            except ClientError as error:
                if error.response["Error"]["Code"] != "TransactionConflictException":
                    raise
                time.sleep(_BACKOFF_SECONDS * 2**attempt * (0.5 + random.random()))  # noqa: S311 - jitter
        return self._client.update_item(TableName=self._table, **update)


def budget_item(key_id: str, month: str) -> dict[str, Any]:
    """Return the key of the balance of a budget."""
    return {"name": {"S": f"budget#{key_id}#{month}"}}


def _slots(key_id: str) -> dict[str, Any]:
    return {"name": {"S": f"slots#{key_id}"}}


def _balance(item: dict[str, Any]) -> Balance:
    return msgspec.convert(from_item(item), Balance)


def _start_seconds(month: str) -> int:
    return round(datetime.fromisoformat(f"{month}-01").replace(tzinfo=UTC).timestamp())


def _numbers(values: dict[str, int]) -> dict[str, Any]:
    return {name: {"N": str(value)} for name, value in values.items()}
