"""Every minute: ask the box what it has and what is resident, and write it down for those who cannot reach it."""

from typing import Any, Final

from aws_lambda_powertools.utilities.typing import LambdaContext

from llm_router import bootstrap
from llm_router.accounting.box_hours import BoxMinute
from llm_router.box import BoxSighting
from llm_router.box_schedule import Schedule
from llm_router.errors import ModelUnavailableError
from llm_router.observability import Metric, count
from llm_router.ports import Box
from llm_router.settings import environment, on_lambda
from probe.wiring import parts

SPARE_MS: Final = 10_000
"""Left of the function's time for a last look at the box."""


def look(box: Box, checked_at_ms: int) -> BoxSighting:
    """Return what the box says of itself; not to be reached is a finding, not a failure."""
    try:
        return BoxSighting(checked_at_ms=checked_at_ms, state=box.state())
    except ModelUnavailableError as error:
        return BoxSighting(checked_at_ms=checked_at_ms, state=None, reason=str(error))


def minute(sighting: BoxSighting, schedule: Schedule | None) -> BoxMinute:
    """Return what a look says of its minute: a box that does not answer outside of its hours is asleep."""
    if sighting.state is not None:
        return BoxMinute.UP
    sleeps = schedule is not None and schedule.wakes_in_ms(sighting.checked_at_ms) is not None
    return BoxMinute.ASLEEP if sleeps else BoxMinute.SILENT


def lambda_handler(_event: dict[str, Any], context: LambdaContext) -> None:
    """Write down one look at the box, and that it ran, and another look after models were loaded."""
    known = parts()
    deadline_ms = bootstrap.now_ms() + context.get_remaining_time_in_millis() - SPARE_MS
    sighting = look(known.box, bootstrap.now_ms())
    known.store.put_box(sighting)
    found = minute(sighting, known.schedule)
    if found is BoxMinute.SILENT:
        count(Metric.BOX_UNREACHABLE)
    known.hours.note(sighting.checked_at_ms, found, known.nano_usd_per_hour)
    if sighting.state and known.preloader.preload(sighting.state, known.preloaded, deadline_ms=deadline_ms):
        known.store.put_box(look(known.box, bootstrap.now_ms()))


if on_lambda(environment()):
    parts()  # clients are made while Lambda gives the initialisation its full CPU
