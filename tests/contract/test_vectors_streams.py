"""What a stream shows of writes that were refused, cancelled or raced, and what transactions restore."""

import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from mypy_boto3_dynamodb import DynamoDBClient

from tests.contract.conftest import Home
from tests.contract.vector_tables import CREDENTIALS, item, refusal, table_request, vector

Records = Iterator[list[tuple[str, str]]]


@pytest.fixture
def table(dynamodb: DynamoDBClient) -> DynamoDBClient:
    """Return a client whose table T has a stream and one item, a."""
    stream = {"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"}
    dynamodb.create_table(**table_request(StreamSpecification=stream))
    dynamodb.put_item(TableName="T", Item=item("a", vector(1, 0, 0)))
    return dynamodb


@pytest.fixture
def hasty_threads() -> Iterator[None]:
    """Let the interpreter change threads as often as it can."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


@pytest.fixture
def records(home: Home, table: DynamoDBClient) -> Iterator[Records]:
    """Return a reader that gives, each time, the event names and keys that are new in the stream of T."""
    streams = boto3.client("dynamodbstreams", "us-east-1", endpoint_url=home.endpoint_url, **CREDENTIALS)
    arn = table.describe_table(TableName="T")["Table"]["LatestStreamArn"]
    (shard,) = streams.describe_stream(StreamArn=arn)["StreamDescription"]["Shards"]
    position = {"StreamArn": arn, "ShardId": shard["ShardId"], "ShardIteratorType": "LATEST"}

    def read() -> Records:
        iterator = streams.get_shard_iterator(**position)["ShardIterator"]
        while True:
            page = streams.get_records(ShardIterator=iterator)
            iterator = page["NextShardIterator"]
            yield [(record["eventName"], record["dynamodb"]["Keys"]["pk"]["S"]) for record in page["Records"]]

    reader = read()
    next(reader)
    yield reader
    streams.close()


def update(client: DynamoDBClient, pk: str, value: dict[str, Any]) -> None:
    client.update_item(
        TableName="T",
        Key={"pk": {"S": pk}},
        UpdateExpression="SET emb = :v",
        ExpressionAttributeValues={":v": value},
    )


def test_an_upsert_is_one_insertion(table: DynamoDBClient, records: Records) -> None:
    """An update that creates its item shows as one INSERT, one that changes it as one MODIFY."""
    update(table, "new", vector(1, 0, 0))
    update(table, "new", vector(0, 1, 0))

    assert next(records) == [("INSERT", "new"), ("MODIFY", "new")]


def test_a_refused_write_leaves_no_record(table: DynamoDBClient, records: Records) -> None:
    """Neither a refused put nor a refused update or upsert reaches the stream."""
    refusal(update, table, "a", vector(1))
    refusal(update, table, "new", vector(1))
    refusal(table.put_item, TableName="T", Item=item("new", vector(1)))

    assert next(records) == []


def test_an_iterator_survives_a_cancelled_transaction(table: DynamoDBClient, records: Records) -> None:
    """A cancelled transaction leaves no record, and a reader sees what is written after it."""
    good, bad = ({"Put": {"TableName": "T", "Item": item(pk, vector(*[1] * n))}} for pk, n in (("x", 3), ("y", 1)))
    refusal(table.transact_write_items, TransactItems=[good, bad])
    cancelled = next(records)
    table.put_item(TableName="T", Item=item("later"))
    table.transact_write_items(TransactItems=[good])

    assert cancelled == []
    assert next(records) == [("INSERT", "later"), ("INSERT", "x")]


def test_a_backup_is_not_changed_by_later_updates(table: DynamoDBClient) -> None:
    """A copy of the table, which shares its items, keeps what they were."""
    before = table.get_item(TableName="T", Key={"pk": {"S": "a"}})["Item"]
    backup = table.create_backup(TableName="T", BackupName="before")["BackupDetails"]["BackupArn"]
    update(table, "a", vector(0, 1, 0))
    table.restore_table_from_backup(TargetTableName="Restored", BackupArn=backup)

    assert before == table.get_item(TableName="Restored", Key={"pk": {"S": "a"}})["Item"]


@pytest.mark.usefixtures("hasty_threads")
def test_concurrent_conditional_updates_admit_no_one_too_many(table: DynamoDBClient) -> None:
    """A counter limited to 20 by its condition reaches exactly 20 under eight threads."""

    def count(_: int) -> str:
        try:
            table.update_item(
                TableName="T",
                Key={"pk": {"S": "counter"}},
                UpdateExpression="ADD used :one",
                ConditionExpression="attribute_not_exists(used) OR used < :limit",
                ExpressionAttributeValues={":one": {"N": "1"}, ":limit": {"N": "20"}},
            )
        except ClientError as error:  # not `table.exceptions`, which two threads at once make two of
            return error.response["Error"]["Code"]
        return "admitted"

    with ThreadPoolExecutor(8) as pool:
        outcomes = Counter(pool.map(count, range(40)))

    assert outcomes == {"admitted": 20, "ConditionalCheckFailedException": 20}
    assert table.get_item(TableName="T", Key={"pk": {"S": "counter"}})["Item"]["used"] == {"N": "20"}
