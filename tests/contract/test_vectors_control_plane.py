"""CreateTable, UpdateTable and DescribeTable with vector indexes, in DynamoDB's own words."""

from typing import Any

import boto3
import pytest
from moto import mock_aws
from mypy_boto3_dynamodb import DynamoDBClient

from infra.local.vectors import install
from tests.contract.vector_tables import (
    CREDENTIALS,
    QUERY,
    check_refusal,
    create_filled_table,
    four_indexes,
    item,
    keys,
    plain_table_request,
    refusal,
    search,
    search_schema,
    string_attributes,
    table_request,
    vector,
    vector_index,
)

PREFIX = "One or more parameter values were invalid: "
TWO_HASHES = [*search_schema("tenant"), *search_schema("category")]
NO_SPARE_ATTRIBUTE = {"AttributeDefinitions": string_attributes("pk")}
SECONDARY = {
    "IndexName": "vvv",
    "KeySchema": [{"AttributeName": "tenant", "KeyType": "HASH"}],
    "Projection": {"ProjectionType": "ALL"},
}


def describe(client: DynamoDBClient) -> dict[str, Any]:
    return client.describe_table(TableName="T")["Table"]  # type: ignore[return-value]


def test_a_table_describes_its_indexes_as_they_were_declared(dynamodb: DynamoDBClient) -> None:
    """CreateTable answers CREATING; DescribeTable then shows the definition, ACTIVE, an ARN and no Backfilling."""
    created = dynamodb.create_table(**table_request())["TableDescription"]["VectorIndexes"]
    table = describe(dynamodb)

    assert [index["IndexStatus"] for index in created] == ["CREATING"] * 4
    for declared, described in zip(four_indexes(), table["VectorIndexes"], strict=True):
        assert declared == {name: described[name] for name in declared}
        assert described["IndexStatus"] == "ACTIVE"
        assert f"{table['TableArn']}/index/{declared['IndexName']}" == described["IndexArn"]
        assert "Backfilling" not in described


def test_a_table_without_indexes_does_not_mention_them(dynamodb: DynamoDBClient) -> None:
    """VectorIndexes is absent, not empty, when a table has none."""
    dynamodb.create_table(**plain_table_request())

    assert "VectorIndexes" not in describe(dynamodb)


def test_the_key_of_the_table_can_partition_the_index(dynamodb: DynamoDBClient) -> None:
    """With the table's HASH key as the index's HASH, a search sees one namespace and INCLUDE adds the answer."""
    index = vector_index(
        "prompt-embedding",
        dimensions=384,
        SearchSchema=search_schema("namespace"),
        Projection={"ProjectionType": "INCLUDE", "NonKeyAttributes": ["answer", "expires_at"]},
    )
    dynamodb.create_table(
        **table_request(
            [index],
            KeySchema=[
                {"AttributeName": "namespace", "KeyType": "HASH"},
                {"AttributeName": "entry_id", "KeyType": "RANGE"},
            ],
            AttributeDefinitions=string_attributes("namespace", "entry_id"),
        )
    )
    for namespace, entry_id in (("one", "x"), ("two", "x"), ("two", "y")):
        key = {"namespace": {"S": namespace}, "entry_id": {"S": entry_id}}
        rest = {"answer": {"S": namespace}, "prompt": {"S": "?"}, "emb": vector(*[0.5] * 384)}
        dynamodb.put_item(TableName="T", Item=key | rest)

    found = search(
        dynamodb,
        "prompt-embedding",
        [{"N": "0.5"}] * 384,
        SearchConditionExpression="namespace = :n",
        ExpressionAttributeValues={":n": {"S": "two"}},
    )["SearchResults"]

    expected = [{"namespace": {"S": "two"}, "entry_id": {"S": id_}, "answer": {"S": "two"}} for id_ in "xy"]
    assert expected == sorted((result["Item"] for result in found), key=lambda found: found["entry_id"]["S"])
    assert [result["Score"] for result in found] == [0.0, 0.0]


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        pytest.param(
            table_request(
                BillingMode="PROVISIONED", ProvisionedThroughput={"ReadCapacityUnits": 1, "WriteCapacityUnits": 1}
            ),
            PREFIX + "Vector indexes are only supported for PAY_PER_REQUEST tables",
            id="provisioned",
        ),
        pytest.param(table_request([]), PREFIX + "List of VectorIndexes is empty", id="empty list"),
        pytest.param(
            table_request([vector_index(f"index-{i}") for i in range(6)], **NO_SPARE_ATTRIBUTE),
            PREFIX + "VectorIndex count exceeds the per-table limit of 5",
            id="six indexes",
        ),
        pytest.param(
            table_request([vector_index("vvv", dimensions=4097)], **NO_SPARE_ATTRIBUTE),
            PREFIX + "Number of dimensions must be between 1 and 4096 inclusive.",
            id="too many dimensions",
        ),
        pytest.param(
            table_request([vector_index("vvv", SearchSchema=search_schema("tenant"))], **NO_SPARE_ATTRIBUTE),
            PREFIX + "One element in SearchSchema is not defined in attribute definitions",
            id="undeclared search attribute",
        ),
        pytest.param(
            table_request([vector_index("vvv")], AttributeDefinitions=string_attributes("pk", "emb")),
            PREFIX + "Conflicting attribute definition for 'emb'. An attribute cannot be defined in "
            "AttributeDefinitions when used as a VectorAttribute.",
            id="declared vector attribute",
        ),
        pytest.param(
            table_request([vector_index("three"), vector_index("four", dimensions=4)], **NO_SPARE_ATTRIBUTE),
            PREFIX + "Conflicting attribute definition for 'emb'. All VectorIndexes on the same vector attribute must "
            "use the same dimensions.",
            id="two sizes",
        ),
        pytest.param(
            table_request([vector_index("vvv"), vector_index("vvv")], **NO_SPARE_ATTRIBUTE),
            PREFIX + "Duplicate index name: vvv",
            id="duplicate name",
        ),
        pytest.param(
            table_request(
                [vector_index("vvv")],
                GlobalSecondaryIndexes=[SECONDARY],
                AttributeDefinitions=string_attributes("pk", "tenant"),
            ),
            PREFIX + "Duplicate index name: vvv",
            id="name of a secondary index",
        ),
        pytest.param(
            table_request([vector_index("vvv", SearchSchema=TWO_HASHES)]),
            PREFIX + "Value '2' at 'SearchSchema' failed to satisfy constraint: "
            "Member must have HASH count less than or equal to 1",
            id="two HASH attributes",
        ),
        pytest.param(
            table_request([vector_index("vvv", SearchSchema=search_schema("tenant", "category", "category"))]),
            PREFIX + "SearchSchema contains a duplicate AttributeName",
            id="repeated search attribute",
        ),
        pytest.param(
            table_request([vector_index("vvv", SearchSchema=search_schema("tenant"))]),
            "Number of attributes in KeySchema does not exactly match number of attributes defined",
            id="unused attribute definition",
        ),
    ],
)
def test_create_table_refuses_what_dynamodb_refuses(
    dynamodb: DynamoDBClient, request_: dict[str, Any], message: str
) -> None:
    """A wrong index definition is a ValidationException, and no table comes of it."""
    check_refusal(refusal(dynamodb.create_table, **request_), message)
    assert dynamodb.list_tables()["TableNames"] == []


