"""Writes to a table with vector indexes: what is refused, and how the indexes follow."""

from typing import Any

import pytest
from mypy_boto3_dynamodb import DynamoDBClient

from tests.contract.conftest import Home
from tests.contract.vector_tables import (
    QUERY,
    Item,
    check_refusal,
    create_filled_table,
    item,
    keys,
    plain_table_request,
    refusal,
    scores,
    search,
    search_schema,
    search_tenant,
    string_attributes,
    table_request,
    vector,
    vector_index,
)

A = {"pk": {"S": "a"}}
BAD_VECTORS = [
    pytest.param(vector(1, 0), "Invalid size for parameter emb, Expected: 3, Actual: 2", id="too short"),
    pytest.param({"S": "x"}, "Invalid type for parameter emb", id="string"),
    pytest.param({"NULL": True}, "Invalid type for parameter emb", id="null"),
    pytest.param({"NS": ["1", "1", "0"]}, "Input collection contains duplicates", id="number set with duplicates"),
    pytest.param({"NS": ["1", "2", "3"]}, "Invalid type for parameter emb", id="number set"),
    pytest.param(
        {"L": [{"N": "1"}, {"S": "o"}, {"N": "0"}]},
        "Invalid type for parameter emb[1], Expected: 32-bit floating point number, Actual: S",
        id="element type",
    ),
    pytest.param(
        vector("1E+39", 0, 0),
        "Invalid value for parameter emb[0], Value: 1E+39 is outside valid range [-3.4028235E38, 3.4028235E38]",
        id="beyond float32",
    ),
    pytest.param(vector("NaN", 0, 0), "cannot be converted to a numeric value: NaN", id="not a number"),
    pytest.param(vector("1_0", 0, 0), "cannot be converted to a numeric value: 1_0", id="a number to Python only"),
]


@pytest.fixture
def table(dynamodb: DynamoDBClient) -> DynamoDBClient:
    """Return a client whose table T is filled."""
    create_filled_table(dynamodb)
    return dynamodb


def stored(client: DynamoDBClient, pk: str = "a") -> Item | None:
    return client.get_item(TableName="T", Key={"pk": {"S": pk}}).get("Item")  # type: ignore[return-value]


def update(client: DynamoDBClient, expression: str, value: dict[str, Any] | None = None, **members: Any) -> Any:
    values = {"ExpressionAttributeValues": {":v": value}} if value else {}
    return client.update_item(TableName="T", Key=A, UpdateExpression=expression, **values, **members)


@pytest.mark.parametrize(("embedding", "message"), BAD_VECTORS)
def test_a_bad_vector_is_refused_by_put(table: DynamoDBClient, embedding: dict[str, Any], message: str) -> None:
    """An item whose vector does not fit the index is not stored at all."""
    check_refusal(refusal(table.put_item, TableName="T", Item=item("new", embedding)), message)
    assert stored(table, "new") is None


@pytest.mark.parametrize(("embedding", "message"), BAD_VECTORS)
def test_a_bad_vector_is_refused_by_update(table: DynamoDBClient, embedding: dict[str, Any], message: str) -> None:
    """An update to a vector that does not fit changes neither the item nor the index."""
    before = stored(table)
    check_refusal(refusal(update, table, "SET emb = :v, note = :v", embedding), message)

    assert before == stored(table)
    assert scores(search(table))["a"] == 0.0


def test_a_refused_upsert_creates_no_item(table: DynamoDBClient) -> None:
    """An update that would have created the item leaves nothing behind when it is refused."""
    actual = refusal(
        table.update_item,
        TableName="T",
        Key={"pk": {"S": "new"}},
        UpdateExpression="SET emb = :v",
        ExpressionAttributeValues={":v": vector(1)},
    )

    check_refusal(actual, "Expected: 3, Actual: 1")
    assert stored(table, "new") is None


@pytest.mark.parametrize("attribute", ["tenant", "category"])
def test_a_search_attribute_of_the_wrong_type_is_refused(table: DynamoDBClient, attribute: str) -> None:
    """An attribute of the SearchSchema must have its declared type, HASH and filter alike."""
    entry = item("new", vector(1, 0, 0)) | {attribute: {"N": "1"}}
    message = f"Attribute '{attribute}' type mismatch. Expected: S, Actual: N. IndexName: schema"

    check_refusal(refusal(table.put_item, TableName="T", Item=entry), message)
    check_refusal(refusal(update, table, f"SET {attribute} = :v", {"N": "1"}), message)


