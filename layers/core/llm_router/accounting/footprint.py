"""What a finished request used of the platform: what was metered, and by rules what nobody can meter in time.

Metered are the functions' time and what DynamoDB says that single calls consumed. Rules stand for what happens while
or after the usage record is written:

- the caller's function, which looks for the end of a job that another function runs, until it sees it or its patience
  ends; it is taken to leave at once where the answer alone was expected to take longer,
- the transaction that writes the job's end and the record, and the one that counts the record, at two write request
  units per KB of each item, the record being taken to be counted by itself.

Sizes of items are estimated from what is in them; docs.aws.amazon.com/amazondynamodb/latest/developerguide,
"Capacity unit consumption" and "DynamoDB item sizes and formats".
"""

from collections.abc import Mapping
from typing import Final

import msgspec
from msgspec.structs import replace

from llm_router.accounting.polling import seen_after
from llm_router.accounting.quantities import Quantities
from llm_router.accounting.rollups import row_keys
from llm_router.accounting.usage import UsageRecord
from llm_router.models import Job

_WRITE_BYTES: Final = 1024
_READ_BYTES: Final = 4096
_TRANSACTION_MILLIUNITS: Final = 2000
"""Per started KB of an item."""
_INDEX_MILLIUNITS: Final = 1000
"""A finished job leaves the index of those that wait."""
_FLOAT32_BYTES: Final = 4


def footprint(job: Job, used: Quantities) -> Quantities:
    """Return what a finished job used in all, `used` being what its last worker did, without its record's own write."""
    return job.used + job.spent.used + used + _waiting(job) + _ending(job)


def recording(record: UsageRecord) -> Quantities:
    """Return what it takes to write a usage record, and to count it, in rows of up to 1 KB."""
    written = _started(item_bytes(msgspec.to_builtins(record)), _WRITE_BYTES)
    remembered, charged = 1, int(record.reservation is not None)
    return Quantities(
        write_request_milliunits=_TRANSACTION_MILLIUNITS * (written + remembered + charged + len(row_keys(record)))
    )


def _waiting(job: Job) -> Quantities:
    if job.waiter is None or job.finished_at_ms is None:
        return Quantities()
    patience_ms = job.waiter.waits_ms if (job.expected_ms or 0) <= job.waiter.waits_ms else 0
    waited_ms, looks = seen_after(job.finished_at_ms - job.waiter.since_ms, patience_ms)
    return Quantities(
        lambda_mb_ms=waited_ms * job.waiter.memory_mb,
        read_request_milliunits=looks * 1000 * _started(job_bytes(job), _READ_BYTES),
    )


def _ending(job: Job) -> Quantities:
    milliunits = _TRANSACTION_MILLIUNITS * _started(job_bytes(job), _WRITE_BYTES)
    left_line = _INDEX_MILLIUNITS if job.answer is None or job.answer.tier is None else 0
    return Quantities(write_request_milliunits=milliunits + left_line)


def job_bytes(job: Job) -> int:
    """Return about the size of a job's item."""
    text = msgspec.json.encode(replace(job, embedding=None))
    return len(text) + _FLOAT32_BYTES * len(job.embedding or ())


def item_bytes(values: Mapping[str, object]) -> int:
    """Return the size of an item of plain values: texts in UTF-8, numbers with two digits a byte and one more."""
    return sum(len(name.encode()) + _value_bytes(value) for name, value in values.items() if value is not None)


def _value_bytes(value: object) -> int:
    if isinstance(value, str):
        return len(value.encode())
    return 1 if isinstance(value, bool) else -(-len(str(value)) // 2) + 1


def _started(size_bytes: int, unit_bytes: int) -> int:
    return -(-size_bytes // unit_bytes)
