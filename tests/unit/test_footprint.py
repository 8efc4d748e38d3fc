from typing import Any

import msgspec
import pytest

from llm_router.accounting.footprint import footprint, item_bytes, job_bytes, recording
from llm_router.accounting.polling import seen_after
from llm_router.accounting.quantities import QUANTITIES, Quantities
from llm_router.adapters.job_items import put_job, put_usage
from llm_router.jobs import answer_from_cache, feedback_record, succeeded, usage_record
from llm_router.models import CacheTier, FeedbackVerdict, Job, Spent, WaitingFunction
from llm_router.stored_answers import Hit
from tests.builders import COSTS, make_answer, make_entry, make_job, make_usage
from tests.fakes import NOW_MS


@pytest.mark.parametrize(
    ("finished_ms", "patience_ms", "expected"),
    [
        (0, 25_000, (0, 1)),
        (1, 25_000, (100, 2)),
        # looks at 0, 100, 250, 475, 812.5, 1,312.5, ... every 500
        (476, 25_000, (812, 5)),
        (3000, 25_000, (3312, 10)),
        (3000, 1000, (1000, 6)),
        (3000, 0, (0, 1)),
    ],
)
def test_seen_after(finished_ms: int, patience_ms: int, expected: tuple[int, int]) -> None:
    """A caller is kept until the look that finds the job finished, or until his patience ends."""
    assert expected == seen_after(finished_ms, patience_ms)


def waited(*, waits_ms: int = 25_000, took_ms: int = 3000, **fields: object) -> Job:
    """Return a job that was answered while its caller waited, in a function of 1,000 MB."""
    waiter = WaitingFunction(since_ms=NOW_MS, waits_ms=waits_ms, memory_mb=1000)
    return succeeded(make_job(waiter=waiter, **fields), make_answer(), NOW_MS + took_ms)


# The job is less than 2 KB: a unit to read, four to write in a transaction, and one in the index it leaves.
ENDING = 5000


def test_miss() -> None:
    """A caller who waited 3 s is seen off by the tenth look, after 3.312 s."""
    used = footprint(waited(), Quantities(lambda_mb_ms=256, lambda_requests=1))

    assert used == Quantities(
        lambda_mb_ms=256 + 3_312_000,
        lambda_requests=1,
        read_request_milliunits=10_000,
        write_request_milliunits=ENDING,
    )


def test_before() -> None:
    """What was used before the job was stored, and what was asked in vain before the cloud, is part of it."""
    spent = Spent(busy_ms=7, used=Quantities(queue_requests=3))
    job = succeeded(make_job(used=Quantities(gateway_requests=1), spent=spent), make_answer(), NOW_MS)

    assert footprint(job, Quantities()) == Quantities(
        gateway_requests=1, queue_requests=3, write_request_milliunits=ENDING
    )


@pytest.mark.parametrize(
    ("fields", "waited_ms", "looks"),
    [
        ({"waits_ms": 2000}, 2000, 8),
        ({"expected_ms": 25_001}, 0, 1),
        ({"expected_ms": 25_000}, 3312, 10),
    ],
    ids=["patience ended", "expected later", "expected in time"],
)
def test_patience(fields: dict[str, int], waited_ms: int, looks: int) -> None:
    """Nobody waits beyond his patience, or at all when the answer is not expected within it."""
    used = footprint(waited(**fields), Quantities())

    assert (waited_ms * 1000, looks * 1000) == (used.lambda_mb_ms, used.read_request_milliunits)


def test_nobody_waits() -> None:
    """A line of a batch, or a request that is answered later, keeps no function waiting."""
    used = footprint(succeeded(make_job(), make_answer(), NOW_MS + 3000), Quantities())

    assert used == Quantities(write_request_milliunits=ENDING)


def test_large_item() -> None:
    """Started KB of an item are written at two units each, and started 4 KB read at one: 1,536 bytes are a vector."""
    job = waited(embedding=(0.1,) * 384, prompt="x" * 3000, took_ms=0)
    used = footprint(job, Quantities())

    # between 5 and 6 KB
    assert (2000, 12_000 + 1000) == (used.read_request_milliunits, used.write_request_milliunits)


def test_hit() -> None:
    """A job that comes from the cache was never in the line."""
    hit = Hit(make_entry(), CacheTier.EXACT, 1.0)
    job = succeeded(make_job(), answer_from_cache(hit, COSTS, NOW_MS), NOW_MS)

    assert footprint(job, Quantities()) == Quantities(write_request_milliunits=4000)


@pytest.mark.parametrize("fields", [{}, {"embedding": (0.1,) * 384}, {"prompt": "Why? " * 1000}])
def test_sizes(fields: dict[str, object]) -> None:
    """Sizes are estimated within a tenth of what is written, too low rather than too high."""
    job = succeeded(make_job(**fields), make_answer(), NOW_MS + 3000)
    record = usage_record(job)
    sizes = {
        job_bytes(job): stored_bytes(put_job("JobTable", job, NOW_MS)),
        item_bytes(msgspec.to_builtins(record)): stored_bytes(put_usage("UsageTable", record)),
    }

    assert all(0.9 * stored <= estimated <= stored for estimated, stored in sizes.items())


def stored_bytes(put: Any) -> int:
    """Return the size of the item that is written, as DynamoDB has it."""
    sizes = {"S": len, "B": len, "N": lambda digits: -(-len(digits) // 2) + 1, "BOOL": lambda _: 1}
    item = put["Put"]["Item"]
    return sum(len(name) + sizes[kind](value) for name, typed in item.items() for kind, value in typed.items())


def test_recording() -> None:
    """A record costs two units per KB, two to be remembered as counted, and two for each row it is added to."""
    assert Quantities(write_request_milliunits=2000 + 2000 + 3 * 2000) == recording(make_usage())
    assert Quantities(write_request_milliunits=2000 + 2000 + 4 * 2000) == recording(make_usage(batch_id="batch_1"))
    assert Quantities(write_request_milliunits=4000 + 2000 + 3 * 2000) == recording(make_usage(model="m" * 1024))


def test_record() -> None:
    """A record carries its footprint; what was said of an answer used nothing that is counted."""
    job = waited()
    used = Quantities(gateway_requests=1)
    record = usage_record(job, used=used)
    expected = footprint(job, used) + recording(make_usage())

    assert expected == Quantities(**{name: getattr(record, name) for name in QUANTITIES})
    said = feedback_record(job, FeedbackVerdict.RIGHT, NOW_MS)
    assert not any(getattr(said, name) for name in QUANTITIES)
