import threading
from collections.abc import Callable

import pytest

from llm_router.errors import ConflictError, StoreError
from llm_router.heartbeat import LeaseKeeper
from llm_router.work import LEASE_MS, Work
from tests.builders import make_job
from tests.fakes import NOW_MS, FakeJobStore, SettableClock

PATIENCE_SECONDS = 10


class Beats(FakeJobStore):
    """A store that tells when a lease was renewed, or refused to be."""

    def __init__(self) -> None:
        super().__init__(SettableClock())
        self.leases_ms: list[int] = []
        self.failures: list[Exception] = []
        self.enough = threading.Event()

    def renew(self, job: object, *, lease_until_ms: int, partial_text: str | None = None) -> object:
        """Take note; fail as told; three beats are enough."""
        self.leases_ms.append(lease_until_ms)
        if len(self.leases_ms) > 2:
            self.enough.set()
        if self.failures:
            raise self.failures.pop(0)
        return job


def test_lease_is_renewed_until_the_work_is_done() -> None:
    """While the block runs the lease is renewed again and again, and not once more after its end."""
    store = Beats()
    with LeaseKeeper(store, SettableClock(), beat_seconds=0.001).keep(Work(make_job())):
        assert store.enough.wait(PATIENCE_SECONDS)
    beats = len(store.leases_ms)

    assert set(store.leases_ms) == {NOW_MS + LEASE_MS}
    assert len(store.leases_ms) == beats
    assert "heartbeat" not in [thread.name for thread in threading.enumerate()]


@pytest.mark.parametrize("failure", [lambda: StoreError("away"), lambda: ConflictError("lost")])
def test_beat_that_fails_is_followed_by_the_next(failure: Callable[[], Exception]) -> None:
    """A table that is away for a moment does not end the renewing."""
    store = Beats()
    store.failures = [failure()]
    with LeaseKeeper(store, SettableClock(), beat_seconds=0.001).keep(Work(make_job())):
        assert store.enough.wait(PATIENCE_SECONDS)

    assert store.failures == []


def test_work_that_fails_ends_the_renewing() -> None:
    """An exception passes through, and the thread ends with it."""
    store = Beats()

    def fail() -> None:
        with LeaseKeeper(store, SettableClock()).keep(Work(make_job())):
            raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        fail()
    assert "heartbeat" not in [thread.name for thread in threading.enumerate()]
