"""Wires the checks of this function to the tables, the queue and the embedding model."""

from collections.abc import Callable
from functools import lru_cache, partial

from msgspec import Struct

from llm_router import bootstrap
from llm_router.accounting.prices import price_book
from llm_router.adapters.dynamodb import check_table
from llm_router.box_schedule import BoxSchedule
from llm_router.ports import StatusStore
from llm_router.routing import Router
from llm_router.settings import StatusSettings, environment
from status.catalogue import Prices, prices_of
from status.health import Health


class Parts(Struct, frozen=True):
    """What the routes of this function use."""

    health: Health
    statuses: StatusStore
    router: Router
    prices: Callable[[], Prices]
    shadow: str
    """Model of the shadows; none when empty."""


@lru_cache
def parts() -> Parts:
    """Build everything once per environment."""
    settings = StatusSettings.from_env(environment())
    router = Router.from_settings(settings, bootstrap.today())
    statuses = bootstrap.status_store(settings.status_table)
    check = partial(partial, check_table, bootstrap.dynamodb())
    health = Health(
        essential={
            "job_table": check(settings.job_table),
            "usage_table": check(settings.usage_table),
        },
        helpful={
            "cache_table": check(settings.cache_table),
            "rollup_table": check(settings.rollup_table),
            "embedder": partial(bootstrap.embedder(settings).embed, "Is the embedding model there?"),
        },
        queue=bootstrap.inference_queue(settings.inference_queue_url).depth,
        box=statuses.box,
        cloud=bootstrap.breaker(settings.status_table, "cloud").retry_after_ms if router.cloud else None,
        clock=bootstrap.now_ms,
        schedule=BoxSchedule.parse(settings.box_hours),
    )
    priced = partial(prices_of, settings.instance_usd_per_hour, settings.baseline_model, price_book())
    return Parts(health, statuses, router, lambda: priced(bootstrap.today()), settings.shadow_model)
