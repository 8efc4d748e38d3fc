"""The tables and requests the vector index contract is checked on."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from botocore.exceptions import ClientError
from mypy_boto3_dynamodb import DynamoDBClient

Item = dict[str, dict[str, Any]]

CREDENTIALS = {"aws_access_key_id": "example", "aws_secret_access_key": "example"}
QUERY = [{"N": "1"}, {"N": "0"}, {"N": "0"}]


def string_attributes(*names: str) -> list[dict[str, str]]:
    """Declare string attributes."""
    return [{"AttributeName": name, "AttributeType": "S"} for name in names]


def search_schema(hash_attribute: str | None = None, *filters: str) -> list[dict[str, str]]:
    """Return a SearchSchema of one HASH attribute and inline filters."""
    hashes = [{"AttributeName": hash_attribute, "SearchSchemaElementType": "HASH"}] if hash_attribute else []
    return hashes + [{"AttributeName": name, "SearchSchemaElementType": "INLINE_FILTER"} for name in filters]


def vector_index(name: str, distance: str = "COSINE", dimensions: int = 3, **members: Any) -> dict[str, Any]:
    """Return an index on `emb` that projects everything; `members` replace or add members."""
    index = {
        "IndexName": name,
        "VectorAttribute": {"AttributeName": "emb"},
        "Dimensions": dimensions,
        "DistanceFunction": distance,
        "Projection": {"ProjectionType": "ALL"},
    }
    return index | members


def four_indexes() -> list[dict[str, Any]]:
    """Return the indexes of the main table: plain, schema, keys and dot."""
    return [
        vector_index("plain"),
        vector_index("schema", SearchSchema=search_schema("tenant", "category")),
        vector_index("keys", "EUCLIDEAN", Projection={"ProjectionType": "KEYS_ONLY"}),
        vector_index("dot", "DOT_PRODUCT"),
    ]


def table_request(indexes: list[dict[str, Any]] | None = None, **members: Any) -> dict[str, Any]:
    """Return a CreateTable request for table T with key `pk`; `members` replace or add members."""
    request: dict[str, Any] = {
        "TableName": "T",
        "BillingMode": "PAY_PER_REQUEST",
        "KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}],
        "AttributeDefinitions": string_attributes("pk", "tenant", "category"),
        "VectorIndexes": four_indexes() if indexes is None else indexes,
    }
    return request | members


def plain_table_request(**members: Any) -> dict[str, Any]:
    """Return a CreateTable request for table T without a vector index."""
    request = table_request(AttributeDefinitions=string_attributes("pk")) | members
    del request["VectorIndexes"]
    return request


def vector(*elements: float | str) -> dict[str, Any]:
    """Return a vector as an attribute value."""
    return {"L": [{"N": str(element)} for element in elements]}


def item(pk: str, embedding: dict[str, Any] | None = None, **strings: str) -> Item:
    """Return an item with string attributes and, if given, the vector `emb`."""
    attributes: Item = {name: {"S": value} for name, value in {"pk": pk, **strings}.items()}
    return attributes | ({"emb": embedding} if embedding else {})


def create_filled_table(client: DynamoDBClient) -> None:
    """Create table T with its four indexes and the items a, b, z (tenant t1) and n (no tenant)."""
    client.create_table(**table_request())
    for entry in (
        item("a", vector(1, 0, 0), tenant="t1", category="c1", note="first"),
        item("b", vector(0, 1, 0), tenant="t1"),
        item("z", vector(0, 0, 0), tenant="t1"),
        item("n", vector(-1, 0, 0), category="c1"),
    ):
        client.put_item(TableName="T", Item=entry)


def search(
    client: DynamoDBClient, index: str = "plain", query: Sequence[Any] = QUERY, **members: Any
) -> dict[str, Any]:
    """Search table T for the ten nearest."""
    request = {"TableName": "T", "IndexName": index, "SearchVector": query, "TopK": 10} | members
    return client.search_vectors(**request)  # type: ignore[no-any-return, attr-defined] # the stubs may predate it


def search_tenant(client: DynamoDBClient, tenant: str = "t1") -> list[str]:
    """Return the keys the index `schema` has for a tenant, nearest first."""
    condition = {"SearchConditionExpression": "tenant = :t", "ExpressionAttributeValues": {":t": {"S": tenant}}}
    return keys(search(client, "schema", **condition))


def keys(response: dict[str, Any]) -> list[str]:
    """Return the `pk` of each result in order."""
    return [result["Item"]["pk"]["S"] for result in response["SearchResults"]]


def scores(response: dict[str, Any]) -> dict[str, float]:
    """Return the score of each result by `pk`."""
    return {result["Item"]["pk"]["S"]: result["Score"] for result in response["SearchResults"]}


def refusal(call: Callable[..., Any], *args: Any, **request: Any) -> tuple[str, str]:
    """Return code and message of the error a call ends with."""
    with pytest.raises(ClientError) as caught:
        call(*args, **request)
    error = caught.value.response["Error"]
    return error["Code"], error["Message"]


def check_refusal(actual: tuple[str, str], message: str, code: str = "ValidationException") -> None:
    """Check the code and that the message contains a text."""
    assert code == actual[0]
    assert message in actual[1]
