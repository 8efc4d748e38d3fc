"""Every day, and on demand: compare the counters of a day with its usage records, and repair them on request."""

from functools import lru_cache
from typing import Any

import msgspec
from aws_lambda_powertools.utilities.typing import LambdaContext
from msgspec import Struct

from llm_router import bootstrap
from llm_router.accounting.recompute import Recomputation
from llm_router.accounting.settled_days import last_settled_day
from llm_router.observability import Metric, gauge
from llm_router.settings import RecomputeSettings, environment, on_lambda


class Wish(Struct, frozen=True, forbid_unknown_fields=True):
    """What is invoked with; the schedule asks for nothing, and gets the last day that nothing is added to any more."""

    day: str | None = None
    repair: bool = False


@lru_cache
def recomputation() -> Recomputation:
    """Build what compares once per environment."""
    settings = RecomputeSettings.from_env(environment())
    return Recomputation(
        usage=bootstrap.usage_store(settings.usage_table),
        rollups=bootstrap.rollup_store(settings.rollup_table, consistent=True),
        clock=bootstrap.now_ms,
    )


def lambda_handler(event: dict[str, Any], _context: LambdaContext) -> dict[str, Any]:
    """Answer with what was compared and what differs, and raise the metric that an alarm looks at."""
    wish = msgspec.convert(event, Wish)
    done = recomputation().run(wish.day or last_settled_day(bootstrap.now_ms()), repair=wish.repair)
    if done.settled:
        gauge(Metric.ROLLUP_DRIFT, done.drifted_rows)
    answer: dict[str, Any] = msgspec.to_builtins(done)
    return answer


if on_lambda(environment()):
    recomputation()  # clients are made while Lambda gives the initialisation its full CPU