def test_a_malformed_number_is_refused_wherever_it_is(table: DynamoDBClient) -> None:
    """A number inside a list is checked as one outside, in attributes no index looks at."""
    note = {"L": [{"M": {"deep": {"N": "x"}}}]}
    message = "cannot be converted to a numeric value: x"

    check_refusal(refusal(table.put_item, TableName="T", Item=item("new") | {"note": note}), message)
    check_refusal(refusal(update, table, "SET note = :v", note), message)


def test_the_keys_of_the_table_keep_their_own_rules(dynamodb: DynamoDBClient) -> None:
    """A key of the table that is also the HASH of an index is refused as a key of the table."""
    index = vector_index("by-key", SearchSchema=search_schema("pk"))
    dynamodb.create_table(**table_request([index], AttributeDefinitions=string_attributes("pk")))
    actual = refusal(dynamodb.put_item, TableName="T", Item={"pk": {"N": "1"}})

    check_refusal(actual, "Type mismatch for key pk expected: S actual: N")


def test_an_empty_hash_value_is_refused(table: DynamoDBClient) -> None:
    """Put names index and key; Update has a text of its own."""
    put = refusal(table.put_item, TableName="T", Item=item("new", vector(1, 0, 0), tenant=""))
    updated = refusal(update, table, "SET tenant = :v", {"S": ""})

    check_refusal(put, "cannot contain an empty string value. IndexName: schema, IndexKey: tenant")
    check_refusal(updated, "The update expression attempted to update a secondary index key to a value that is not")
    assert stored(table, "new") is None


def test_an_item_needs_no_vector_and_no_filter_attribute(table: DynamoDBClient) -> None:
    """Without a vector an item is stored and not indexed; without a filter attribute it is indexed."""
    table.put_item(TableName="T", Item=item("bare", tenant="t1", category="c1"))
    table.put_item(TableName="T", Item=item("unfiltered", vector(1, 0, 0), tenant="t1"))
    found = search_tenant(table)

    assert stored(table, "bare") is not None
    assert "bare" not in found
    assert "unfiltered" in found


def test_an_item_without_the_hash_attribute_is_in_the_other_indexes(table: DynamoDBClient) -> None:
    """The item n has no tenant: stored whole, found by the index without HASH, absent from the one with."""
    assert item("n", vector(-1, 0, 0), category="c1") == stored(table, "n")
    assert "n" in keys(search(table))
    assert "n" not in search_tenant(table)


def test_an_item_leaves_and_reenters_with_its_hash_attribute(table: DynamoDBClient) -> None:
    """Removing the HASH attribute takes an item out of the index, setting it brings it back."""
    update(table, "REMOVE tenant")
    without = search_tenant(table)
    update(table, "SET tenant = :v", {"S": "t1"})

    assert {"b", "z"} == set(without)
    assert {"a", "b", "z"} == set(search_tenant(table))


def test_an_updated_vector_is_ranked_anew(table: DynamoDBClient) -> None:
    """The index follows a vector that an update replaces."""
    update(table, "SET emb = :v", vector(-1, 0, 0))

    assert scores(search(table))["a"] == 2.0


def test_an_updated_element_is_ranked_anew(table: DynamoDBClient) -> None:
    """An update of one element inside the vector reaches the index too."""
    update(table, "SET emb[0] = :v", {"N": "-1"})

    assert scores(search(table))["a"] == 2.0


def test_an_updated_attribute_is_returned(table: DynamoDBClient) -> None:
    """The projected attributes of a result follow an update."""
    update(table, "SET note = :v", {"S": "second"})

    assert search(table, TopK=1)["SearchResults"][0]["Item"]["note"] == {"S": "second"}


def test_removing_a_vector_removes_the_entry(table: DynamoDBClient) -> None:
    """An item whose vector is removed, or that is deleted or put again without one, is no longer found."""
    update(table, "REMOVE emb")
    table.delete_item(TableName="T", Key={"pk": {"S": "b"}})
    table.put_item(TableName="T", Item=item("z", tenant="t1"))

    assert keys(search(table)) == ["n"]
    assert search_tenant(table) == []


