"""moto's DynamoDB backend with tables that carry vector indexes, and writes that are undone completely."""

import copy
from types import ModuleType
from typing import Any

from moto.dynamodb import urls
from moto.dynamodb.models import DynamoDBBackend
from moto.dynamodb.models.dynamo_type import Item
from moto.dynamodb.models.table import Table

from infra.local.vectors.table import VectorTable


class VectorBackend(DynamoDBBackend):
    """One account and region; moto creates and resets it."""

    @property
    def _url_module(self) -> ModuleType:
        return urls

    def create_table(self, *args: Any, **kwargs: Any) -> Table:
        """Create a table that can carry vector indexes."""
        return VectorTable.adopt(super().create_table(*args, **kwargs))

    def update_item(self, table_name: str, key: dict[str, Any], *args: Any, **kwargs: Any) -> Item:
        """Update a copy of the item, so that a refusal leaves neither a change nor a stream record behind."""
        table = self.get_table(table_name)
        if not isinstance(table, VectorTable):
            return super().update_item(table_name, key, *args, **kwargs)
        hash_key, range_key = self.get_keys_value(table, key)
        before = table.get_item(hash_key, range_key)
        try:
            if before is not None:
                table.replace_item(hash_key, range_key, copy.deepcopy(before))
            with table.bare():
                after = super().update_item(table_name, key, *args, **kwargs)
            table.check_update(before, after)
        except Exception:
            table.replace_item(hash_key, range_key, before)
            raise
        if table.stream_shard is not None:
            table.stream_shard.add(before, after)
        table.follow(hash_key, range_key)
        return after

    def transact_write_items(self, transact_items: list[dict[str, Any]]) -> None:
        """Write a transaction; when it is cancelled, moto restores its tables and we their streams."""
        shards = [(shard, len(shard.items)) for table in self.tables.values() if (shard := table.stream_shard)]
        try:
            super().transact_write_items(transact_items)
        except Exception:
            for shard, length in shards:
                del shard.items[length:]
                shard.table = self.tables[shard.table.name]
            raise