def test_dimensions_start_at_one(unchecked: DynamoDBClient) -> None:
    """Zero dimensions break a constraint of the request model, named by its path."""
    message = (
        "1 validation error detected: Value '0' at '{}.dimensions' failed to satisfy constraint: "
        "Member must have value greater than or equal to 1"
    )
    index = vector_index("vvv", dimensions=0)
    on_create = refusal(unchecked.create_table, **table_request([index], **NO_SPARE_ATTRIBUTE))
    unchecked.create_table(**plain_table_request())
    on_update = refusal(unchecked.update_table, TableName="T", VectorIndexUpdates=[{"Create": index}])

    check_refusal(on_create, message.format("vectorIndexes.1.member"))
    check_refusal(on_update, message.format("vectorIndexUpdates.1.member.create"))


def test_an_unknown_distance_function_is_refused(dynamodb: DynamoDBClient) -> None:
    """A distance function outside the model's enumeration breaks a constraint."""
    request = table_request([vector_index("vvv", "MANHATTAN")], **NO_SPARE_ATTRIBUTE)

    check_refusal(refusal(dynamodb.create_table, **request), "[COSINE, DOT_PRODUCT, EUCLIDEAN]")


def test_an_index_added_later_holds_the_valid_items(dynamodb: DynamoDBClient) -> None:
    """UpdateTable indexes the items that qualify, skips the others, and deleting the index leaves the table alone."""
    dynamodb.create_table(**plain_table_request())
    entries = [item("good", vector(1, 0, 0)), item("short", vector(1, 0)), item("text", {"S": "x"}), item("none")]
    for entry in entries:
        dynamodb.put_item(TableName="T", Item=entry)

    created = dynamodb.update_table(TableName="T", VectorIndexUpdates=[{"Create": vector_index("late")}])
    found = keys(search(dynamodb, "late"))
    deleted = dynamodb.update_table(TableName="T", VectorIndexUpdates=[{"Delete": {"IndexName": "late"}}])

    assert created["TableDescription"]["VectorIndexes"][0]["IndexStatus"] == "CREATING"
    assert found == ["good"]
    assert deleted["TableDescription"]["VectorIndexes"][0]["IndexStatus"] == "DELETING"
    assert "VectorIndexes" not in describe(dynamodb)
    assert len(entries) == dynamodb.scan(TableName="T")["Count"]


def test_an_added_index_can_bring_its_search_attribute(dynamodb: DynamoDBClient) -> None:
    """AttributeDefinitions of UpdateTable add to those of the table."""
    dynamodb.create_table(**plain_table_request())
    index = vector_index("late", SearchSchema=search_schema("tenant"))
    dynamodb.update_table(
        TableName="T", AttributeDefinitions=string_attributes("tenant"), VectorIndexUpdates=[{"Create": index}]
    )

    declared = {entry["AttributeName"] for entry in describe(dynamodb)["AttributeDefinitions"]}
    assert {"pk", "tenant"} == declared


