"""What the DynamoDB adapters share: error translation, transactions, and the item format."""

import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from boto3.dynamodb.types import TypeDeserializer, TypeSerializer
from botocore.exceptions import BotoCoreError, ClientError

from llm_router.errors import StoreError

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import TransactWriteItemTypeDef

_RETRIED_REASONS: Final = {"TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded"}
_TRANSACTION_ATTEMPTS: Final = 4
_BACKOFF_SECONDS: Final = 0.05

_serializer = TypeSerializer()
_deserializer = TypeDeserializer()


def to_item(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return plain strings, integers and bytes as DynamoDB attributes; None is left out."""
    return {name: _serializer.serialize(value) for name, value in values.items() if value is not None}


def from_item(item: Mapping[str, Any]) -> dict[str, Any]:
    """Return DynamoDB attributes as Python values; whole numbers come back as int, others as float."""
    return {name: _plain(_deserializer.deserialize(value)) for name, value in item.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_plain(each) for each in value]
    if not isinstance(value, Decimal):
        return value
    return int(value) if value == value.to_integral_value() else float(value)


def is_condition_failure(error: ClientError) -> bool:
    """Tell whether a single write was refused by its own condition."""
    return error.response["Error"]["Code"] == "ConditionalCheckFailedException"


@contextmanager
def store_errors(what: str) -> Iterator[None]:
    """Translate the SDK's errors, once, at the edge.

    Raises:
        StoreError: with `what` failed; the SDK's own words stay in the cause.
    """
    try:
        yield
    except (ClientError, BotoCoreError) as error:
        raise StoreError(f"{what} failed") from error


def is_written(what: str, write: Callable[[], object]) -> bool:
    """Make a single write; return False when its condition refused it.

    Raises:
        StoreError: it failed for another reason.
    """
    with store_errors(what):
        try:
            write()
        except ClientError as error:
            if is_condition_failure(error):
                return False
            raise
    return True


def check_table(client: "DynamoDBClient", table: str) -> None:
    """Do nothing when the table is there and ready.

    Raises:
        StoreError: it is not.
    """
    with store_errors("looking at a table"):
        status = client.describe_table(TableName=table)["Table"]["TableStatus"]
    if status not in {"ACTIVE", "UPDATING"}:
        raise StoreError(f"the table is {status.lower()}")


def transact(client: "DynamoDBClient", what: str, actions: "Sequence[TransactWriteItemTypeDef]") -> bool:
    """Write all actions or none; return False when a condition refused them.

    Raises:
        StoreError: the transaction failed for another reason.
    """
    return not refused(client, what, actions)


def refused(client: "DynamoDBClient", what: str, actions: "Sequence[TransactWriteItemTypeDef]") -> Sequence[int]:
    """Write all actions or none; return the places of those whose conditions refused it, none when it is written.

    Conflicts with other transactions and throttling are tried again, a few times.

    Raises:
        StoreError: the transaction failed for another reason.
    """
    for attempt in range(_TRANSACTION_ATTEMPTS):
        if attempt:
            time.sleep(_BACKOFF_SECONDS * 2**attempt * (0.5 + random.random()))  # noqa: S311 - jitter
        try:
            client.transact_write_items(TransactItems=actions)
        except (ClientError, BotoCoreError) as error:
            reasons = _cancellation_reasons(error)
            if places := [place for place, reason in enumerate(reasons) if reason == "ConditionalCheckFailed"]:
                return places
            if _RETRIED_REASONS.isdisjoint(reasons):
                raise StoreError(f"{what} failed") from error
        else:
            return []
    raise StoreError(f"{what} failed: other writers were always there first")


def _cancellation_reasons(error: Exception) -> Sequence[str]:
    """Return why a transaction was cancelled, action by action, and nothing of another error."""
    # Told by the response: `client.exceptions` is made on first use, and two threads at once make two sets of classes.
    response = error.response if isinstance(error, ClientError) else {}
    return [reason.get("Code", "None") for reason in response.get("CancellationReasons", [])]
