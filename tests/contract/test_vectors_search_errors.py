"""What SearchVectors refuses, in which words, and in which order it looks."""

import math
from typing import Any

import httpx
import pytest
from botocore.exceptions import ParamValidationError
from mypy_boto3_dynamodb import DynamoDBClient

from infra.local.vectors import lag_searches
from tests.contract.conftest import Home
from tests.contract.vector_tables import (
    QUERY,
    check_refusal,
    create_filled_table,
    keys,
    refusal,
    search,
    search_schema,
    string_attributes,
    table_request,
    vector_index,
)

INVALID_VECTOR = (
    "Search vector contains invalid values. All values in the search vector must be a 32-bit floating-point number "
    "attribute"
)
TENANT = {":t": {"S": "t1"}}
PREFIX = "Invalid SearchConditionExpression: "


@pytest.fixture
def table(dynamodb: DynamoDBClient) -> DynamoDBClient:
    """Return a client whose table T is filled."""
    create_filled_table(dynamodb)
    return dynamodb


def condition(expression: str, values: dict[str, Any] | None = None, **names: str) -> dict[str, Any]:
    """Return the members that state a condition; `names` are aliases without their #."""
    members: dict[str, Any] = {"SearchConditionExpression": expression}
    if values != {}:
        members["ExpressionAttributeValues"] = values or TENANT
    if names:
        members["ExpressionAttributeNames"] = {f"#{alias}": name for alias, name in names.items()}
    return members


@pytest.mark.parametrize(
    ("members", "message"),
    [
        pytest.param(
            {"TopK": 101},
            "Provided TopK value '101' is out of valid range. The value must be between 1 and 100 inclusive",
            id="TopK",
        ),
        pytest.param(
            {"SearchVector": QUERY[:2]},
            "Input search vector dimension 2 does not match vector index dimension 3",
            id="dimensions",
        ),
        pytest.param({"SearchVector": [{"L": QUERY}]}, INVALID_VECTOR, id="list in a list"),
        pytest.param({"SearchVector": [{"N": "1E+39"}, *QUERY[1:]]}, INVALID_VECTOR, id="beyond float32"),
        pytest.param({"SearchVector": [{"N": "NaN"}, *QUERY[1:]]}, INVALID_VECTOR, id="not a number"),
        pytest.param({"SearchVector": [{"S": "1"}]}, INVALID_VECTOR, id="element type before dimensions"),
        pytest.param({"IndexName": "nope"}, "The table does not have the specified index: nope", id="unknown index"),
        pytest.param(
            condition("tenant = :t"),
            "SearchConditionExpression must not contain any attributes that is not in SearchSchema. "
            "Invalid attribute: tenant",
            id="condition without a SearchSchema",
        ),
        pytest.param(
            {"ProjectionExpression": "pk", "ExpressionAttributeNames": {"#n": "note"}},
            "Value provided in ExpressionAttributeNames unused in expressions: keys: {#n}",
            id="unused alias",
        ),
    ],
)
def test_a_search_of_the_plain_index_is_refused(table: DynamoDBClient, members: dict[str, Any], message: str) -> None:
    """Limits, vector, index name and condition are checked on an index without a SearchSchema."""
    check_refusal(refusal(search, table, **members), message)


