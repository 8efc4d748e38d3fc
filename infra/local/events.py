"""Reads the events of a function: HTTP routes, queues, table streams, schedules."""

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from infra.local.authorizers import Authorizers
from infra.local.filters import parse_filters
from infra.local.intrinsics import TemplateError
from infra.local.resources import Event, QueueEvent, Route, ScheduleEvent, StreamEvent

_RATE: Final = re.compile(r"rate\((\d+) (second|minute|hour|day)s?\)")
_UNIT_SECONDS: Final = {"second": 1, "minute": 60, "hour": 3600, "day": 86400}
# Lambda starts a standard queue's pollers at five.
_DEFAULT_CONCURRENCY: Final = 5


def read_event(
    function: str, name: str, kind: str, properties: Mapping[str, Any], authorizers: Authorizers
) -> Event | None:
    """Read one resolved event of a function; None when it is switched off.

    Raises:
        TemplateError: The twin does not have events of this type, or a property is missing or unusable.
    """
    if kind not in _READERS:
        raise TemplateError(f"{function}.{name}: the twin has no events of type {kind}")
    if unknown := properties.keys() - _PROPERTIES[kind]:
        raise TemplateError(f"{function}.{name}: the twin does not do {', '.join(sorted(unknown))}")
    if not properties.get("Enabled", True) or properties.get("State", "ENABLED") == "DISABLED":
        return None
    try:
        event = _READERS[kind](function, name, properties)
        return authorizers.protect(event, name, properties.get("Auth", {})) if isinstance(event, Route) else event
    except KeyError as error:
        raise TemplateError(f"{function}.{name}: {error.args[0]} is missing") from error


def _route(function: str, name: str, properties: Mapping[str, Any]) -> Route:
    if str(properties.get("PayloadFormatVersion", "2.0")) != "2.0":
        raise TemplateError(f"{function}.{name}: the twin speaks payload format 2.0")
    return Route(function, properties["Method"].upper(), properties["Path"])


def _queue_event(function: str, _: str, properties: Mapping[str, Any]) -> QueueEvent:
    return QueueEvent(
        function=function,
        queue=properties["Queue"].rsplit(":", 1)[-1],
        batch_size=int(properties.get("BatchSize", 10)),
        maximum_concurrency=int(properties.get("ScalingConfig", {}).get("MaximumConcurrency", _DEFAULT_CONCURRENCY)),
        batching_window_seconds=float(properties.get("MaximumBatchingWindowInSeconds", 0)),
        report_item_failures=_reports_item_failures(properties),
    )


def _stream_event(function: str, name: str, properties: Mapping[str, Any]) -> StreamEvent:
    retries = int(properties.get("MaximumRetryAttempts", -1))
    destination = properties.get("DestinationConfig", {}).get("OnFailure", {}).get("Destination")
    if destination is not None and ":sqs:" not in destination:
        raise TemplateError(f"{function}.{name}: the twin's on-failure destination is a queue, not {destination}")
    return StreamEvent(
        function=function,
        table=properties["Stream"].split("/")[1],
        batch_size=int(properties.get("BatchSize", 100)),
        starting_position=properties["StartingPosition"],
        maximum_retries=None if retries < 0 else retries,
        bisect=bool(properties.get("BisectBatchOnFunctionError", False)),
        report_item_failures=_reports_item_failures(properties),
        filters=parse_filters(properties.get("FilterCriteria")),
        on_failure_queue=destination.rsplit(":", 1)[-1] if destination else None,
        parallelization_factor=int(properties.get("ParallelizationFactor", 1)),
    )


def _schedule(function: str, name: str, properties: Mapping[str, Any]) -> ScheduleEvent:
    rate = _RATE.fullmatch(properties["Schedule"])
    if rate is None:
        raise TemplateError(f"{function}.{name}: the twin runs rate(...) schedules, not {properties['Schedule']}")
    return ScheduleEvent(
        function=function,
        rule=properties.get("Name", f"{function}{name}"),
        rate_seconds=float(rate[1]) * _UNIT_SECONDS[rate[2]],
        input=properties.get("Input"),
    )


def _reports_item_failures(properties: Mapping[str, Any]) -> bool:
    return "ReportBatchItemFailures" in properties.get("FunctionResponseTypes", [])


_READERS: Final[Mapping[str, Callable[[str, str, Mapping[str, Any]], Event]]] = {
    "HttpApi": _route,
    "SQS": _queue_event,
    "DynamoDB": _stream_event,
    "Schedule": _schedule,
}

# ApiId names the one API there is; a record of a local run never gets old enough for MaximumRecordAgeInSeconds.
_PROPERTIES: Final[Mapping[str, frozenset[str]]] = {
    "HttpApi": frozenset({"ApiId", "Auth", "Method", "Path", "PayloadFormatVersion"}),
    "SQS": frozenset(
        {"BatchSize", "Enabled", "FunctionResponseTypes", "MaximumBatchingWindowInSeconds", "Queue", "ScalingConfig"}
    ),
    "DynamoDB": frozenset(
        {
            "BatchSize",
            "BisectBatchOnFunctionError",
            "DestinationConfig",
            "Enabled",
            "FilterCriteria",
            "FunctionResponseTypes",
            "MaximumRecordAgeInSeconds",
            "MaximumRetryAttempts",
            "ParallelizationFactor",
            "StartingPosition",
            "Stream",
        }
    ),
    "Schedule": frozenset({"Description", "Enabled", "Input", "Name", "Schedule", "State"}),
}
