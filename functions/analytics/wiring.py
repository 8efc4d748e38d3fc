"""Wires the reports, and what a Prometheus server reads, to the tables and the queue."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from analytics.accepting import choose
from analytics.documents import MEDIA_TYPES, Document, render
from analytics.figures import Baselines
from analytics.full_costs import LoadedReader
from analytics.metrics import Metrics
from analytics.queries import COSTS_PARAMETERS, PERIOD_PARAMETERS, ReportQuery, parse_query
from analytics.reading import Reader
from analytics.reports import Reports
from llm_router import api, bootstrap
from llm_router.accounting.platform_prices import platform_prices
from llm_router.accounting.prices import price_book
from llm_router.report_responses import Report
from llm_router.settings import AnalyticsSettings, environment


@lru_cache
def reports() -> Reports:
    """Build the reports once per environment."""
    settings = AnalyticsSettings.from_env(environment())
    prices = price_book()
    prices.price(settings.baseline_model, bootstrap.today())  # an unknown one is found here, not by the first reader
    rollups = bootstrap.rollup_store(settings.rollup_table)
    return Reports(
        reader=Reader(rollups, bootstrap.now_ms),
        baselines=Baselines(settings.baseline_model, prices),
        loaded=LoadedReader(rollups, bootstrap.box_hours(settings.rollup_table), platform_prices()),
    )


@lru_cache
def metrics() -> Metrics:
    """Build what a Prometheus server reads once per environment."""
    settings = AnalyticsSettings.from_env(environment())
    return Metrics(
        rollups=bootstrap.rollup_store(settings.rollup_table),
        baselines=Baselines(settings.baseline_model, price_book()),
        statuses=bootstrap.status_store(settings.status_table),
        refusals_ms={
            server: bootstrap.breaker(settings.status_table, server).retry_after_ms for server in ("ollama", "cloud")
        },
        queue=bootstrap.inference_queue(settings.inference_queue_url).depth,
        clock=bootstrap.now_ms,
    )


def report(event: Mapping[str, Any]) -> Report:
    """Return the report that the path of an HTTP API event names; raises what `_asked` and the reports do."""
    name = event["rawPath"].rpartition("/")[2]
    built = reports()
    made = {"summary": built.summary, "costs": built.costs, "daily": built.daily, "cache-stats": built.cache_stats}
    return made[name](_asked(event, COSTS_PARAMETERS if name == "costs" else PERIOD_PARAMETERS))


def savings_report(event: Mapping[str, Any]) -> Document:
    """Return the report on what was saved in the form that an HTTP API event prefers; raises as `report` does.

    Raises:
        NotAcceptableError: it accepts none of the forms that there are.
    """
    media_type = choose(event["headers"].get("accept", ""), MEDIA_TYPES)
    return render(reports().savings(_asked(event, PERIOD_PARAMETERS)), media_type)


def _asked(event: Mapping[str, Any], known: frozenset[str]) -> ReportQuery:
    """Return what an HTTP API event asks a report for, by parameters that are known to it.

    Raises:
        InvalidRequestError: a parameter is not known, or breaks its rule.
        ForbiddenError: only an admin may ask that.
    """
    asked = event.get("queryStringParameters") or {}
    return parse_query(asked, api.tenant_named(event), api.role_of(event), bootstrap.now_ms(), known)
