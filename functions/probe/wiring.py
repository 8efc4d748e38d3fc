"""Builds what looks at the box and loads its models."""

from decimal import Decimal
from functools import lru_cache

from msgspec import Struct

from llm_router import bootstrap
from llm_router.box_schedule import BoxSchedule
from llm_router.costs import nano_usd
from llm_router.errors import ModelError
from llm_router.observability import Metric, count, logger
from llm_router.ports import Box, BoxHours, StatusStore
from llm_router.routing import Router
from llm_router.settings import ProbeSettings, environment
from probe.preloading import Preloader


class Parts(Struct, frozen=True):
    """What a look at the box needs."""

    box: Box
    store: StatusStore
    hours: BoxHours
    schedule: BoxSchedule | None
    nano_usd_per_hour: int
    preloader: Preloader
    preloaded: tuple[str, ...]
    """Models to keep in memory."""


@lru_cache
def parts() -> Parts:
    """Build the client and the store once per environment."""
    settings = ProbeSettings.from_env(environment())
    box = bootstrap.ollama(settings)
    wanted = [*Router.from_settings(settings, bootstrap.today()).first_asked, settings.shadow_model]
    return Parts(
        box,
        bootstrap.status_store(settings.status_table),
        bootstrap.box_hours(settings.rollup_table),
        BoxSchedule.parse(settings.box_hours),
        nano_usd(Decimal(settings.instance_usd_per_hour)),
        Preloader(box, bootstrap.now_ms, note_failed_load),
        tuple(filter(None, wanted)) if settings.preload_models else (),
    )


def note_failed_load(model: str, error: ModelError) -> None:
    """Log and count a model that was not loaded; the next look tries again."""
    logger().warning("preloading failed", extra={"model": model, "code": error.code}, exc_info=error)
    count(Metric.PRELOAD_FAILED, model=model)