def test_a_changed_hash_value_moves_the_entry(table: DynamoDBClient) -> None:
    """An item that changes its HASH value changes partition."""
    update(table, "SET tenant = :v", {"S": "t2"})

    assert {"b", "z"} == set(search_tenant(table, "t1"))
    assert search_tenant(table, "t2") == ["a"]


def test_batches_are_indexed(table: DynamoDBClient) -> None:
    """Puts and deletes of a BatchWriteItem reach the index."""
    put = {"PutRequest": {"Item": item("new", vector(1, 0, 0), tenant="t2")}}
    table.batch_write_item(RequestItems={"T": [put, {"DeleteRequest": {"Key": A}}]})

    assert {"new", "b", "z", "n"} == set(keys(search(table)))
    assert search_tenant(table, "t2") == ["new"]


def test_a_batch_with_a_bad_vector_is_refused_whole(table: DynamoDBClient) -> None:
    """One vector that does not fit keeps the whole batch out."""
    puts = [{"PutRequest": {"Item": item(pk, vector(*elements))}} for pk, elements in (("x", (1, 0, 0)), ("y", (1,)))]
    actual = refusal(table.batch_write_item, RequestItems={"T": puts})

    check_refusal(actual, "Expected: 3, Actual: 1")
    assert stored(table, "x") is None


def test_a_committed_transaction_is_indexed(table: DynamoDBClient) -> None:
    """Put, update and delete of one transaction reach the index together."""
    change = {"UpdateExpression": "SET emb = :v", "ExpressionAttributeValues": {":v": vector(1, 0, 0)}}
    table.transact_write_items(
        TransactItems=[
            {"Put": {"TableName": "T", "Item": item("new", vector(1, 0, 0))}},
            {"Update": {"TableName": "T", "Key": {"pk": {"S": "n"}}, **change}},
            {"Delete": {"TableName": "T", "Key": A}},
        ]
    )

    assert scores(search(table)) == {"new": 0.0, "n": 0.0, "b": 1.0, "z": 1.0}


def test_a_cancelled_transaction_changes_nothing(table: DynamoDBClient) -> None:
    """A refused vector is a cancellation reason of its item; table and index are as before, and writable."""
    before = search(table)["SearchResults"]
    change = {"UpdateExpression": "SET note = :v", "ExpressionAttributeValues": {":v": {"S": "changed"}}}
    with pytest.raises(table.exceptions.TransactionCanceledException) as caught:
        table.transact_write_items(
            TransactItems=[
                {"Update": {"TableName": "T", "Key": A, **change}},
                {"Put": {"TableName": "T", "Item": item("new", vector(1, 0))}},
            ]
        )
    none, reason = caught.value.response["CancellationReasons"]
    after = search(table)["SearchResults"]
    table.put_item(TableName="T", Item=item("later", vector(1, 0, 0)))

    assert none["Code"] == "None"
    assert reason["Code"] == "ValidationError"
    assert "Invalid size for parameter emb, Expected: 3, Actual: 2" in reason["Message"]
    assert before == after
    assert item("a", vector(1, 0, 0), tenant="t1", category="c1", note="first") == stored(table)
    assert "later" in keys(search(table))


def test_a_cancelled_transaction_restores_a_partition(dynamodb: DynamoDBClient) -> None:
    """On a table with a range key, rows that a cancelled transaction added are gone."""
    names = ("pk", "row")
    schema = [{"AttributeName": name, "KeyType": kind} for name, kind in zip(names, ("HASH", "RANGE"), strict=True)]
    attributes = string_attributes(*names)
    dynamodb.create_table(**table_request([vector_index("plain")], KeySchema=schema, AttributeDefinitions=attributes))
    dynamodb.put_item(TableName="T", Item=item("a", vector(1, 0, 0), row="1"))
    puts = [{"Put": {"TableName": "T", "Item": item("a", vector(*[1] * length), row=str(length))}} for length in (3, 2)]
    refusal(dynamodb.transact_write_items, TransactItems=puts)

    assert dynamodb.scan(TableName="T")["Items"] == [item("a", vector(1, 0, 0), row="1")]
    assert len(search(dynamodb)["SearchResults"]) == 1


