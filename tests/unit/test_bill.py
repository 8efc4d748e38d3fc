"""The bill of one day, added up by hand; its requests go through the router's own code from the model to the report.

The box costs 0.36 USD an hour, so 100 nano-dollars a millisecond. Nano-dollars per token, in and out: gpt-4 30,000 and
60,000, gpt-3.5-turbo 500 and 1,500, gpt-4o 2,500 and 10,000, gpt-4o-mini 150 (75 where it knew it before) and 600.
"""

from collections.abc import Callable
from typing import Any

import pytest

from analytics.figures import Baselines
from analytics.full_costs import LoadedReader
from analytics.reading import Reader
from analytics.reports import Reports
from llm_router.accounting.platform_prices import platform_prices
from llm_router.accounting.prices import price_book
from llm_router.accounting.rollups import usage_event
from llm_router.errors import ModelTimeoutError, RouterError
from llm_router.jobs import answer_from_cache, succeeded, usage_record
from llm_router.metering import BoxMeter, CloudMeter
from llm_router.models import CacheTier, Generation, Job, JobStatus, Target
from llm_router.semantic_cache import Hit
from tests.builders import COSTS, make_generation, make_job, make_query, make_runner
from tests.fakes import (
    NOW_MS,
    TODAY,
    FakeBoxHours,
    FakeCacheStore,
    FakeJobStore,
    FakeModel,
    FakeRollupStore,
    FakeStatusStore,
    SettableClock,
)

MS = 1_000_000  # nanoseconds
PHI = "ollama/phi3"
CLOUD = Target(model="cloud/gpt-4o-mini", namespace="ns-cloud", max_tokens=1024)
# 1,500 ms to load, 250 ms to read 12 tokens, 2,000 ms to write 40
WRITTEN = make_generation(
    input_tokens=12, output_tokens=40, load_ns=1500 * MS, prompt_ns=250 * MS, generation_ns=2000 * MS
)
CLOUDED = make_generation(
    model=CLOUD.model,
    input_tokens=20,
    cached_input_tokens=8,
    output_tokens=30,
    load_ns=0,
    prompt_ns=0,
    generation_ns=0,
)
SHADOWED = make_generation(
    model=PHI, input_tokens=12, output_tokens=9, load_ns=0, prompt_ns=300 * MS, generation_ns=700 * MS
)


class Day:
    """A day's requests, each run by itself, and the table of what was counted."""

    def __init__(self) -> None:
        self.clock = SettableClock()
        self.cache = FakeCacheStore()
        self.jobs = FakeJobStore(self.clock)
        self.rollups = FakeRollupStore()

    def open(self, job_id: str, **fields: Any) -> Job:
        """Take a request in; it joins no other unless it says so."""
        job = make_job(job_id, prompt=f"Question of {fields.get('flight') or job_id}", **{"flight": None} | fields)
        self.jobs.open(job)
        return job

    def run(
        self, job_id: str, *script: str | Generation | RouterError | Callable[[], object], in_cloud: bool = False
    ) -> None:
        """Let a worker of the box, or of the cloud, answer a request as the script says."""
        runner = make_runner(
            jobs=self.jobs,
            cache=self.cache,
            statuses=FakeStatusStore(),
            model=FakeModel(*script),
            meter=CloudMeter(lambda: price_book().price("gpt-4o-mini", TODAY)) if in_cloud else BoxMeter(COSTS),
            clock=self.clock,
            in_cloud=in_cloud,
        )
        runner.run(job_id, deadline_ms=NOW_MS + 100_000)

    def reports(self, baseline: str = "gpt-4") -> Reports:
        """Count what was used, and return the reports on it."""
        for usage in self.jobs.usage.values():
            self.rollups.add([usage_event(usage)])
        return Reports(
            reader=Reader(self.rollups, self.clock),
            baselines=Baselines(baseline, price_book()),
            loaded=LoadedReader(self.rollups, FakeBoxHours(), platform_prices()),
        )

    def money(self) -> tuple[int, int, dict[str, int | None]]:
        """Return the requests of the day, what they cost, and what they would have elsewhere."""
        (row,) = self.reports().daily(make_query()).days
        return row.requests, row.actual_nano_usd, row.baselines_nano_usd


