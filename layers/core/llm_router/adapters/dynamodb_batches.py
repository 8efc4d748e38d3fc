"""Batches in the job table: an item each, and one for every line: its request, or the reason why it is none."""

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import msgspec
from botocore.exceptions import ClientError

from llm_router.adapters.dynamodb import from_item, is_condition_failure, is_written, store_errors, to_item, transact
from llm_router.adapters.job_items import job_of
from llm_router.batching.batches import BATCH_TTL_SECONDS, Batch, LineError, LineResult, line_job_id
from llm_router.errors import NotFoundError, StoreError
from llm_router.ports import Clock

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import TransactWriteItemTypeDef

_KEYS_PER_READ: Final = 100
_READ_ATTEMPTS: Final = 5
_BACKOFF_SECONDS: Final = 0.05
_EXISTS: Final = "attribute_exists(job_id)"
_IS_NEW: Final = "attribute_not_exists(job_id)"


class DynamoBatchStore:
    """BatchStore over the job table (key `job_id`)."""

    def __init__(self, client: "DynamoDBClient", *, job_table: str, clock: Clock) -> None:
        self._client = client
        self._table = job_table
        self._clock = clock

    def open(self, batch: Batch) -> bool:
        """Store a new batch; return False when there is one of this id."""
        item = {"job_id": _key(batch.batch_id), "expires_at": batch.expires_at} | msgspec.to_builtins(batch)
        return is_written(
            "storing a batch",
            lambda: self._client.put_item(TableName=self._table, Item=to_item(item), ConditionExpression=_IS_NEW),
        )

    def get(self, batch_id: str) -> Batch:
        """Return a batch as last written.

        Raises:
            NotFoundError: no such batch, or it has expired.
        """
        with store_errors("reading a batch"):
            answer = self._client.get_item(
                TableName=self._table, Key={"job_id": {"S": _key(batch_id)}}, ConsistentRead=True
            )
        item = answer.get("Item")
        if item is None or self._is_expired(item):
            raise NotFoundError("no such batch")
        return _batch(item)

    def note_input(self, batch_id: str, *, lines: int, invalid: int, complete: bool, error: str | None = None) -> Batch:
        """Note how many lines have been read in all, and whether those were all; return the batch as it stands.

        Raises:
            NotFoundError: no such batch.
        """
        values: dict[str, Any] = {"lines": lines, "invalid": invalid, "input_error": error}
        if complete:
            values["input_complete"] = True
        # What comes late knows of fewer lines, or of as many and not yet that those were all.
        is_news = "#lines <= :lines" + ("" if complete else " AND input_complete = :no")
        return self._set(batch_id, values, is_news, {} if complete else {":no": {"BOOL": False}})

    def cancel(self, batch_id: str, at_ms: int) -> Batch:
        """Have nothing more of a batch begun; return it with the time when that was first wanted.

        Raises:
            NotFoundError: no such batch.
        """
        return self._set(batch_id, {"cancelled_at_ms": at_ms}, "attribute_not_exists(#cancelled_at_ms)")

    def announced(self, batch_id: str, at_ms: int) -> Batch:
        """Note that everybody was told of a batch's end; return it with the time when that was first so.

        Raises:
            NotFoundError: no such batch.
        """
        return self._set(batch_id, {"announced_at_ms": at_ms}, "attribute_not_exists(#announced_at_ms)")

    def refuse_line(
        self, batch_id: str, line: int, custom_id: str | None, error: LineError, *, sent: bool = False
    ) -> bool:
        """Note why no request was made of a line; return False when it is a request, or was refused before."""
        refusal = {
            "job_id": line_job_id(batch_id, line),
            "custom_id": custom_id,
            "refused": msgspec.json.encode(error).decode(),
            "expires_at": self._clock() // 1000 + BATCH_TTL_SECONDS,
        }
        actions: list[TransactWriteItemTypeDef] = [
            {"Put": {"TableName": self._table, "Item": to_item(refusal), "ConditionExpression": _IS_NEW}}
        ]
        if sent:
            actions.append(
                {
                    "Update": {
                        "TableName": self._table,
                        "Key": {"job_id": {"S": _key(batch_id)}},
                        "UpdateExpression": "ADD refused :one",
                        "ConditionExpression": _EXISTS,
                        "ExpressionAttributeValues": {":one": {"N": "1"}},
                    }
                }
            )
        return transact(self._client, "refusing a line", actions)

    def results(self, batch_id: str, *, first_line: int, count: int) -> Sequence[LineResult]:
        """Return what became of `count` lines from `first_line` on, in their order, each as last written."""
        lines = range(first_line, first_line + count)
        ids = [line_job_id(batch_id, line) for line in lines]
        found = {item["job_id"]["S"]: item for item in self._items(ids) if not self._is_expired(item)}
        return [_result(line, found.get(job_id)) for line, job_id in zip(lines, ids, strict=True)]

    def _set(
        self, batch_id: str, values: Mapping[str, Any], condition: str, more: Mapping[str, Any] | None = None
    ) -> Batch:
        """Set attributes of a batch where the condition holds, and return the batch as it stands."""
        given = to_item(values)
        with store_errors("changing a batch"):
            try:
                item = self._client.update_item(
                    TableName=self._table,
                    Key={"job_id": {"S": _key(batch_id)}},
                    UpdateExpression="SET " + ", ".join(f"#{name} = :{name}" for name in given),
                    ConditionExpression=f"{_EXISTS} AND {condition}",
                    ExpressionAttributeNames={f"#{name}": name for name in given},
                    ExpressionAttributeValues={f":{name}": value for name, value in given.items()} | dict(more or {}),
                    ReturnValues="ALL_NEW",
                )["Attributes"]
            except ClientError as error:
                if is_condition_failure(error):
                    return self.get(batch_id)
                raise
        return _batch(item)

    def _items(self, keys: Sequence[str]) -> Iterator[dict[str, Any]]:
        for first in range(0, len(keys), _KEYS_PER_READ):
            yield from self._read([{"job_id": {"S": key}} for key in keys[first : first + _KEYS_PER_READ]])

    def _read(self, keys: Sequence[Any]) -> Iterator[dict[str, Any]]:
        """Read up to a hundred items; DynamoDB leaves some for the next call when they are large, or many ask."""
        for attempt in range(_READ_ATTEMPTS):
            if attempt:
                time.sleep(_BACKOFF_SECONDS * 2**attempt)
            with store_errors("reading the lines of a batch"):
                answer = self._client.batch_get_item(RequestItems={self._table: {"Keys": keys, "ConsistentRead": True}})
            yield from answer["Responses"][self._table]
            unread = answer["UnprocessedKeys"]
            if not unread:
                return
            keys = unread[self._table]["Keys"]
        raise StoreError("reading the lines of a batch failed")

    def _is_expired(self, item: Mapping[str, Any]) -> bool:
        return int(item["expires_at"]["N"]) * 1000 <= self._clock()


def _key(batch_id: str) -> str:
    return f"batch#{batch_id}"


def _batch(item: Mapping[str, Any]) -> Batch:
    return msgspec.convert(from_item(item), Batch)


def _result(line: int, item: Mapping[str, Any] | None) -> LineResult:
    if item is None:
        return LineResult(line=line)
    if "document" in item:
        job = job_of(item)
        return LineResult(line=line, custom_id=job.delivery.custom_id, job=job)
    error = msgspec.json.decode(item["refused"]["S"], type=LineError)
    return LineResult(line=line, custom_id=item["custom_id"]["S"] if "custom_id" in item else None, error=error)
