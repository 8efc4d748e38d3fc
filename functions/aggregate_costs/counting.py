"""Counts a batch of the usage stream in few transactions, and says which of its records have to come again."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from llm_router.adapters.dynamodb import from_item
from llm_router.errors import StoreError
from llm_router.observability import failures_logged
from llm_router.ports import RollupStore
from llm_router.rollups import transactions, usage_event
from llm_router.usage import UsageEvent, UsageRecord


def count_batch(store: RollupStore, records: Sequence[Mapping[str, Any]]) -> list[str]:
    """Count stream records; return the sequence numbers of those that failed, in the order of the batch.

    A record that cannot be read fails alone. Those of a transaction that fails do so together: the stream brings them
    again in ever smaller batches, so that one the table refuses ends up alone too. What is counted already changes
    nothing then.
    """
    events, failed = _read(records)
    for part in transactions(events):
        try:
            with failures_logged("a transaction of usage records", first_event_id=part[0].event_id):
                store.add(part)
        except StoreError:
            failed |= {event.event_id for event in part}
    return [record["dynamodb"]["SequenceNumber"] for record in records if record["eventID"] in failed]


def _read(records: Sequence[Mapping[str, Any]]) -> tuple[list[UsageEvent], set[str]]:
    """Return what can be read, and the ids of the events that cannot."""
    events = []
    unreadable = set()
    for record in records:
        event_id = record["eventID"]
        try:
            with failures_logged("a usage record", event_id=event_id):
                usage = msgspec.convert(from_item(record["dynamodb"]["NewImage"]), UsageRecord)
                events.append(usage_event(event_id, usage))
        except Exception:  # noqa: BLE001 - logged above, and the stream is told; what is wrong with it is its writer's
            unreadable.add(event_id)
    return events, unreadable