@pytest.mark.parametrize(
    ("updates", "code", "message"),
    [
        pytest.param(
            [{"Delete": {"IndexName": "nope"}}],
            "ResourceNotFoundException",
            "Requested resource not found: Index nope for table T",
            id="delete of an unknown index",
        ),
        pytest.param(
            [{"Create": vector_index("one")}, {"Create": vector_index("two")}],
            "LimitExceededException",
            "Subscriber limit exceeded: Only 1 online index can be created or deleted simultaneously per table",
            id="two actions",
        ),
        pytest.param(
            [{"Create": vector_index("one"), "Delete": {"IndexName": "plain"}}],
            "ValidationException",
            PREFIX + "Only one vector index action is allowed per VectorIndexUpdate object",
            id="two actions in one entry",
        ),
        pytest.param(
            [{"Create": vector_index("plain")}],
            "ValidationException",
            "Attempting to create an index which already exists",
            id="existing name",
        ),
        pytest.param(
            [{"Create": vector_index("other", dimensions=4)}],
            "ValidationException",
            "All VectorIndexes on the same vector attribute must use the same dimensions.",
            id="other size than the existing indexes",
        ),
    ],
)
def test_update_table_refuses_what_dynamodb_refuses(
    dynamodb: DynamoDBClient, updates: list[dict[str, Any]], code: str, message: str
) -> None:
    """A refused index action changes none of the table's indexes."""
    dynamodb.create_table(**table_request())

    check_refusal(refusal(dynamodb.update_table, TableName="T", VectorIndexUpdates=updates), message, code)
    assert [index["IndexName"] for index in describe(dynamodb)["VectorIndexes"]] == ["plain", "schema", "keys", "dot"]


def test_a_secondary_index_counts_as_the_one_online_action(dynamodb: DynamoDBClient) -> None:
    """A vector index and a global secondary index cannot be created in one request."""
    dynamodb.create_table(**plain_table_request())
    actual = refusal(
        dynamodb.update_table,
        TableName="T",
        AttributeDefinitions=string_attributes("pk", "tenant"),
        VectorIndexUpdates=[{"Create": vector_index("one")}],
        GlobalSecondaryIndexUpdates=[{"Create": SECONDARY}],
    )

    check_refusal(actual, "Subscriber limit exceeded", "LimitExceededException")


def test_vector_indexes_need_on_demand_billing_for_life(dynamodb: DynamoDBClient) -> None:
    """An indexed table cannot turn provisioned, and a provisioned table cannot get an index."""
    throughput = {"ReadCapacityUnits": 1, "WriteCapacityUnits": 1}
    provisioned = {"BillingMode": "PROVISIONED", "ProvisionedThroughput": throughput}
    dynamodb.create_table(**table_request())
    dynamodb.create_table(**plain_table_request(TableName="U", **provisioned))

    switched = refusal(dynamodb.update_table, TableName="T", **provisioned)
    added = refusal(dynamodb.update_table, TableName="U", VectorIndexUpdates=[{"Create": vector_index("one")}])

    check_refusal(switched, PREFIX + "Tables with vector indexes must be in PAY_PER_REQUEST mode")
    check_refusal(added, PREFIX + "Vector indexes are only supported for PAY_PER_REQUEST tables")


def test_a_sixth_index_is_refused_by_update_table(dynamodb: DynamoDBClient) -> None:
    """The limit of five counts the indexes the table has."""
    dynamodb.create_table(**table_request([vector_index(f"index-{i}") for i in range(5)], **NO_SPARE_ATTRIBUTE))
    actual = refusal(dynamodb.update_table, TableName="T", VectorIndexUpdates=[{"Create": vector_index("index-5")}])

    check_refusal(actual, PREFIX + "VectorIndex count exceeds the per-table limit of 5")


@pytest.mark.parametrize("account", [None, "123456789012"])
def test_the_mock_answers_on_the_search_hosts(account: str | None) -> None:
    """Botocore sends SearchVectors to a host of its own, with or without the account in its name."""
    hosts = []
    with mock_aws():
        client = boto3.client("dynamodb", region_name="eu-west-1", aws_account_id=account, **CREDENTIALS)
        client.meta.events.register(
            "before-send.dynamodb.SearchVectors", lambda request, **_: hosts.append(request.url)
        )
        create_filled_table(client)

        assert keys(search(client)) == ["a", "b", "z", "n"]
        client.close()

    expected = f"{account}.search-ddb" if account else "search-dynamodb"
    assert [f"https://{expected}.eu-west-1.amazonaws.com/"] == hosts


def test_installing_twice_changes_nothing(dynamodb: DynamoDBClient) -> None:
    """A second install() leaves a table and its index as they are."""
    create_filled_table(dynamodb)
    install()

    assert len(keys(search(dynamodb, query=QUERY))) == 4
