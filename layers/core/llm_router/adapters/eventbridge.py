"""Events for whoever has a rule for them, on the account's default bus."""

from typing import TYPE_CHECKING, Final

from botocore.exceptions import BotoCoreError, ClientError

from llm_router.errors import StoreError

if TYPE_CHECKING:
    from mypy_boto3_events import EventBridgeClient

SOURCE: Final = "llm-router"


def put_event(client: "EventBridgeClient", detail_type: str, detail: str) -> None:
    """Put an event on the bus; `detail` is a JSON object.

    Raises:
        StoreError: the bus did not take it.
    """
    try:
        answer = client.put_events(Entries=[{"Source": SOURCE, "DetailType": detail_type, "Detail": detail}])
    except (ClientError, BotoCoreError) as error:
        raise StoreError("announcing failed") from error
    if answer["FailedEntryCount"]:
        raise StoreError("announcing failed")
