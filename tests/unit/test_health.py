from collections.abc import Callable
from typing import NoReturn

import pytest

from llm_router.box import BoxSighting, BoxState
from llm_router.box_schedule import Schedule
from llm_router.errors import EmbeddingError, StoreError
from llm_router.models import QueueDepth
from status.health import STALE_AFTER_MS, Health, HealthResponse, Part, PartStatus
from tests.fakes import NOW_MS, FakeSchedule, FakeStatusStore, SettableClock

SEEN = BoxSighting(checked_at_ms=NOW_MS - 20_000, state=BoxState(version="0.31.0", installed=(), resident=()))
QUEUED = QueueDepth(waiting=3, in_flight=2)
SEEN_STATUS = FakeStatusStore(SEEN)


def fine() -> None:
    """Pass."""


def broken() -> NoReturn:
    """Fail as a part does."""
    raise StoreError("the table is gone")


def report(
    *,
    table: Callable[[], object] = fine,
    embedder: Callable[[], object] = fine,
    queue: Callable[[], QueueDepth] = lambda: QUEUED,
    box: Callable[[], BoxSighting | None] = SEEN_STATUS.box,
    cloud: Callable[[], int | None] | None = None,
    schedule: Schedule | None = None,
) -> HealthResponse:
    """Ask an essential table, a helpful embedder and the box."""
    return Health(
        essential={"job_table": table},
        queue=queue,
        helpful={"embedder": embedder},
        box=box,
        cloud=cloud,
        clock=SettableClock(),
        schedule=schedule,
    ).report()


@pytest.mark.parametrize("box", [SEEN_STATUS.box, lambda: None, broken], ids=["seen", "unseen", "unknown"])
def test_box_that_sleeps(box: Callable[[], BoxSighting | None]) -> None:
    """Outside of its hours the box is asleep, whatever was seen of it; that is no failure, and hides none."""
    sleeping = FakeSchedule(5000)
    asleep = Part(status=PartStatus.ASLEEP, detail="outside of its hours", wakes_in_ms=5000)
    parts = report(box=box, schedule=sleeping).parts

    assert asleep == parts["ollama"]
    assert PartStatus.ASLEEP is report(box=box, schedule=sleeping).status
    assert PartStatus.UNAVAILABLE is report(box=box, schedule=sleeping, table=broken).status
    assert PartStatus.OK is report(schedule=FakeSchedule(None)).status


def test_all_is_well() -> None:
    """When every part works the router is well, and tells what the box runs and when it was last looked at."""
    assert (
        HealthResponse(
            status=PartStatus.OK,
            parts={
                "job_table": Part(status=PartStatus.OK),
                "inference_queue": Part(status=PartStatus.OK, waiting=3, in_flight=2),
                "embedder": Part(status=PartStatus.OK),
                "ollama": Part(status=PartStatus.OK, detail="Ollama 0.31.0", age_ms=20_000),
            },
        )
        == report()
    )


def test_essential_part() -> None:
    """Without an essential part the router is unavailable, and the part says why."""
    health = report(table=broken)

    assert PartStatus.UNAVAILABLE == health.status
    assert Part(status=PartStatus.UNAVAILABLE, detail="the table is gone") == health.parts["job_table"]


def test_queue() -> None:
    """Without the queue the router is unavailable."""
    health = report(queue=broken)

    assert PartStatus.UNAVAILABLE == health.status
    assert Part(status=PartStatus.UNAVAILABLE, detail="the table is gone") == health.parts["inference_queue"]


def test_helpful_part() -> None:
    """Without a helpful part the router is degraded, and still answers."""

    def no_model() -> None:
        raise EmbeddingError("no model")

    health = report(embedder=no_model)

    assert (PartStatus.DEGRADED, PartStatus.DEGRADED) == (health.status, health.parts["embedder"].status)


def test_worst_part_decides() -> None:
    """The router is as bad as its worst part."""
    assert PartStatus.UNAVAILABLE == report(embedder=broken, table=broken).status


def test_bug_is_not_hidden() -> None:
    """A check that fails for a reason of its own is not taken for a broken part."""

    def bug() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        report(table=bug)


@pytest.mark.parametrize(
    ("age_ms", "status"),
    [(0, PartStatus.OK), (STALE_AFTER_MS, PartStatus.OK), (STALE_AFTER_MS + 1, PartStatus.DEGRADED)],
)
def test_old_news(age_ms: int, status: PartStatus) -> None:
    """What was last seen more than three minutes ago is not trusted any more."""
    seen = BoxSighting(checked_at_ms=NOW_MS - age_ms, state=SEEN.state)
    health = report(box=lambda: seen)

    assert (status, age_ms) == (health.parts["ollama"].status, health.parts["ollama"].age_ms)


def test_box_from_the_future() -> None:
    """A sighting by a machine whose clock is ahead is not negative in age."""
    seen = BoxSighting(checked_at_ms=NOW_MS + 5, state=SEEN.state)

    assert 0 == report(box=lambda: seen).parts["ollama"].age_ms


def test_unreachable_box() -> None:
    """A box that could not be reached makes the router unavailable, with the reason."""
    seen = BoxSighting(checked_at_ms=NOW_MS, state=None, reason="connection refused")
    health = report(box=lambda: seen)

    assert PartStatus.UNAVAILABLE == health.status
    assert Part(status=PartStatus.UNAVAILABLE, detail="connection refused", age_ms=0) == health.parts["ollama"]


def test_nobody_has_looked() -> None:
    """Before the first look nobody knows, and the router does not claim to be well."""
    health = report(box=lambda: None)

    assert (PartStatus.UNAVAILABLE, "nobody has looked yet") == (health.status, health.parts["ollama"].detail)


def test_unreadable_state() -> None:
    """When the box's state cannot be read the report still comes."""

    def unreadable() -> None:
        raise StoreError("reading the box's state failed")

    health = report(box=unreadable)

    assert Part(status=PartStatus.UNAVAILABLE, detail="reading the box's state failed") == health.parts["ollama"]


def unseen() -> BoxSighting:
    """Return a box that could not be reached."""
    return BoxSighting(checked_at_ms=NOW_MS, state=None, reason="no route")


def test_cloud_is_not_asked() -> None:
    """A configured cloud is shown as just that; nobody pays for a look."""
    health = report(cloud=lambda: None)

    assert (PartStatus.OK, "configured; it is not asked just to see whether it answers") == (
        health.status,
        health.parts["cloud"].detail,
    )


def test_cloud_stands_in_for_the_box() -> None:
    """Without the box the router is degraded where a cloud answers in its place, and unavailable where none does."""
    with_cloud, with_broken_cloud = report(box=unseen, cloud=lambda: None), report(box=unseen, cloud=lambda: 9_000)

    assert [PartStatus.DEGRADED, PartStatus.UNAVAILABLE, PartStatus.UNAVAILABLE] == [
        each.status for each in (with_cloud, with_broken_cloud, report(box=unseen))
    ]
    assert "no route" == with_cloud.parts["ollama"].detail


def test_cloud_that_is_left_alone() -> None:
    """An open circuit, and one that cannot be read, show in the cloud's part; the box still answers."""

    def unreadable() -> int:
        raise StoreError("reading the circuit failed")

    details = [report(cloud=cloud).parts["cloud"] for cloud in (lambda: 9_000, unreadable)]

    assert [
        Part(status=PartStatus.DEGRADED, detail="has failed too often and is left alone for a while"),
        Part(status=PartStatus.DEGRADED, detail="reading the circuit failed"),
    ] == details
