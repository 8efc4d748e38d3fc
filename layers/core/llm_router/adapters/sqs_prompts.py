"""The queues of prompts, for `route_batch` to route."""

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final

import msgspec
from botocore.exceptions import BotoCoreError, ClientError

from llm_router.batching.batches import PromptMessage
from llm_router.batching.replies import Reply
from llm_router.errors import StoreError

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.type_defs import SendMessageBatchRequestEntryTypeDef

_SENT_AT_ONCE: Final = 10
_SENT_AT_ONCE_BYTES: Final = 1024 * 1024
_CALLS_AT_ONCE: Final = 8
_ATTEMPTS: Final = 4
_BACKOFF_SECONDS: Final = 0.05


class SqsPromptQueue:
    """Sends prompts to `route_batch`; an instance is a PromptSender."""

    def __init__(self, client: "SQSClient", queue_url: str) -> None:
        self._client = client
        self._queue_url = queue_url

    def __call__(self, messages: Sequence[PromptMessage]) -> None:
        """Queue prompts, in as few calls as their number and size allow, several at a time.

        Raises:
            StoreError: the queue did not take all of them; some may be in it.
        """
        parts = _parts([_body(message) for message in messages])
        with ThreadPoolExecutor(_CALLS_AT_ONCE) as pool:
            for _ in pool.map(self._send, parts):
                pass

    def _send(self, bodies: Sequence[bytes]) -> None:
        """Send what goes into one call, and again what the queue refuses of it, a few times."""
        left: list[SendMessageBatchRequestEntryTypeDef] = [
            {"Id": str(place), "MessageBody": body.decode()} for place, body in enumerate(bodies)
        ]
        for attempt in range(_ATTEMPTS):
            if attempt:
                time.sleep(_BACKOFF_SECONDS * 2**attempt)
            try:
                answer = self._client.send_message_batch(QueueUrl=self._queue_url, Entries=left)
            except (ClientError, BotoCoreError) as error:
                raise StoreError("queueing prompts failed") from error
            refused = {failure["Id"] for failure in answer.get("Failed", ())}
            left = [entry for entry in left if entry["Id"] in refused]
            if not left:
                return
        raise StoreError("queueing prompts failed")


class SqsSetAside:
    """Keeps messages that can never be requests in a queue, for people."""

    def __init__(self, client: "SQSClient", queue_url: str) -> None:
        self._client = client
        self._queue_url = queue_url

    def __call__(self, body: str, *, message_id: str, code: str, reason: str) -> None:
        """Keep a copy of a message with the reason, perhaps a second time.

        Raises:
            StoreError: the queue did not take it.
        """
        told = {"reason": reason, "code": code, "message_id": message_id}
        try:
            self._client.send_message(
                QueueUrl=self._queue_url,
                MessageBody=body,
                MessageAttributes={name: {"DataType": "String", "StringValue": text} for name, text in told.items()},
            )
        except (ClientError, BotoCoreError) as error:
            raise StoreError("keeping a message failed") from error


def send_reply_to(client: "SQSClient", queue_url: str, reply: Reply) -> None:
    """Send the end of a request to the queue that its sender named.

    Raises:
        StoreError: the queue did not take it, or is not there.
    """
    try:
        client.send_message(QueueUrl=queue_url, MessageBody=_body(reply).decode())
    except (ClientError, BotoCoreError) as error:
        raise StoreError("sending a reply failed") from error


def _body(said: PromptMessage | Reply) -> bytes:
    """Return a message as JSON without the two characters that SQS refuses."""
    return msgspec.json.encode(said).replace(b"\xef\xbf\xbe", b"\\ufffe").replace(b"\xef\xbf\xbf", b"\\uffff")


def _parts(bodies: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    """Cut messages into parts that the queue takes in one call."""
    part: list[bytes] = []
    for body in bodies:
        if len(part) == _SENT_AT_ONCE or sum(map(len, part)) + len(body) > _SENT_AT_ONCE_BYTES:
            yield part
            part = []
        part.append(body)
    if part:
        yield part