def miss(day: Day) -> None:
    """A model answers."""
    day.open("miss")
    day.run("miss", "A ", "language.", WRITTEN)


def joined(day: Day) -> None:
    """Two ask the same at once, and one generation answers both."""
    day.open("first", flight="same")
    day.open("second", flight="same")
    day.run("first", WRITTEN)


def hit(day: Day) -> None:
    """The cache has the answer of a miss."""
    miss(day)
    asked = make_job("hit", prompt="Question of miss")
    entry = day.cache.get(asked.namespace, asked.entry_id)
    assert entry is not None
    answer = answer_from_cache(Hit(entry, CacheTier.EXACT, 1.0), COSTS, NOW_MS)
    answered = succeeded(asked, answer, NOW_MS)
    day.jobs.record(answered, usage_record(answered))


def fallback(day: Day) -> None:
    """The box writes for two seconds and breaks off; the cloud, which knew 8 of the 20 tokens, answers."""
    day.open("fallback", fallbacks=(CLOUD,))
    day.run("fallback", "Half ", lambda: day.clock.advance(2000), ModelTimeoutError("too late"))
    day.run("fallback", CLOUDED, in_cloud=True)


def cancelled(day: Day) -> None:
    """The caller has enough after three seconds of text."""
    day.open("cancelled")

    def cancel() -> None:
        day.jobs.request_cancel("cancelled")
        day.clock.advance(3000)

    day.run("cancelled", "Half ", cancel, "an ", "answer.", WRITTEN)


def shadow(day: Day) -> None:
    """Another model answers for comparison."""
    day.open("shadow#miss", arm="shadow", model=PHI)
    day.run("shadow#miss", SHADOWED)


NONE = {"gpt-4": 0, "gpt-3.5-turbo": 0, "gpt-4o": 0, "gpt-4o-mini": 0}
ONCE = {
    "gpt-4": 2_760_000,  # 12 x 30,000 + 40 x 60,000 = 360,000 + 2,400,000
    "gpt-3.5-turbo": 66_000,  # 12 x 500 + 40 x 1,500 = 6,000 + 60,000
    "gpt-4o": 430_000,  # 12 x 2,500 + 40 x 10,000 = 30,000 + 400,000
    "gpt-4o-mini": 25_800,  # 12 x 150 + 40 x 600 = 1,800 + 24,000
}
TWICE = {"gpt-4": 5_520_000, "gpt-3.5-turbo": 132_000, "gpt-4o": 860_000, "gpt-4o-mini": 51_600}
OF_THE_CLOUD = {
    "gpt-4": 2_400_000,  # 20 x 30,000 + 30 x 60,000 = 600,000 + 1,800,000
    "gpt-3.5-turbo": 55_000,  # 20 x 500 + 30 x 1,500 = 10,000 + 45,000
    "gpt-4o": 350_000,  # 20 x 2,500 + 30 x 10,000 = 50,000 + 300,000
    "gpt-4o-mini": 21_000,  # 20 x 150 + 30 x 600 = 3,000 + 18,000; what is cached there is not assumed here
}


@pytest.mark.parametrize(
    ("happens", "requests", "cost_nano_usd", "baselines_nano_usd"),
    [
        (miss, 1, 375_000, ONCE),  # (1,500 + 250 + 2,000) x 100
        (joined, 2, 375_000, TWICE),  # one generation, two answers
        (hit, 2, 375_000, TWICE),  # the same, one after the other
        # box 2,000 x 100 = 200,000; cloud (20 - 8) x 150 + 8 x 75 + 30 x 600 = 1,800 + 600 + 18,000 = 20,400
        (fallback, 1, 220_400, OF_THE_CLOUD),
        (cancelled, 1, 300_000, NONE),  # 3,000 x 100, and no answer that would have cost anything elsewhere
        (shadow, 0, 100_000, NONE),  # (300 + 700) x 100, and nobody's request
    ],
)
def test_case(
    happens: Callable[[Day], None], requests: int, cost_nano_usd: int, baselines_nano_usd: dict[str, int | None]
) -> None:
    """What happened costs what the box and the cloud took for it, and would have cost its answers' tokens elsewhere."""
    day = Day()
    happens(day)

    assert (requests, cost_nano_usd, baselines_nano_usd) == day.money()


