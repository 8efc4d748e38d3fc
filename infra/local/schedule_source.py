"""Schedule event source: fires once at the start, so that nobody waits for the first tick, and then at its rate."""

import json
import time
import uuid
from datetime import UTC, datetime
from typing import Any, TextIO

from infra.local.resources import ACCOUNT_ID, REGION, ScheduleEvent, arn
from infra.local.source import Invoke, Poller


class ScheduleSource(Poller):
    """One `rate(...)` rule of one function."""

    def __init__(self, event: ScheduleEvent, invoke: Invoke, log: TextIO) -> None:
        super().__init__(f"{event.rule} -> {event.function}", log)
        self._event = event
        self._invoke = invoke
        self._next = time.monotonic()
        self._fired = False

    def poll(self) -> None:
        """Fire when it is time, else wait for it."""
        if self.stopping.wait(max(0.0, self._next - time.monotonic())):
            return
        self._next += self._event.rate_seconds
        result = self._invoke(self._payload())
        self._fired = True
        if result.is_error:
            self.tell(result.payload.decode(errors="replace"))

    def is_drained(self, writes: int) -> bool:  # noqa: ARG002 - a clock does not depend on writes
        """Say whether the first firing is over."""
        return self._fired

    def _payload(self) -> Any:
        if self._event.input is not None:
            return json.loads(self._event.input)
        return {
            "version": "0",
            "id": str(uuid.uuid4()),
            "detail-type": "Scheduled Event",
            "source": "aws.events",
            "account": ACCOUNT_ID,
            "time": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "region": REGION,
            "resources": [arn("events", f"rule/{self._event.rule}")],
            "detail": {},
        }
