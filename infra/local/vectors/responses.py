"""moto's request handler with SearchVectors, and with vector indexes in the operations moto already has."""

from collections.abc import Callable
from threading import RLock
from typing import Any, ClassVar

from moto.core.common_types import TYPE_RESPONSE
from moto.core.responses import ActionResult
from moto.dynamodb.models.table import Table
from moto.dynamodb.responses import DynamoHandler, DynamoResult

from infra.local.vectors.errors import invalid
from infra.local.vectors.schema import plan_creation, plan_update
from infra.local.vectors.search import parse_expressions, search
from infra.local.vectors.table import VectorTable
from infra.local.vectors.wire import check_wire


class VectorHandler(DynamoHandler):
    """Answers one DynamoDB request at a time: moto's tables are not safe to share between threads."""

    _lock: ClassVar = RLock()

    def call_action(self) -> TYPE_RESPONSE:
        """Run the request alone."""
        with self._lock:
            response: TYPE_RESPONSE = super().call_action()
        return response

    def create_table(self) -> ActionResult:
        """Create a table with its vector indexes, which are searchable at once."""
        definitions = plan_creation(self.body)
        result = super().create_table()
        if not definitions:
            return result
        table = self._vector_table()
        for definition in definitions:
            table.add_vector_index(definition)
        return _described(table, "CREATING", *(definition.name for definition in definitions))

    def _validate_table_creation(self, *args: Any, **kwargs: Any) -> None:
        """Check the rest of the request, where an attribute used by a SearchSchema alone is no surplus."""
        indexes = self.body.get("VectorIndexes", ())
        keyed = [*kwargs["key_schema"]]
        for index in [*(kwargs["global_indexes"] or ()), *(kwargs["local_secondary_indexes"] or ())]:
            keyed += index["KeySchema"]
        searched = [element for index in indexes for element in index.get("SearchSchema", ())]
        hidden = {element["AttributeName"] for element in searched} - {key["AttributeName"] for key in keyed}
        kwargs["attr"] = [entry for entry in kwargs["attr"] if entry["AttributeName"] not in hidden]
        super()._validate_table_creation(*args, **kwargs)

    def update_table(self) -> ActionResult:
        """Update a table; at most one vector index is created or deleted, at once."""
        if not isinstance(self._table(), VectorTable) and "VectorIndexUpdates" not in self.body:
            return super().update_table()
        table = self._vector_table()
        if "AttributeDefinitions" in self.body and "VectorIndexUpdates" in self.body:
            added = {entry["AttributeName"]: entry for entry in self.body["AttributeDefinitions"]}
            kept = {entry["AttributeName"]: entry for entry in table.attr}
            self.body["AttributeDefinitions"] = list((kept | added).values())
        change = plan_update(self.body, table.name, table.shape_after(self.body))
        result = super().update_table()
        if change.create:
            table.add_vector_index(change.create)
            return _described(table, "CREATING", change.create.name)
        if change.delete:
            result = _described(table, "DELETING", change.delete)
            del table.vector_indexes[change.delete]
        return result

    def search_vectors(self) -> ActionResult:
        """Answer SearchVectors."""
        check_wire(self.raw_body)
        expressions = parse_expressions(self.body)
        return ActionResult(search(self._vector_table(), self.body, expressions))

    def query(self) -> ActionResult:
        """Query a table or a secondary index; a vector index has no key order to query by."""
        if self._names_vector_index():
            raise invalid("Query operation not supported on this index type.")
        return super().query()

    def scan(self) -> ActionResult:
        """Scan a table or a secondary index."""
        if self._names_vector_index():
            raise invalid("Scan operation not supported on this index type")
        return super().scan()

    def put_item(self) -> ActionResult:
        """Put an item and report what its vector indexes bill."""
        return self._metered(super().put_item)

    def update_item(self) -> ActionResult:
        """Update an item and report what its vector indexes bill."""
        return self._metered(super().update_item)

    def delete_item(self) -> ActionResult:
        """Delete an item and report what its vector indexes bill."""
        return self._metered(super().delete_item)

    def batch_write_item(self) -> ActionResult:
        """Write a batch, refused as a whole when an index cannot take one of its items."""
        for table_name, requests in self.body["RequestItems"].items():
            table = self.dynamodb_backend.get_table(table_name)
            for request in requests:
                if "PutRequest" in request and isinstance(table, VectorTable):
                    table.check_put(request["PutRequest"]["Item"])
        return super().batch_write_item()

    def _table(self) -> Table:
        return self.dynamodb_backend.get_table(self.body["TableName"])

    def _vector_table(self) -> VectorTable:
        table = self._table()
        if not isinstance(table, VectorTable):
            raise TypeError(f"table {table.name} was made before install(), or restored from a backup")
        return table

    def _names_vector_index(self) -> bool:
        table = self._table()
        return isinstance(table, VectorTable) and self.body.get("IndexName") in table.vector_indexes

    def _metered(self, write: Callable[[], ActionResult]) -> ActionResult:
        table = self._table()
        billed = table.billed_bytes if isinstance(table, VectorTable) else {}
        billed.clear()
        result = write()
        if billed and self.body.get("ReturnConsumedCapacity") == "INDEXES":
            body: Any = result.result
            body["ConsumedCapacity"]["VectorIndexes"] = {
                name: {"VectorWriteRequestBytes": float(size)} for name, size in billed.items()
            }
        return result


def _described(table: VectorTable, status: str, *names: str) -> ActionResult:
    description = table.describe()
    for index in description["TableDescription"]["VectorIndexes"]:
        if index["IndexName"] in names:
            index["IndexStatus"] = status
    return DynamoResult(description)
