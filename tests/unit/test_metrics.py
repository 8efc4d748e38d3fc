from collections.abc import Callable

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from analytics.figures import Baselines
from analytics.metrics import LATENCY_BOUNDS_S, Metrics
from llm_router.accounting.prices import price_book
from llm_router.accounting.rollups import usage_event
from llm_router.accounting.usage import UsageRecord
from llm_router.box import BoxSighting, BoxState, ResidentModel
from llm_router.errors import StoreError
from llm_router.models import CacheTier, JobStatus, QueueDepth
from tests.builders import TINY, make_usage
from tests.fakes import NOW_MS, FakeRollupStore, FakeStatusStore, SettableClock

LARGE = "ollama/llama3.2"
JULY_30_MS = 1_785_412_800_000  # 2026-07-30, 12:00 UTC
LOADED = ResidentModel(name="tinyllama:latest", size_bytes=700_000_000, context_length=2048, expires_at="")
SEEN = BoxSighting(checked_at_ms=NOW_MS - 20_000, state=BoxState(version="0.31.0", installed=(), resident=(LOADED,)))
RECORDS = (
    make_usage("1", latency_ms=40),
    make_usage("2", day="2023-11-01", latency_ms=400),
    make_usage("3", tier=CacheTier.EXACT, busy_ms=0, actual_nano_usd=0, latency_ms=2),
    make_usage("4", model=LARGE, complexity="complex", actual_nano_usd=5_000_000, latency_ms=1_000_000),
    make_usage("5", status=JobStatus.FAILED, input_tokens=0, output_tokens=0, latency_ms=60),
    make_usage("6", day="2023-10-31"),
    make_usage("7", tenant="other"),
    make_usage("shadow#1", arm="shadow", model="ollama/phi3", actual_nano_usd=300_000),
)
"""Those of a month's first half, one of the month before, and one of another tenant's."""
ROW = {"tenant": "default", "model": TINY, "complexity": "simple", "arm": "default", "source": "http"}

Value = Callable[..., float]


def metrics(
    *records: UsageRecord,
    sighting: BoxSighting | None = SEEN,
    queue: Callable[[], QueueDepth] = lambda: QueueDepth(waiting=3, in_flight=2),
    baseline_model: str = "gpt-4",
    now_ms: int = NOW_MS,
) -> Metrics:
    """Return the metrics of some requests, read on 2023-11-14 unless another time is said."""
    store = FakeRollupStore()
    store.add([usage_event(record) for record in records])
    return Metrics(
        rollups=store,
        baselines=Baselines(baseline_model, price_book()),
        statuses=FakeStatusStore(sighting),
        refusals_ms={"ollama": lambda: None, "cloud": lambda: 12_000},
        queue=queue,
        clock=SettableClock(now_ms),
    )


