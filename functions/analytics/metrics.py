"""What GET /metrics shows a Prometheus server: the counters of this UTC month, and how box and queue are now.

A month's begin takes counters back to zero, as a restart does elsewhere; `rate` and `increase` of PromQL allow for it.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from operator import attrgetter
from typing import Final

from msgspec import Struct
from msgspec.structs import asdict
from prometheus_client import CollectorRegistry, Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from analytics.figures import Baselines, Figures
from llm_router.accounting.latencies import counts_up_to
from llm_router.accounting.rollups import recent, total
from llm_router.accounting.usage import Rollup
from llm_router.costs import NANO_USD_PER_USD, usd
from llm_router.jobs import utc_day
from llm_router.models import QueueDepth
from llm_router.ports import Clock, RollupStore, StatusStore

ROW: Final = ("tenant", "model", "complexity", "arm", "source")
"""Labels of what is counted: those of the rollups' rows."""
TIMED: Final = ("tenant", "model", "complexity")
LATENCY_BOUNDS_S: Final = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 240)
_STATUSES: Final = ("succeeded", "failed", "cancelled")

Sums = Mapping[tuple[str, ...], Mapping[str, int]]
"""Figures of the rollups by the values of some labels."""


class Family(Struct, frozen=True):
    """A counter, and the figures of the rollups that it shows."""

    name: str
    meaning: str
    figures: Mapping[str, str]
    """By the value of `label`."""
    label: str | None = None
    """What sets the figures apart, where there are several."""
    unit: int = 1
    """How much of a figure is one of the counter."""


FAMILIES: Final = (
    Family("requests", "Finished requests.", {each: f"{each}_requests" for each in _STATUSES}, "status"),
    Family("cache_hits", "Requests answered from the cache.", {e: f"{e}_hits" for e in ("exact", "semantic")}, "tier"),
    Family("joined_requests", "Requests answered by the generation of an equal one.", {"": "joined_requests"}),
    Family("fallback_requests", "Requests that another model than theirs answered.", {"": "fallback_requests"}),
    Family("tokens", "Tokens of requests.", {each: f"{each}_tokens" for each in ("input", "output")}, "direction"),
    Family("busy_seconds", "Time that models worked, on shadows too.", {"": "busy_ms"}, unit=1000),
    Family("cost_usd", "What requests and shadows cost.", {"": "actual_nano_usd"}, unit=NANO_USD_PER_USD),
    Family("shadow_requests", "Shadows.", {each: f"shadow_{each}_requests" for each in _STATUSES}, "status"),
)


class Metrics(Struct, frozen=True, kw_only=True):
    """Reads the figures anew for every scrape."""

    rollups: RollupStore
    baselines: Baselines
    statuses: StatusStore
    refusals_ms: Mapping[str, Callable[[], int | None]]
    """By server: for how long it is left alone; None while it is not."""
    queue: Callable[[], QueueDepth]
    clock: Clock

    def exposition(self, tenant: str, accept: str, *, for_admin: bool = False) -> tuple[str, str]:
        """Return the tenant's figures, and their content type, in the text format that the `Accept` header prefers.

        An admin is also shown the counters of every tenant, by tenant alone.
        """
        families = [*self._counters(tenant), *(self._everybody() if for_admin else ()), *self._gauges()]
        registry = CollectorRegistry()
        registry.register(_Collected(families))
        encode, content_type = choose_encoder(accept)
        return encode(registry).decode(), content_type

    def _counters(self, tenant: str) -> Iterator[Metric]:
        now_ms = self.clock()
        _, rows = recent(self.rollups, tenant, datetime.fromtimestamp(now_ms / 1000, tz=UTC).day, now_ms)
        yield from (_counter("", family, ROW, _sums(rows, ROW)) for family in FAMILIES)
        costs = CounterMetricFamily(
            "llm_router_baseline_cost_usd", "List price of the same tokens elsewhere.", labels=("tenant", "baseline")
        )
        for model, nano_usd in self.baselines.costs_nano_usd(Figures.of(rows)).items():
            if nano_usd is not None:
                costs.add_metric((tenant, model), usd(nano_usd))
        yield costs
        yield _latencies(_sums(rows, TIMED))

    def _everybody(self) -> Iterator[Metric]:
        month = self.rollups.month(utc_day(self.clock())[:7])
        sums: Sums = {(tenant,): total([figures]) for tenant, figures in sorted(month.items())}
        yield from (_counter("tenant_", family, ("tenant",), sums) for family in FAMILIES)

    def _gauges(self) -> Iterator[Metric]:
        sighting, depth = self.statuses.box(), self.queue()
        state = sighting.state if sighting else None
        is_open = {server: left_alone_ms() is not None for server, left_alone_ms in self.refusals_ms.items()}
        resident = {each.name: each.size_bytes for each in state.resident} if state else {}
        yield _gauge("box_up", "Whether the box answered when it was last looked at.", value=state is not None)
        if sighting:
            seen_s = sighting.checked_at_ms / 1000
            yield _gauge("box_checked_timestamp_seconds", "When the box was last looked at.", value=seen_s)
        yield _gauges("model_resident_bytes", "Memory of the models that the box has loaded.", "model", resident)
        yield _gauges("circuit_open", "Whether a server is left alone for a while.", "server", is_open)
        yield _gauges("queue_messages", "Messages in InferenceQueue, roughly.", "state", asdict(depth))


class _Collected(Collector):
    """Hands over what has been read."""

    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        """Return the families."""
        return self._families


def _sums(rows: Iterable[Rollup], labels: Sequence[str]) -> Sums:
    """Add the rows up that have the same values of some labels."""
    values = attrgetter(*labels)
    groups: dict[tuple[str, ...], list[Mapping[str, int]]] = {}
    for row in rows:
        groups.setdefault(values(row.key), []).append(row.counters)
    return {group: total(groups[group]) for group in sorted(groups)}


def _counter(prefix: str, family: Family, labels: Sequence[str], sums: Sums) -> Metric:
    names = labels if family.label is None else (*labels, family.label)
    counter = CounterMetricFamily(f"llm_router_{prefix}{family.name}", family.meaning, labels=names)
    for row, figures in sums.items():
        for value, figure in family.figures.items():
            own = row if family.label is None else (*row, value)
            counter.add_metric(own, figures[figure] / family.unit)
    return counter


def _latencies(sums: Sums) -> Metric:
    histogram = HistogramMetricFamily("llm_router_request_duration_seconds", "Arrival to answer.", labels=TIMED)
    for labels, figures in sums.items():
        counts = counts_up_to(figures, [1000 * bound for bound in LATENCY_BOUNDS_S])
        buckets = [*zip(map(str, LATENCY_BOUNDS_S), counts, strict=True), ("+Inf", figures["requests"])]
        histogram.add_metric(labels, buckets, sum_value=figures["latency_ms"] / 1000)
    return histogram


def _gauge(name: str, meaning: str, *, value: float) -> Metric:
    return GaugeMetricFamily(f"llm_router_{name}", meaning, value=value)


def _gauges(name: str, meaning: str, label: str, values: Mapping[str, float]) -> Metric:
    gauges = GaugeMetricFamily(f"llm_router_{name}", meaning, labels=(label,))
    for own, value in values.items():
        gauges.add_metric((own,), value)
    return gauges