@pytest.mark.parametrize(
    ("members", "message"),
    [
        pytest.param({}, "SearchConditionExpression must be provided when SearchSchema has a HASH key", id="none"),
        pytest.param(
            condition("category = :t"), "SearchConditionExpression must have all HASH attributes", id="no HASH"
        ),
        pytest.param(
            condition("tenant < :t"),
            PREFIX + "Invalid comparator used in SearchConditionExpression",
            id="comparator",
        ),
        pytest.param(
            condition("pk <> :t"),
            PREFIX + "Invalid comparator used in SearchConditionExpression",
            id="comparator before membership",
        ),
        pytest.param(condition("tenant IN (:t)"), "Invalid operator", id="IN"),
        pytest.param(condition("tenant BETWEEN :t AND :t"), "Invalid operator", id="BETWEEN"),
        pytest.param(condition("tenant = :t or category = :t"), "Invalid operator", id="OR"),
        pytest.param(condition("NOT tenant = :t"), "Invalid operator", id="NOT"),
        pytest.param(condition("begins_with(tenant, :t)"), "Invalid function", id="function"),
        pytest.param(condition("size(tenant) = :t"), "Invalid function", id="function named by a reserved word"),
        pytest.param(condition("tenant = category"), "Invalid operands", id="two attributes"),
        pytest.param(condition(":t = :t"), "Invalid operands", id="two values"),
        pytest.param(condition("tenant = :t)"), "Syntax error", id="parenthesis too many"),
        pytest.param(condition("(tenant = :t"), "Syntax error", id="parenthesis too few"),
        pytest.param(condition("tenant = 5"), "Syntax error", id="literal"),
        pytest.param(condition("tenant + :t"), "Syntax error", id="arithmetic"),
        pytest.param(condition("tenant ="), "Syntax error", id="half a condition"),
        pytest.param(condition(" ", {}), "The expression can not be empty", id="blank"),
        pytest.param(
            condition("pk = :t"), "is not in SearchSchema. Invalid attribute: pk", id="key outside the SearchSchema"
        ),
        pytest.param(
            condition("tenant.x = :t"),
            PREFIX + "SearchConditionExpression cannot have conditions on nested attributes",
            id="nested",
        ),
        pytest.param(condition("tenant[0] = :t"), "cannot have conditions on nested attributes", id="element"),
        pytest.param(
            condition("tenant = :t AND tenant = :t"),
            PREFIX + "SearchConditionExpression must only contain one condition per attribute",
            id="same attribute twice",
        ),
        pytest.param(
            condition("tenant = :t", {":t": {"N": "1"}}),
            "Type of 'tenant' attribute in SearchConditionExpression (N) does not match type in search schema (S)",
            id="operand type",
        ),
        pytest.param(
            condition("tenant = :t", {":t": {"S": ""}}),
            "The AttributeValue for a key attribute cannot contain an empty string value. Key: tenant",
            id="empty operand",
        ),
        pytest.param(
            condition("tenant = :t", {}),
            "An expression attribute value used in expression is not defined; attribute value: :t",
            id="undefined value",
        ),
        pytest.param(
            condition("tenant = :t", {**TENANT, ":x": {"S": "x"}}),
            "Value provided in ExpressionAttributeValues unused in expressions",
            id="unused value",
        ),
        pytest.param(
            condition("#tenant = :t"),
            "An expression attribute name used in the document path is not defined; attribute name: #tenant",
            id="undefined alias",
        ),
    ],
)
def test_a_search_of_the_partitioned_index_is_refused(
    table: DynamoDBClient, members: dict[str, Any], message: str
) -> None:
    """A condition must be equalities on the SearchSchema, the HASH among them."""
    check_refusal(refusal(search, table, "schema", **members), message)


def test_a_reserved_word_needs_an_alias(dynamodb: DynamoDBClient) -> None:
    """A reserved word is refused as it stands and accepted behind an alias."""
    index = vector_index("by-bucket", SearchSchema=search_schema("bucket"))
    dynamodb.create_table(**table_request([index], AttributeDefinitions=string_attributes("pk", "bucket")))
    actual = refusal(search, dynamodb, "by-bucket", **condition("bucket = :t"))

    check_refusal(actual, PREFIX + "Attribute name is a reserved keyword; reserved keyword: bucket")
    assert keys(search(dynamodb, "by-bucket", **condition("#b = :t", b="bucket"))) == []


