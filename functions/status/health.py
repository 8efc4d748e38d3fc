"""Whether the router can answer: every part is asked, none is assumed."""

from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from llm_router.box import BoxSighting
from llm_router.box_schedule import Schedule
from llm_router.errors import RouterError
from llm_router.models import QueueDepth
from llm_router.ports import Clock

STALE_AFTER_MS: Final = 180_000
"""The probe looks every minute; three missed looks mean that nobody looks any more."""

Check = Callable[[], object]
"""Raises a RouterError when its part does not work."""


class PartStatus(StrEnum):
    """How a part is."""

    OK = "ok"
    ASLEEP = "asleep"
    """Outside of the hours that the box keeps; it is not asked before it wakes."""
    DEGRADED = "degraded"
    UNAVAILABLE = "unavailable"


class Part(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One part of the router."""

    status: PartStatus
    detail: str | None = None
    age_ms: int | None = None
    wakes_in_ms: int | None = None
    waiting: int | None = None
    """Messages that no worker has, roughly."""
    in_flight: int | None = None
    """Messages with a worker, or hidden until they are tried again, roughly."""


class HealthResponse(Struct, frozen=True, kw_only=True):
    """The router and its parts; `unavailable` means that a new question cannot be answered."""

    status: PartStatus
    parts: Mapping[str, Part]


class Health(Struct, frozen=True, kw_only=True):
    """Asks the parts. Without the essential ones nothing is answered; without the others answers cost more."""

    essential: Mapping[str, Check]
    helpful: Mapping[str, Check]
    queue: Callable[[], QueueDepth]
    """Essential, and looked into."""
    box: Callable[[], BoxSighting | None]
    cloud: Callable[[], int | None] | None
    """Returns for how long the cloud is left alone, if it is; None where there is no cloud."""
    clock: Clock
    schedule: Schedule | None = None

    def report(self) -> HealthResponse:
        """Ask every part."""
        parts = {name: _ask(check, PartStatus.UNAVAILABLE) for name, check in self.essential.items()}
        parts["inference_queue"] = self._queue()
        parts |= {name: _ask(check, PartStatus.DEGRADED) for name, check in self.helpful.items()}
        parts["ollama"] = self._box()
        if self.cloud is not None:
            parts["cloud"] = self._cloud(self.cloud)
            if parts["cloud"].status is PartStatus.OK and parts["ollama"].status is PartStatus.UNAVAILABLE:
                parts["ollama"] = replace(parts["ollama"], status=PartStatus.DEGRADED)  # the cloud stands in for it
        worst = max(parts.values(), key=lambda part: list(PartStatus).index(part.status))
        return HealthResponse(status=worst.status, parts=parts)

    def _queue(self) -> Part:
        try:
            depth = self.queue()
        except RouterError as error:
            return Part(status=PartStatus.UNAVAILABLE, detail=str(error))
        return Part(status=PartStatus.OK, waiting=depth.waiting, in_flight=depth.in_flight)

    def _box(self) -> Part:
        wakes_in_ms = None if self.schedule is None else self.schedule.wakes_in_ms(self.clock())
        if wakes_in_ms is not None:
            return Part(status=PartStatus.ASLEEP, detail="outside of its hours", wakes_in_ms=wakes_in_ms)
        try:
            sighting = self.box()
        except RouterError as error:
            return Part(status=PartStatus.UNAVAILABLE, detail=str(error))
        if sighting is None:
            return Part(status=PartStatus.UNAVAILABLE, detail="nobody has looked yet")
        age_ms = max(0, self.clock() - sighting.checked_at_ms)
        if sighting.state is None:
            return Part(status=PartStatus.UNAVAILABLE, detail=sighting.reason, age_ms=age_ms)
        if age_ms > STALE_AFTER_MS:
            return Part(status=PartStatus.DEGRADED, detail="last seen too long ago", age_ms=age_ms)
        return Part(status=PartStatus.OK, detail=f"Ollama {sighting.state.version}", age_ms=age_ms)

    def _cloud(self, retry_after_ms: Callable[[], int | None]) -> Part:
        try:
            is_left_alone = retry_after_ms() is not None
        except RouterError as error:
            return Part(status=PartStatus.DEGRADED, detail=str(error))
        if is_left_alone:
            return Part(status=PartStatus.DEGRADED, detail="has failed too often and is left alone for a while")
        return Part(status=PartStatus.OK, detail="configured; it is not asked just to see whether it answers")


def _ask(check: Check, otherwise: PartStatus) -> Part:
    try:
        check()
    except RouterError as error:
        return Part(status=otherwise, detail=str(error))
    return Part(status=PartStatus.OK)