def samples(
    of: Metrics, accept: str = "", *, for_admin: bool = False
) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Return what a Prometheus server reads, by name and labels."""
    text, content_type = of.exposition("default", accept, for_admin=for_admin)
    parse = parse_openmetrics if content_type.startswith("application/openmetrics-text") else parse_text
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in parse(text)
        for sample in family.samples
    }


@pytest.fixture
def value() -> Value:
    """Return what reads one sample of the usual records."""
    read = samples(metrics(*RECORDS))
    return lambda name, **labels: read[f"llm_router_{name}", frozenset(labels.items())]


def test_requests(value: Value) -> None:
    """Requests of the month are counted by row and by how they ended; those of other months and tenants are not."""
    assert [3, 1, 0] == [value("requests_total", **ROW, status=s) for s in ("succeeded", "failed", "cancelled")]
    assert 1 == value("cache_hits_total", **ROW, tier="exact")
    assert 1 == value("requests_total", **ROW | {"model": LARGE, "complexity": "complex"}, status="succeeded")


def test_money(value: Value) -> None:
    """Money is in dollars, a shadow's apart by its arm, and a baseline's is the list price of the same tokens."""
    shadow = ROW | {"model": "ollama/phi3", "arm": "shadow"}

    assert pytest.approx(0.0000021) == value("cost_usd_total", **ROW)
    assert pytest.approx(0.0003) == value("cost_usd_total", **shadow)
    assert 1 == value("shadow_requests_total", **shadow, status="succeeded")
    assert pytest.approx(0.006) == value("baseline_cost_usd_total", tenant="default", baseline="gpt-4")
    assert pytest.approx(0.00014) == value("baseline_cost_usd_total", tenant="default", baseline="gpt-3.5-turbo")


def test_every_tenant() -> None:
    """An admin also sees the month's counters of every tenant, by tenant alone; others see nobody's but their own."""
    read = samples(metrics(*RECORDS), for_admin=True)
    requests = {
        dict(labels)["tenant"]: number
        for (name, labels), number in read.items()
        if name == "llm_router_tenant_requests_total" and ("status", "succeeded") in labels
    }

    assert {"default": 4, "other": 1} == requests
    assert [] == [name for name, _ in samples(metrics(*RECORDS)) if name.startswith("llm_router_tenant_")]


def test_tokens_and_time(value: Value) -> None:
    """Tokens are counted by direction, and work is counted in seconds."""
    assert [30, 60] == [value("tokens_total", **ROW, direction=direction) for direction in ("input", "output")]
    assert pytest.approx(0.021) == value("busy_seconds_total", **ROW)


def test_latencies(value: Value) -> None:
    """Buckets are cumulative, the last holds every request, and the sum is exact."""
    labels = {"tenant": "default", "model": TINY, "complexity": "simple"}
    buckets = [
        value("request_duration_seconds_bucket", **labels, le=str(bound)) for bound in (*LATENCY_BOUNDS_S, "+Inf")
    ]

    assert [2, 3, 3, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4] == buckets
    assert 4 == value("request_duration_seconds_count", **labels)
    assert pytest.approx(0.502) == value("request_duration_seconds_sum", **labels)


def test_endless_latency(value: Value) -> None:
    """A request that took longer than the last bound is in the bucket without one only."""
    labels = {"tenant": "default", "model": LARGE, "complexity": "complex"}

    assert [0, 1] == [value("request_duration_seconds_bucket", **labels, le=bound) for bound in ("240", "+Inf")]


def test_state(value: Value) -> None:
    """The box, its models, the circuits and the queue are as they were last seen."""
    assert 1 == value("box_up")
    assert NOW_MS / 1000 - 20 == value("box_checked_timestamp_seconds")
    assert 700_000_000 == value("model_resident_bytes", model="tinyllama:latest")
    assert [0, 1] == [value("circuit_open", server=server) for server in ("ollama", "cloud")]
    assert [3, 2] == [value("queue_messages", state=state) for state in ("waiting", "in_flight")]


@pytest.mark.parametrize("sighting", [None, BoxSighting(checked_at_ms=NOW_MS, state=None, reason="refused")])
def test_no_box(sighting: BoxSighting | None) -> None:
    """A box that nobody has seen, or that did not answer, is not up, and holds no models."""
    read = samples(metrics(sighting=sighting))

    assert 0 == read["llm_router_box_up", frozenset()]
    assert [] == [name for name, _ in read if name == "llm_router_model_resident_bytes"]


def test_unknown_price() -> None:
    """A baseline without a price on a day with tokens is left out, rather than shown as less than it was."""
    july = make_usage("1", day="2026-07-08"), make_usage("2", day="2026-07-09")
    read = samples(metrics(*july, baseline_model="gpt-5.6-luna", now_ms=JULY_30_MS))
    priced = {dict(labels)["baseline"] for name, labels in read if name == "llm_router_baseline_cost_usd_total"}

    assert {"gpt-3.5-turbo", "gpt-4o", "gpt-4o-mini"} == priced


def test_openmetrics() -> None:
    """A server that prefers OpenMetrics gets the same figures in it."""
    plain = samples(metrics(*RECORDS))

    assert plain == samples(metrics(*RECORDS), "application/openmetrics-text;version=1.0.0,text/plain;q=0.5")


def test_counters_only_grow() -> None:
    """Another request takes no counter back."""
    before, after = samples(metrics(*RECORDS)), samples(metrics(*RECORDS, make_usage("8")))

    assert [] == [key for key, number in before.items() if after[key] < number]


def test_broken_part() -> None:
    """A part that cannot be read fails the scrape, rather than showing a gap as zero."""

    def broken() -> QueueDepth:
        raise StoreError("looking at the queue failed")

    with pytest.raises(StoreError):
        metrics(queue=broken).exposition("default", "")
