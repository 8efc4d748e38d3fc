from collections.abc import Mapping
from typing import Any

import pytest

from llm_router.accounting.quantities import Quantities
from llm_router.accounting.tally import Tally
from llm_router.adapters.capacity import consumed, meter
from llm_router.adapters.dynamodb_cache import DynamoCacheStore
from tests.builders import make_entry
from tests.fakes import DIMENSIONS
from tests.integration.conftest import Cloud

VECTOR = [1.0] + [0.0] * (DIMENSIONS - 1)


def test_calls(cloud: Cloud) -> None:
    """Every single call is asked what it consumed while the tally runs; bytes of the vector index come beside units."""
    tally = Tally(0, lambda: 0)
    meter(cloud.dynamodb, tally)
    store = DynamoCacheStore(cloud.dynamodb, "CacheTable")

    with tally.running():
        store.put(make_entry(), VECTOR)
        written = tally.take()
        store.get("ns", make_entry().entry_id)
        read = tally.take()
        store.nearest("ns", VECTOR, 5)
        searched = tally.take()
    store.get("ns", make_entry().entry_id)

    # The units are the emulator's own: the same for an item of any size.
    assert written.write_request_milliunits > 0
    assert written.vector_write_bytes > 4 * DIMENSIONS
    assert Quantities(read_request_milliunits=500) == read
    assert searched.vector_search_bytes >= 1024
    assert Quantities() == tally.take()


@pytest.mark.parametrize(
    ("operation", "capacity", "expected"),
    [
        ("GetItem", {"CapacityUnits": 0.5}, {"read_request_milliunits": 500}),
        ("Query", {"CapacityUnits": 2.5, "Table": {"CapacityUnits": 0.0}}, {"read_request_milliunits": 2500}),
        ("DeleteItem", {"CapacityUnits": 2.0}, {"write_request_milliunits": 2000}),
        (
            "UpdateItem",
            {"CapacityUnits": 5.0, "VectorIndexes": {"prompt-embedding": {"VectorWriteRequestBytes": 3125.0}}},
            {"write_request_milliunits": 5000, "vector_write_bytes": 3125},
        ),
        ("SearchVectors", {"VectorSearchRequestBytes": 14_214.0}, {"vector_search_bytes": 14_214}),
        ("PutItem", {}, {}),
    ],
)
def test_consumed(operation: str, capacity: Mapping[str, Any], expected: dict[str, int]) -> None:
    """DynamoDB's answer is told in the names of the quantities; an error tells nothing."""
    assert expected == consumed(operation, capacity)
