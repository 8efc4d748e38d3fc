"""Keeps a worker's lease on its job while the model says nothing: it may load, or answer somebody else first."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from llm_router.errors import ConflictError, StoreError
from llm_router.ports import Clock, JobStore
from llm_router.work import LEASE_MS, Work

BEAT_SECONDS: Final = 5.0


class LeaseKeeper:
    """Renews leases from a thread; an instance's `keep` is a Heartbeat."""

    def __init__(self, jobs: JobStore, clock: Clock, *, beat_seconds: float = BEAT_SECONDS) -> None:
        self._jobs = jobs
        self._clock = clock
        self._beat_seconds = beat_seconds

    @contextmanager
    def keep(self, work: Work) -> Iterator[None]:
        """Renew the lease of the work's job until the block ends."""
        done = threading.Event()
        thread = threading.Thread(target=self._beat, args=(work, done), name="heartbeat", daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()

    def _beat(self, work: Work, done: threading.Event) -> None:
        while not done.wait(self._beat_seconds):
            try:
                self._jobs.renew(work.job, lease_until_ms=self._clock() + LEASE_MS)
            except (ConflictError, StoreError):
                # The next beat tries again; a job that is lost for good is noticed when its text is written.
                continue
