"""What the event sources share: a thread that polls until it is told to stop, and Lambda's batch rules."""

import json
import threading
import traceback
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, TextIO

from infra.local.functions import MAX_EVENT_BYTES, InvokeResult

Invoke = Callable[[Any], InvokeResult]

_AFTER_ERROR_SECONDS: Final = 1.0
_ENVELOPE_BYTES: Final = 1024


class Poller(ABC):
    """A thread that calls `poll` until it is stopped; an exception is logged and does not end it."""

    def __init__(self, name: str, log: TextIO) -> None:
        self.name = name
        self.log = log
        self.stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    @abstractmethod
    def poll(self) -> None:
        """Do one round: look for events, work on them, or wait a little when there are none."""

    @abstractmethod
    def is_drained(self, writes: int) -> bool:
        """Say whether everything up to write number `writes` of the cloud has been worked on."""

    def start(self) -> None:
        """Begin to poll."""
        self._thread.start()

    def stop(self) -> None:
        """Begin nothing new."""
        self.stopping.set()

    def join(self) -> None:
        """Wait until nothing is under way."""
        self._thread.join()

    def tell(self, text: str) -> None:
        """Write a line to the log."""
        self.log.write(f"[{self.name}] {text}\n")
        self.log.flush()

    def guard(self, work: Callable[[], None]) -> None:
        """Log what goes wrong and go on after a pause, as Lambda's pollers do; while stopping, errors are no news."""
        try:
            work()
        except Exception:  # noqa: BLE001 - see above
            if not self.stopping.is_set():
                self.tell(traceback.format_exc())
                self.stopping.wait(_AFTER_ERROR_SECONDS)

    def _run(self) -> None:
        while not self.stopping.is_set():
            self.guard(self.poll)


def failed_items(result: InvokeResult, identifiers: Sequence[str], *, reports: bool) -> set[str]:
    """Read which items of a batch failed, by Lambda's rules for `ReportBatchItemFailures`.

    Args:
        result: What the function gave for the batch.
        identifiers: Message ids or sequence numbers of the batch.
        reports: Whether the mapping has `ReportBatchItemFailures`; without it the answer is not read.

    Returns:
        The failed identifiers: none when the list is missing, null or empty; all of them after an error, or when
        the answer is malformed or names something that is not in the batch.
    """
    if result.is_error:
        return set(identifiers)
    response = result.json() if reports else None
    if response is None:
        return set()
    try:
        failed = {failure["itemIdentifier"] for failure in response.get("batchItemFailures") or ()}
    except (AttributeError, KeyError, TypeError):
        return set(identifiers)
    return set(identifiers) if failed - set(identifiers) else failed


def fitting_batches(records: Sequence[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    """Cut records into runs whose event stays below Lambda's 6 MB."""
    batch: list[dict[str, Any]] = []
    batch_bytes = _ENVELOPE_BYTES
    for record in records:
        record_bytes = len(json.dumps(record)) + 2
        if batch and batch_bytes + record_bytes > MAX_EVENT_BYTES:
            yield batch
            batch, batch_bytes = [], _ENVELOPE_BYTES
        batch.append(record)
        batch_bytes += record_bytes
    if batch:
        yield batch
