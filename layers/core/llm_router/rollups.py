"""Turns usage records into counters, and counters into reports; integers all the way."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Final

from llm_router.models import JobStatus, UsageRecord
from llm_router.ports import RollupKey

LATENCY_BUCKETS_MS: Final = (50, 100, 250, 500, 1000, 2500, 5000, 10_000, 30_000, 60_000, 120_000, 240_000)
"""Upper bounds, inclusive; slower requests fall into `latency_ms_inf`."""


def rollup_key(record: UsageRecord) -> RollupKey:
    """Return the row that a record is counted in."""
    return RollupKey(
        tenant=record.tenant,
        day=record.day,
        model=record.model,
        complexity=record.complexity,
        arm=record.arm,
        source=record.source,
    )


def counters(record: UsageRecord) -> dict[str, int]:
    """Return what a record adds to its row; zeros are left out."""
    added = {
        "requests": 1,
        f"{record.status}_requests": 1,
        "input_tokens": record.input_tokens,
        "output_tokens": record.output_tokens,
        "busy_ms": record.busy_ms,
        "latency_ms": record.latency_ms,
        "actual_nano_usd": record.actual_nano_usd,
        "baseline_nano_usd": record.baseline_nano_usd,
        _latency_bucket(record.latency_ms): 1,
    }
    if record.status is JobStatus.SUCCEEDED:
        added[_origin(record)] = 1
        added["fallback_requests"] = int(record.fallback)
    return {name: count for name, count in added.items() if count}


def total(rows: Iterable[Mapping[str, int]]) -> Counter[str]:
    """Add rows of counters up."""
    sums: Counter[str] = Counter()
    for row in rows:
        sums.update(row)
    return sums


def _origin(record: UsageRecord) -> str:
    if record.tier is not None:
        return f"{record.tier}_hits"
    return "joined_requests" if record.joined else "generated_requests"


def _latency_bucket(latency_ms: int) -> str:
    bound = next((str(bound) for bound in LATENCY_BUCKETS_MS if latency_ms <= bound), "inf")
    return f"latency_ms_le_{bound}"