def eventful_day() -> Day:
    """Return a day on which all of it happened, and the miss but once."""
    day = Day()
    for happens in (joined, hit, fallback, cancelled, shadow):
        happens(day)
    return day


def test_summary() -> None:
    """The summary of a day with all of it is the sum of its cases."""
    summary = eventful_day().reports().summary(make_query())

    assert (6, 1, 1, 1) == (
        summary.total_requests,
        summary.cache_hits,
        summary.fallback_requests,
        summary.shadow_requests,
    )
    # two joined, one missed and one hit of 12 and 40; 20 and 30 of the cloud
    assert (68, 190) == (summary.input_tokens, summary.output_tokens)
    # 375,000 joined + 375,000 missed, then hit + 220,400 fallback + 300,000 cancelled + 100,000 shadow
    assert 1_370_400 == summary.actual_nano_usd
    # 4 x 2,760,000 + 2,400,000 = 11,040,000 + 2,400,000
    assert 13_440_000 == summary.baseline_nano_usd
    assert (12_069_600, 0.0120696) == (summary.net_savings_nano_usd, summary.net_savings)
    assert 0.0001 == summary.shadow_cost
    assert {
        "gpt-4": 0.01344,
        "gpt-3.5-turbo": 0.000319,  # 4 x 66,000 + 55,000
        "gpt-4o": 0.00207,  # 4 x 430,000 + 350,000
        "gpt-4o-mini": 0.0001242,  # 4 x 25,800 + 21,000
    } == summary.baselines


def test_costs() -> None:
    """By model, the box's model pays for what was cancelled, and the cloud's for what the box began in vain."""
    costs = eventful_day().reports().costs(make_query())

    assert [
        # 2 x 375,000 + 300,000; 2 x 3,750 + 3,000 ms; 4 x 2,760,000 - 1,050,000
        ("ollama/tinyllama", 5, 1_050_000, 10.5, 9_990_000),
        ("cloud/gpt-4o-mini", 1, 220_400, 2.0, 2_179_600),  # 2,400,000 - 220,400
        (PHI, 0, 100_000, 1.0, -100_000),
    ] == [
        (row.name, row.requests, row.actual_nano_usd, row.busy_seconds, row.net_savings_nano_usd) for row in costs.rows
    ]


def test_savings() -> None:
    """Against cheap models the same day cost more than it saved, and the report says so."""
    report = eventful_day().reports().savings(make_query())

    assert [
        ("gpt-4", 12_069_600, "saved"),
        ("gpt-3.5-turbo", -1_051_400, "cost more"),  # 319,000 - 1,370,400
        ("gpt-4o", 699_600, "saved"),  # 2,070,000 - 1,370,400
        ("gpt-4o-mini", -1_246_200, "cost more"),  # 124,200 - 1,370,400
    ] == [(each.model, each.net_savings_nano_usd, each.outcome) for each in report.baselines]
    answers = report.answers
    assert (1, 0, 1, 3, 1) == (
        answers.exact_hits,
        answers.semantic_hits,
        answers.joined,
        answers.generated,
        answers.without_answer,
    )
    assert (1, 1) == (answers.fallback, answers.shadow)


def test_unknown_price() -> None:
    """A baseline without a price on that day is unknown, whatever is known of the others and of the cost."""
    day = Day()
    miss(day)
    unknown, known, *_ = day.reports("gpt-5.6-luna").savings(make_query()).baselines

    assert ("gpt-5.6-luna", None, None, "unknown") == (
        unknown.model,
        unknown.cost_nano_usd,
        unknown.net_savings_nano_usd,
        unknown.outcome,
    )
    assert ("gpt-3.5-turbo", 66_000, 66_000 - 375_000) == (
        known.model,
        known.cost_nano_usd,
        known.net_savings_nano_usd,
    )


def test_cases_ended_as_they_say() -> None:
    """The requests of the eventful day ended in the ways that they stand for."""
    jobs = eventful_day().jobs

    ended = {job_id: job.status for job_id, job in jobs.jobs.items()}
    assert [JobStatus.CANCELLED] == [status for status in ended.values() if status is not JobStatus.SUCCEEDED]
    assert {"second"} == {job_id for job_id, usage in jobs.usage.items() if usage.joined}
