"""What SearchVectors returns: order, scores, filters, projection and consumed capacity."""

from typing import Any

import numpy as np
import pytest
from mypy_boto3_dynamodb import DynamoDBClient

from tests.contract.vector_tables import (
    create_filled_table,
    item,
    keys,
    scores,
    search,
    search_schema,
    search_tenant,
    string_attributes,
    table_request,
    vector,
    vector_index,
)

CATEGORY = {":t": {"S": "t1"}, ":c": {"S": "c1"}}


@pytest.fixture
def table(dynamodb: DynamoDBClient) -> DynamoDBClient:
    """Return a client whose table T is filled."""
    create_filled_table(dynamodb)
    return dynamodb


def test_cosine_scores_are_distances(table: DynamoDBClient) -> None:
    """COSINE runs from 0 (same) over 1 (orthogonal, or a zero vector) to 2 (opposite), nearest first."""
    response = search(table)

    assert scores(response) == {"a": 0.0, "b": 1.0, "z": 1.0, "n": 2.0}
    assert [result["Score"] for result in response["SearchResults"]] == [0.0, 1.0, 1.0, 2.0]


def test_a_zero_query_is_as_far_from_everything(table: DynamoDBClient) -> None:
    """A zero vector scores exactly 1 on either side, also against itself."""
    assert scores(search(table, query=[{"N": "0"}] * 3)) == {"a": 1.0, "b": 1.0, "z": 1.0, "n": 1.0}


def test_a_stored_vector_finds_itself_at_zero(dynamodb: DynamoDBClient) -> None:
    """Searching for a stored 384-dimensional vector gives exactly 0.0 for it."""
    index = vector_index("wide", dimensions=384)
    dynamodb.create_table(**table_request([index], AttributeDefinitions=string_attributes("pk")))
    stored = {name: vector(*np.random.default_rng(seed).normal(size=384)) for seed, name in enumerate("abc")}
    for name, embedding in stored.items():
        dynamodb.put_item(TableName="T", Item=item(name, embedding))

    response = search(dynamodb, "wide", stored["b"]["L"], TopK=1)

    assert scores(response) == {"b": 0.0}


def test_euclidean_scores_are_distances(table: DynamoDBClient) -> None:
    """EUCLIDEAN returns the distance, nearest first."""
    table.put_item(TableName="T", Item=item("far", vector(10, 0, 0)))
    response = search(table, "keys")

    assert keys(response) == ["a", "z", "b", "n", "far"]
    assert scores(response)["far"] == pytest.approx(9.0)


def test_dot_product_scores_are_similarities(table: DynamoDBClient) -> None:
    """DOT_PRODUCT returns the product, highest first, negative ones included."""
    response = search(table, "dot")

    assert [result["Score"] for result in response["SearchResults"]] == [1.0, 0.0, 0.0, -1.0]
    assert [keys(response)[0], keys(response)[-1]] == ["a", "n"]


def test_a_search_sees_one_partition(table: DynamoDBClient) -> None:
    """With a HASH only its items are searched; an unknown value finds nothing, which is no error."""
    assert {"a", "b", "z"} == set(search_tenant(table, "t1"))
    assert search_tenant(table, "t2") == []


@pytest.mark.parametrize(
    ("condition", "names"),
    [
        ("tenant = :t AND category = :c", None),
        ("(tenant = :t) and (#c = :c)", {"#c": "category"}),
        ("((:c = category AND :t = tenant))", None),
    ],
)
def test_an_inline_filter_excludes_items_without_the_attribute(
    table: DynamoDBClient, condition: str, names: dict[str, str] | None
) -> None:
    """Equalities joined by AND filter, with aliases, parentheses and either order of operands."""
    extra = {"ExpressionAttributeNames": names} if names else {}
    response = search(table, "schema", SearchConditionExpression=condition, ExpressionAttributeValues=CATEGORY, **extra)

    assert keys(response) == ["a"]


def test_everything_but_the_vector_is_returned(table: DynamoDBClient) -> None:
    """Under ALL, a search without a projection returns every attribute except the vector."""
    nearest = search(table, TopK=1)["SearchResults"][0]

    assert item("a", tenant="t1", category="c1", note="first") == nearest["Item"]


def test_keys_only_and_include_return_what_they_hold(dynamodb: DynamoDBClient) -> None:
    """KEYS_ONLY holds the table's keys and the SearchSchema attributes, INCLUDE also the attributes it lists."""
    schema = search_schema("tenant", "category")
    include = {"ProjectionType": "INCLUDE", "NonKeyAttributes": ["note", "emb"]}
    indexes = [
        vector_index("keys", Projection={"ProjectionType": "KEYS_ONLY"}, SearchSchema=schema),
        vector_index("some", Projection=include, SearchSchema=schema),
    ]
    dynamodb.create_table(**table_request(indexes))
    dynamodb.put_item(
        TableName="T",
        Item=item("a", vector(1, 0, 0), tenant="t1", category="c1", note="first", prompt="hidden"),
    )
    condition: dict[str, Any] = {
        "SearchConditionExpression": "tenant = :t",
        "ExpressionAttributeValues": {":t": {"S": "t1"}},
    }
    found = {name: search(dynamodb, name, **condition)["SearchResults"][0]["Item"] for name in ("keys", "some")}
    named = search(dynamodb, "some", ProjectionExpression="emb, prompt", **condition)["SearchResults"][0]["Item"]

    assert item("a", tenant="t1", category="c1") == found["keys"]
    assert item("a", tenant="t1", category="c1", note="first") == found["some"]
    assert [float(element["N"]) for element in named.pop("emb")["L"]] == [1.0, 0.0, 0.0]
    assert named == {}


