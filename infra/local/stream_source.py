"""DynamoDB stream event source: every shard in order, with filters, partial failures, bisection and retries.

A batch that keeps failing holds its shard until its retries are used up; then its place in the stream is reported to
the on-failure queue and the shard goes on. With a parallelization factor a shard has so many lanes, and an item's
records stay in one of them.
"""

import base64
import json
import uuid
from collections import defaultdict, deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TextIO
from zlib import crc32

from infra.local.cloud import Cloud
from infra.local.filters import passes
from infra.local.resources import StreamEvent
from infra.local.source import Invoke, Poller, failed_items, fitting_batches

if TYPE_CHECKING:
    from mypy_boto3_dynamodbstreams.type_defs import RecordTypeDef

_IDLE_SECONDS: Final = 1.0
_FIRST_RETRY_SECONDS: Final = 0.1
_LAST_RETRY_SECONDS: Final = 2.0


@dataclass(frozen=True)
class _Batch:
    """Records to deliver and how often that has been tried again."""

    records: Sequence[dict[str, Any]]
    retries: int = 0


class StreamSource(Poller):
    """One table's stream for one function; moto has one shard per stream."""

    def __init__(self, event: StreamEvent, function_arn: str, cloud: Cloud, invoke: Invoke, log: TextIO) -> None:
        super().__init__(f"{event.table} stream -> {event.function}", log)
        self._event = event
        self._function_arn = function_arn
        self._cloud = cloud
        self._invoke = invoke
        self._sqs = cloud.client("sqs")
        self._streams = cloud.client("dynamodbstreams")
        self._stream_arn = cloud.client("dynamodb").describe_table(TableName=event.table)["Table"]["LatestStreamArn"]
        self._shard_id, self._iterator = self._open()
        self._drained_at = -1
        self._lanes = [ThreadPoolExecutor(1, event.function) for _ in range(event.parallelization_factor)]
        self._under_way: list[Future[None]] = []

    def poll(self) -> None:
        """Read the next batch and deliver it; with one lane, the place in the stream moves on only then."""
        seen = self._cloud.writes.count
        limit = self._event.batch_size * len(self._lanes)
        page = self._streams.get_records(ShardIterator=self._iterator, Limit=limit)
        if page["Records"]:
            self._drained_at = -1
            records = [stream_record(record, self._stream_arn) for record in page["Records"]]
            self._distribute([record for record in records if passes(self._event.filters, record)])
        self._iterator = page["NextShardIterator"]
        if not page["Records"]:
            self._drained_at = seen
            self._cloud.writes.wait(seen, _IDLE_SECONDS)

    def is_drained(self, writes: int) -> bool:
        """Say whether the reader was at the end of the stream after write number `writes`, and all is delivered."""
        return self._drained_at >= writes and all(each.done() for each in self._under_way)

    def join(self) -> None:
        """Wait until nothing is under way."""
        super().join()
        for lane in self._lanes:
            lane.shutdown(cancel_futures=True)

    def _open(self) -> tuple[str, str]:
        description = self._streams.describe_stream(StreamArn=self._stream_arn)["StreamDescription"]
        shard_id = description["Shards"][0]["ShardId"]
        answer = self._streams.get_shard_iterator(
            StreamArn=self._stream_arn,
            ShardId=shard_id,
            ShardIteratorType="LATEST" if self._event.starting_position == "LATEST" else "TRIM_HORIZON",
        )
        return shard_id, answer["ShardIterator"]

    def _distribute(self, records: Sequence[dict[str, Any]]) -> None:
        if len(self._lanes) == 1:
            self._deliver(records)
            return
        by_lane = defaultdict(list)
        for record in records:
            by_lane[crc32(json.dumps(record["dynamodb"]["Keys"]).encode()) % len(self._lanes)].append(record)
        self._under_way = [each for each in self._under_way if not each.done()]
        for number, waiting in by_lane.items():
            for batch in _batches(waiting, self._event.batch_size):
                work = partial(self.guard, partial(self._deliver, batch))
                self._under_way.append(self._lanes[number].submit(work))

    def _deliver(self, records: Sequence[dict[str, Any]]) -> None:
        """Deliver records in order until each has been accepted or given up."""
        waiting = deque(_Batch(batch) for batch in fitting_batches(records))
        while waiting and not self.stopping.is_set():
            batch = waiting.popleft()
            waiting.extendleft(reversed(self._attempt(batch)))

    def _attempt(self, batch: _Batch) -> list[_Batch]:
        """Invoke the function once and give what is still to be delivered, in order.

        Lambda goes on at the first failed record. When that is the batch's first one it halves the batch, which
        costs no retry, down to single records; those are tried again until the retries are used up.
        """
        records = batch.records
        numbers = [record["dynamodb"]["SequenceNumber"] for record in records]
        result = self._invoke({"Records": records})
        failed = failed_items(result, numbers, reports=self._event.report_item_failures)
        if not failed:
            return []
        first = min(numbers.index(number) for number in failed)
        if self.stopping.is_set():
            return []
        if first > 0:
            return [_Batch(records[first:])]
        if self._event.bisect and len(records) > 1:
            middle = len(records) // 2
            return [_Batch(records[:middle], batch.retries), _Batch(records[middle:], batch.retries)]
        if self._event.maximum_retries is not None and batch.retries >= self._event.maximum_retries:
            self._give_up(batch)
            return []
        self.stopping.wait(min(_FIRST_RETRY_SECONDS * 2**batch.retries, _LAST_RETRY_SECONDS))
        return [_Batch(records, batch.retries + 1)]

    def _give_up(self, batch: _Batch) -> None:
        self.tell(f"gave up {len(batch.records)} records after {batch.retries} retries")
        if self._event.on_failure_queue is None:
            return
        message = json.dumps(self._failure_message(batch))
        self._sqs.send_message(QueueUrl=self._cloud.queue_url(self._event.on_failure_queue), MessageBody=message)

    def _failure_message(self, batch: _Batch) -> dict[str, Any]:
        """Describe the batch as Lambda does: its place in the stream, not its records."""
        first, last = batch.records[0]["dynamodb"], batch.records[-1]["dynamodb"]
        return {
            "requestContext": {
                "requestId": str(uuid.uuid4()),
                "functionArn": self._function_arn,
                "condition": "RetryAttemptsExhausted",
                "approximateInvokeCount": batch.retries + 1,
            },
            "responseContext": {"statusCode": 200, "executedVersion": "$LATEST", "functionError": "Unhandled"},
            "version": "1.0",
            "timestamp": _iso(datetime.now(UTC).timestamp()),
            "DDBStreamBatchInfo": {
                "shardId": self._shard_id,
                "startSequenceNumber": first["SequenceNumber"],
                "endSequenceNumber": last["SequenceNumber"],
                "approximateArrivalOfFirstRecord": _iso(first["ApproximateCreationDateTime"]),
                "approximateArrivalOfLastRecord": _iso(last["ApproximateCreationDateTime"]),
                "batchSize": len(batch.records),
                "streamArn": self._stream_arn,
            },
        }


def _batches(records: Sequence[dict[str, Any]], size: int) -> Iterator[Sequence[dict[str, Any]]]:
    return (records[start : start + size] for start in range(0, len(records), size))


def stream_record(record: "RecordTypeDef", stream_arn: str) -> dict[str, Any]:
    """Shape a stream record as Lambda hands it to a function: times as epoch seconds, bytes as base64."""
    shaped: dict[str, Any] = _jsonable(record)
    return {**shaped, "eventVersion": "1.1", "eventSourceARN": stream_arn}


def _jsonable(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _jsonable(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set)):
        return [_jsonable(item) for item in value]
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return value.timestamp() if isinstance(value, datetime) else value


def _iso(epoch_seconds: float) -> str:
    return datetime.fromtimestamp(epoch_seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