def test_an_empty_hash_value_fails_the_transaction_itself(table: DynamoDBClient) -> None:
    """An empty HASH value is a ValidationException of the request, not a cancellation reason."""
    put = {"Put": {"TableName": "T", "Item": item("new", vector(1, 0, 0), tenant="")}}

    check_refusal(refusal(table.transact_write_items, TransactItems=[put]), "cannot contain an empty string value")


def test_the_table_keeps_digits_that_the_index_rounds(table: DynamoDBClient) -> None:
    """GetItem returns the numbers as written; the index compares float32."""
    digits = vector("0.12345678901234567", "1", "0")
    table.put_item(TableName="T", Item=item("digits", digits))
    rounded = [{"N": "0.123456791"}, {"N": "1"}, {"N": "0"}]

    assert item("digits", digits) == stored(table, "digits")
    assert scores(search(table, query=rounded))["digits"] == 0.0


def test_only_changed_attributes_are_judged(dynamodb: DynamoDBClient) -> None:
    """An item that had a bad vector before the index came may change in its other attributes."""
    dynamodb.create_table(**plain_table_request())
    dynamodb.put_item(TableName="T", Item=item("a", vector(1, 0)))
    dynamodb.update_table(TableName="T", VectorIndexUpdates=[{"Create": vector_index("plain")}])
    update(dynamodb, "SET note = :v", {"S": "new"})

    assert item("a", vector(1, 0), note="new") == stored(dynamodb)
    assert search(dynamodb)["SearchResults"] == []


def test_a_write_reports_the_bytes_of_each_index(dynamodb: DynamoDBClient) -> None:
    """INDEXES reports 4 bytes per dimension, the vector's name and the other attributes, when the entry changed."""
    index = vector_index("vix", dimensions=384)
    dynamodb.create_table(**table_request([index], AttributeDefinitions=string_attributes("pk")))
    entry = item("a", vector(*[0.5] * 384), answer="x" * 100)
    put = {"TableName": "T", "Item": entry}

    capacities = [
        dynamodb.put_item(**put, ReturnConsumedCapacity=detail)["ConsumedCapacity"] for detail in ("INDEXES",) * 2
    ]
    changed = item("a", vector(*[0.25] * 384))
    total = dynamodb.put_item(TableName="T", Item=changed, ReturnConsumedCapacity="TOTAL")["ConsumedCapacity"]

    expected_bytes = 4 * 384 + len("emb") + len("pk" + "a") + len("answer") + 100
    assert {"vix": {"VectorWriteRequestBytes": float(expected_bytes)}} == capacities[0]["VectorIndexes"]
    assert "VectorIndexes" not in capacities[1]
    assert "VectorIndexes" not in total


def test_a_small_write_is_billed_as_a_kibibyte(table: DynamoDBClient) -> None:
    """1024 bytes is the least that a changed entry reports, for update and delete as well."""
    asked = {"ReturnConsumedCapacity": "INDEXES"}
    updated = update(table, "SET note = :v", {"S": "new"}, **asked)["ConsumedCapacity"]["VectorIndexes"]
    deleted = table.delete_item(TableName="T", Key=A, **asked)["ConsumedCapacity"]["VectorIndexes"]

    least = {"VectorWriteRequestBytes": 1024.0}
    # `keys` projects no note, so its entry did not change.
    assert dict.fromkeys(["plain", "schema", "dot"], least) == updated
    assert dict.fromkeys(["plain", "schema", "keys", "dot"], least) == deleted


def test_regions_and_accounts_do_not_share_tables(home: Home) -> None:
    """The same table name in another region or account is another table with other entries."""
    elsewhere = [home.client("eu-west-1"), home.client(account="111122223333")]
    create_filled_table(home.client())
    for number, client in enumerate(elsewhere):
        client.create_table(**table_request())
        client.put_item(TableName="T", Item=item(f"only-{number}", vector(1, 0, 0)))

    assert [keys(search(client)) for client in elsewhere] == [["only-0"], ["only-1"]]
    assert {"a", "b", "z", "n"} == set(keys(search(home.client())))


def test_a_new_mock_starts_empty(dynamodb: DynamoDBClient) -> None:
    """Neither tables nor entries of an earlier case are left."""
    assert dynamodb.list_tables()["TableNames"] == []
    dynamodb.create_table(**table_request())

    assert search(dynamodb, query=QUERY)["SearchResults"] == []