@pytest.mark.parametrize("members", [{"TopK": 0}, {"TopK": 1.5}, {"SearchVector": {"L": QUERY}}, {"SearchVector": []}])
def test_botocore_refuses_before_sending(table: DynamoDBClient, members: dict[str, Any]) -> None:
    """What the request model forbids never reaches the server."""
    with pytest.raises(ParamValidationError):
        search(table, **members)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"IndexName": "ab"}, "Value at 'IndexName' failed to satisfy constraint: Member must have length greater"),
        ({"SearchVector": []}, "Value at 'SearchVector' failed to satisfy constraint: Member must have length greater"),
        ({"TopK": 0}, "Provided TopK value '0' is out of valid range"),
        ({"TableName": ..., "IndexName": "ab"}, "missing field `TableName` at line 1 column"),
        ({"TopK": ...}, "missing field `TopK` at line 1 column"),
    ],
)
def test_the_server_checks_the_request_model_too(
    unchecked: DynamoDBClient, change: dict[str, Any], message: str
) -> None:
    """Without botocore's checks, presence comes first and limits second; `...` stands for a member left out."""
    create_filled_table(unchecked)
    request = {"TableName": "T", "IndexName": "plain", "SearchVector": QUERY, "TopK": 1} | change
    sent = {name: value for name, value in request.items() if value is not ...}

    check_refusal(refusal(unchecked.search_vectors, **sent), message)  # type: ignore[attr-defined] # older stubs


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ('{"TableName": null}', "invalid type: null, expected a string at line 1 column 18"),
        ('{"TableName": "T", "SearchVector": null}', "invalid type: null, expected a sequence at line 1 column 39"),
        ('{"TopK": null}', "invalid type: null, expected i32 at line 1 column 13"),
        ('{"TopK": 3.5}', "invalid type: floating point `3.5`, expected i32 at line 1 column 12"),
    ],
)
def test_the_json_reader_refuses_wrong_types(moto_server_url: str, body: str, message: str) -> None:
    """A null or a fraction where the model wants a value is a SerializationException, before any other check."""
    headers = {
        "X-Amz-Target": "DynamoDB_20120810.SearchVectors",
        "Content-Type": "application/x-amz-json-1.0",
        "Authorization": "AWS4-HMAC-SHA256 Credential=example/20261123/us-east-1/dynamodb/aws4_request",
    }
    response = httpx.post(moto_server_url, content=body, headers=headers)

    assert response.status_code == 400
    assert response.json()["__type"].split("#")[-1] == "SerializationException"
    assert message == response.json()["message"]


def test_an_unknown_table_is_not_found(dynamodb: DynamoDBClient) -> None:
    """Searching a table that does not exist is a ResourceNotFoundException."""
    check_refusal(refusal(search, dynamodb), "Requested resource not found", "ResourceNotFoundException")


def test_a_vector_index_cannot_be_queried_or_scanned(table: DynamoDBClient) -> None:
    """Query and Scan refuse the index in their own words, and work on the table."""
    key = {"KeyConditionExpression": "pk = :p", "ExpressionAttributeValues": {":p": {"S": "a"}}}
    queried = refusal(table.query, TableName="T", IndexName="plain", **key)
    scanned = refusal(table.scan, TableName="T", IndexName="plain")

    check_refusal(queried, "Query operation not supported on this index type.")
    check_refusal(scanned, "Scan operation not supported on this index type")
    assert table.query(TableName="T", **key)["Count"] == 1


def test_a_fresh_index_can_lag(home: Home, table: DynamoDBClient) -> None:
    """After lag_searches the next searches miss the index, then it is there; DescribeTable says ACTIVE throughout."""
    lag_searches("T", 2)
    missed = [refusal(search, table) for _ in range(2)]
    status = table.describe_table(TableName="T")["Table"]["VectorIndexes"][0]["IndexStatus"]

    for actual in missed:
        check_refusal(actual, "The table does not have the specified index: plain")
    assert status == "ACTIVE"
    assert len(keys(search(table))) == 4


def test_an_unknown_table_cannot_lag(home: Home) -> None:
    """lag_searches tells when there is no such table."""
    with pytest.raises(LookupError, match="nope"):
        lag_searches("nope", 1)


def test_the_largest_float32_is_a_valid_query(table: DynamoDBClient) -> None:
    """The bounds of float32 are part of its range, and a dot product saturates there."""
    table.update_item(
        TableName="T",
        Key={"pk": {"S": "a"}},
        UpdateExpression="SET emb = :v",
        ExpressionAttributeValues={":v": {"L": [{"N": "3.4028235E+38"}] * 3}},
    )
    best = search(table, "dot", [{"N": "3.4028235E+38"}] * 3, TopK=1)["SearchResults"][0]

    assert math.isclose(best["Score"], 3.4028234663852886e38, rel_tol=1e-15)
