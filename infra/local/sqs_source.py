"""SQS event source: receives batches, invokes the function, deletes what succeeded.

What failed stays hidden until its visibility timeout and comes back; moto moves it to the dead-letter queue when it
was received too often.
"""

import base64
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final, TextIO

from infra.local.cloud import Cloud
from infra.local.resources import REGION, QueueEvent, arn
from infra.local.source import Invoke, Poller, failed_items, fitting_batches

if TYPE_CHECKING:
    from mypy_boto3_sqs.literals import QueueAttributeNameType
    from mypy_boto3_sqs.type_defs import DeleteMessageBatchRequestEntryTypeDef, MessageTypeDef

_DEPTHS: Final[tuple["QueueAttributeNameType", ...]] = (
    "ApproximateNumberOfMessages",
    "ApproximateNumberOfMessagesNotVisible",
    "ApproximateNumberOfMessagesDelayed",
)
_RECEIVE_AT_MOST: Final = 10
# A message that becomes visible again is no write, so look now and then.
_IDLE_SECONDS: Final = 0.2


class SqsSource(Poller):
    """One queue of one function, with at most `maximum_concurrency` batches at work."""

    def __init__(self, event: QueueEvent, cloud: Cloud, invoke: Invoke, log: TextIO) -> None:
        super().__init__(f"{event.queue} -> {event.function}", log)
        self._event = event
        self._cloud = cloud
        self._invoke = invoke
        self._sqs = cloud.client("sqs")
        self._url = cloud.queue_url(event.queue)
        self._free_slots = threading.Semaphore(event.maximum_concurrency)
        self._executor = ThreadPoolExecutor(event.maximum_concurrency, thread_name_prefix=self.name)

    def poll(self) -> None:
        """Receive a batch when there is a free slot; it is worked on in a thread of its own."""
        if not self._free_slots.acquire(timeout=_IDLE_SECONDS):
            return
        seen = self._cloud.sends.count
        messages: Sequence[MessageTypeDef] = ()
        try:
            messages = self._collect()
        finally:
            if not messages:
                self._free_slots.release()
        if messages:
            self._executor.submit(self.guard, lambda: self._work(messages)).add_done_callback(self._free)
        else:
            self._cloud.sends.wait(seen, _IDLE_SECONDS)

    def join(self) -> None:
        """Wait until no batch is under way."""
        super().join()
        self._executor.shutdown()

    def is_drained(self, writes: int) -> bool:  # noqa: ARG002 - hidden messages are no writes
        """Say whether the queue is empty, hidden and delayed messages included."""
        attributes = self._sqs.get_queue_attributes(QueueUrl=self._url, AttributeNames=["All"])["Attributes"]
        return all(attributes[name] == "0" for name in _DEPTHS)

    def _free(self, _: "Future[None]") -> None:
        self._free_slots.release()

    def _collect(self) -> list["MessageTypeDef"]:
        """Receive until the batch is full, or the queue is empty and the batching window is over."""
        messages = self._receive(self._event.batch_size)
        window_ends = time.monotonic() + self._event.batching_window_seconds
        while messages and len(messages) < self._event.batch_size:
            seen = self._cloud.sends.count
            more = self._receive(self._event.batch_size - len(messages))
            messages += more
            remaining_seconds = window_ends - time.monotonic()
            if not more and (remaining_seconds <= 0 or self.stopping.is_set()):
                break
            if not more:
                self._cloud.sends.wait(seen, min(remaining_seconds, _IDLE_SECONDS))
        return messages

    def _receive(self, count: int) -> list["MessageTypeDef"]:
        answer = self._sqs.receive_message(
            QueueUrl=self._url,
            MaxNumberOfMessages=min(count, _RECEIVE_AT_MOST),
            MessageSystemAttributeNames=["All"],
            MessageAttributeNames=["All"],
            WaitTimeSeconds=0,
        )
        return answer.get("Messages", [])

    def _work(self, messages: Sequence["MessageTypeDef"]) -> None:
        for records in fitting_batches([sqs_record(message, self._event.queue) for message in messages]):
            result = self._invoke({"Records": records})
            identifiers = [record["messageId"] for record in records]
            failed = failed_items(result, identifiers, reports=self._event.report_item_failures)
            if failed:
                self.tell(f"{len(failed)} of {len(records)} messages failed")
            self._delete([record for record in records if record["messageId"] not in failed])

    def _delete(self, records: Sequence[Mapping[str, Any]]) -> None:
        for first in range(0, len(records), _RECEIVE_AT_MOST):
            entries: list[DeleteMessageBatchRequestEntryTypeDef] = [
                {"Id": str(index), "ReceiptHandle": record["receiptHandle"]}
                for index, record in enumerate(records[first : first + _RECEIVE_AT_MOST])
            ]
            self._sqs.delete_message_batch(QueueUrl=self._url, Entries=entries)


def sqs_record(message: "MessageTypeDef", queue: str) -> dict[str, Any]:
    """Shape a received message as Lambda hands it to a function."""
    return {
        "messageId": message["MessageId"],
        "receiptHandle": message["ReceiptHandle"],
        "body": message["Body"],
        "attributes": message.get("Attributes", {}),
        "messageAttributes": {
            name: _message_attribute(attribute) for name, attribute in message.get("MessageAttributes", {}).items()
        },
        "md5OfBody": message["MD5OfBody"],
        "eventSource": "aws:sqs",
        "eventSourceARN": arn("sqs", queue),
        "awsRegion": REGION,
    }


def _message_attribute(attribute: Mapping[str, Any]) -> dict[str, Any]:
    shaped: dict[str, Any] = {"stringListValues": [], "binaryListValues": [], "dataType": attribute["DataType"]}
    if "StringValue" in attribute:
        shaped["stringValue"] = attribute["StringValue"]
    if "BinaryValue" in attribute:
        shaped["binaryValue"] = base64.b64encode(attribute["BinaryValue"]).decode()
    return shaped