def test_a_projection_returns_the_vector_only_if_named(table: DynamoDBClient) -> None:
    """A named vector comes back as float32; a name nobody has is silently absent."""
    nearest = search(table, ProjectionExpression="pk, emb, nope", TopK=1)["SearchResults"][0]["Item"]

    assert [float(element["N"]) for element in nearest.pop("emb")["L"]] == [1.0, 0.0, 0.0]
    assert item("a") == nearest


def test_a_projection_cannot_reach_past_the_index(table: DynamoDBClient) -> None:
    """On a KEYS_ONLY index a named vector or attribute is silently absent."""
    assert item("a") == search(table, "keys", ProjectionExpression="pk, emb, note")["SearchResults"][0]["Item"]


def test_a_projection_may_use_aliases(table: DynamoDBClient) -> None:
    """An alias names the attribute in the projection."""
    projection = {"ProjectionExpression": "#n", "ExpressionAttributeNames": {"#n": "note"}}

    assert search(table, **projection)["SearchResults"][0]["Item"] == {"note": {"S": "first"}}


@pytest.mark.parametrize(("top_k", "count"), [(100, 4), (1, 1)])
def test_top_k_is_an_upper_limit(table: DynamoDBClient, top_k: int, count: int) -> None:
    """A search returns the TopK nearest, or all items when there are fewer."""
    assert count == len(search(table, TopK=top_k)["SearchResults"])


@pytest.mark.parametrize("detail", ["TOTAL", "INDEXES"])
def test_consumed_capacity_is_reported_in_bytes(table: DynamoDBClient, detail: str) -> None:
    """TOTAL and INDEXES alike report VectorSearchRequestBytes, at least 1 KiB, and nothing else."""
    capacity = search(table, ReturnConsumedCapacity=detail)["ConsumedCapacity"]

    assert list(capacity) == ["VectorSearchRequestBytes"]
    assert capacity["VectorSearchRequestBytes"] >= 1024.0


@pytest.mark.parametrize("extra", [{}, {"ReturnConsumedCapacity": "NONE"}])
def test_consumed_capacity_is_reported_only_when_asked(table: DynamoDBClient, extra: dict[str, str]) -> None:
    """Without a request, or under NONE, ConsumedCapacity is absent."""
    assert "ConsumedCapacity" not in search(table, **extra)


def test_the_table_may_be_named_by_its_arn(table: DynamoDBClient) -> None:
    """A search by the table's ARN finds the same."""
    arn = table.describe_table(TableName="T")["Table"]["TableArn"]

    assert scores(search(table)) == scores(search(table, TableName=arn))


def test_numbers_match_by_value(dynamodb: DynamoDBClient) -> None:
    """A HASH value stored as 1 is found by the operand 1.0."""
    types = [*string_attributes("pk"), {"AttributeName": "year", "AttributeType": "N"}]
    index = vector_index("by-year", SearchSchema=search_schema("year"))
    dynamodb.create_table(**table_request([index], AttributeDefinitions=types))
    dynamodb.put_item(TableName="T", Item=item("a", vector(1, 0, 0)) | {"year": {"N": "1"}})

    response = search(
        dynamodb,
        "by-year",
        SearchConditionExpression="#y = :y",
        ExpressionAttributeNames={"#y": "year"},
        ExpressionAttributeValues={":y": {"N": "1.0"}},
    )

    assert keys(response) == ["a"]


def test_binary_values_match(dynamodb: DynamoDBClient) -> None:
    """A binary HASH value is compared by its bytes, and comes back as them."""
    types = [*string_attributes("pk"), {"AttributeName": "digest", "AttributeType": "B"}]
    index = vector_index("by-digest", SearchSchema=search_schema("digest"))
    dynamodb.create_table(**table_request([index], AttributeDefinitions=types))
    digest = {"B": b"\x00\xff"}
    dynamodb.put_item(TableName="T", Item=item("a", vector(1, 0, 0)) | {"digest": digest})

    response = search(
        dynamodb, "by-digest", SearchConditionExpression="digest = :d", ExpressionAttributeValues={":d": digest}
    )

    assert [item("a") | {"digest": digest}] == [result["Item"] for result in response["SearchResults"]]


def test_an_empty_table_finds_nothing(dynamodb: DynamoDBClient) -> None:
    """A search of an empty index succeeds with no results."""
    dynamodb.create_table(**table_request())

    assert search(dynamodb)["SearchResults"] == []
