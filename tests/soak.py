"""A soak: many callers, a box at random speed with random troubles, and workers that are killed at random.

Everything random comes out of one seed; how threads and processes interleave does not.
"""

import itertools
import random
import statistics
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final

import httpx

from infra.local.ollama_exchange import Behaviour, Fault
from infra.local.ollama_stand_in import OllamaStandIn
from infra.local.twin import Twin
from tests.keyed import keyed_client

CALLERS: Final = 20
PATIENCE_SECONDS: Final = 240
"""A killed worker's lease lasts 30 s, a message it never began is sent again after 60 s; a request may meet both."""
FAULTS: Final = (Fault.BUSY, Fault.FAILURE, Fault.ERROR_LINE, Fault.CUT, Fault.RESET, Fault.GARBAGE)
FAULT_SHARE: Final = 0.15
CANCELLED_SHARE: Final = 0.08
FINISHED: Final = frozenset({"succeeded", "failed", "cancelled"})
SUMMED: Final = ("input_tokens", "output_tokens", "actual_nano_usd")

_THINGS: Final = (
    "abacus anchor barometer bassoon bicycle bonsai bridge cactus candle canoe carpet castle cathedral chimney compass "
    "crayon dolphin drum easel elevator falcon fiddle fountain galaxy garlic ginger glacier guitar hammock harp helmet "
    "iceberg igloo jaguar jigsaw kayak kettle kite ladder lantern lemon loom mango marble meteor mirror mosaic needle "
    "oboe octopus olive opera otter oyster paddle parsley pelican pepper piano pigeon pillow plough pottery pumpkin "
    "quartz quilt raccoon radish rainbow saddle salmon sandal scarf seashell shovel sickle sundial tapestry teapot "
    "thimble tiger tomato tortoise trumpet tulip turbine turnip umbrella vinegar walnut walrus whistle windmill yoghurt"
)
THINGS: Final = tuple(_THINGS.split())
QUESTIONS: Final = (
    "Who invented the {}?",
    "What is a {} made of?",
    "Where was the first {} found?",
    "Write a short poem about a {}",
    "How is a {} repaired?",
    "Explain how a {} is priced",
)
REWORDINGS: Final = (("What is a {}?", "Tell me what a {} is"), ("How does a {} work?", "Explain how a {} works"))


@dataclass(frozen=True, kw_only=True)
class Ask:
    """One request of the plan."""

    message: str
    thing: str
    """What the message is about, and any answer to it."""
    wait_seconds: float
    cancels: bool
    kills: bool
    """Whether the workers are killed while it is on its way."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a request ended for its caller; `request_id` is None when it was refused, and nothing was begun."""

    request_id: str | None
    status: str
    code: str | None
    text: str
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Report:
    """What a soak came to."""

    asks: Sequence[Ask]
    outcomes: Sequence[Outcome]
    """In the order of `asks`."""
    jobs: Sequence[Mapping[str, Any]]
    """Items of the job table, flights left out."""
    flights: int
    """Flights that are still open: of workers killed between the end of a request and that of its flight."""
    records: Sequence[Mapping[str, Any]]
    """Items of the usage table."""
    summary: Mapping[str, Any]
    """What the analytics say in the end."""
    calls: int
    """How often the box was asked."""
    kills: int
    seconds: float

    def of_kind(self, *, status: str = "succeeded", tier: str | None = None, joined: bool = False) -> int:
        """Count the usage records of a kind."""
        kind = (status, tier, joined)
        return sum(
            kind == (_text(each, "status"), _text(each, "tier"), each["joined"]["BOOL"]) for each in self.records
        )

    @property
    def unfinished(self) -> list[str]:
        """Return the ids of jobs that are still on their way."""
        return [item["job_id"]["S"] for item in self.jobs if item["status"]["S"] not in FINISHED]

    @property
    def mixed_up(self) -> list[str]:
        """Return the questions whose answer is another question's."""
        pairs = zip(self.asks, self.outcomes, strict=True)
        return [ask.message for ask, outcome in pairs if outcome.text and ask.thing not in outcome.text]

    @property
    def recorded(self) -> dict[str, int]:
        """Return the sums of the usage records."""
        return {
            "total_requests": len(self.records),
            "failed_requests": sum(_text(each, "status") == "failed" for each in self.records),
            "cache_hits": sum(_text(each, "tier") is not None for each in self.records),
            **{name: sum(int(each[name]["N"]) for each in self.records) for name in SUMMED},
        }

    @property
    def booked(self) -> dict[str, Any]:
        """Return the same sums as the analytics have them."""
        return {name: self.summary[name] for name in self.recorded}

    def rows(self) -> list[tuple[str, str]]:
        """Return pairs of a name and a readable value."""
        ends = Counter(f"{each.status}{f' ({each.code})' if each.code else ''}" for each in self.outcomes)
        begun = sum("started_at_ms" in item for item in self.jobs)
        lasted = statistics.quantiles([each.seconds for each in self.outcomes], n=100)
        return [
            ("requests", f"{len(self.outcomes)} from {CALLERS} callers in {self.seconds:.0f} s"),
            *((f"  {end}", str(count)) for end, count in sorted(ends.items())),
            ("generations", str(self.of_kind())),
            ("joined", str(self.of_kind(joined=True))),
            ("hits", f"{self.of_kind(tier='exact')} exact, {self.of_kind(tier='semantic')} by meaning"),
            ("retries", f"{self.calls - begun}: the box was asked {self.calls} times for {begun} requests"),
            ("kills", str(self.kills)),
            ("flights left open by them", str(self.flights)),
            ("latency", f"p50 {lasted[49]:.1f} s, p95 {lasted[94]:.1f} s, longest {lasted[98]:.1f} s"),
        ]


def plan(count: int, *, kills: int, seed: int) -> list[Ask]:
    """Return a mix of unique questions, repeats and rewordings; some are not waited for, some are cancelled."""
    rng = random.Random(seed)
    unique = list(itertools.product(QUESTIONS, THINGS))
    rng.shuffle(unique)
    repeated = [unique.pop() for _ in range(max(3, count // 25))]
    reworded = [(form, thing) for forms in REWORDINGS for thing in rng.sample(THINGS, 8) for form in forms]
    killers = set(rng.sample(range(count), kills))
    asks = []
    for number in range(count):
        source = rng.choices((unique, repeated, reworded), (50, 30, 20))[0]
        # Whoever kills must have a worker at work.
        form, thing = unique.pop() if source is unique or number in killers else rng.choice(source)
        asks.append(
            Ask(
                message=form.format(thing),
                thing=thing,
                wait_seconds=rng.choice((0, 0, 1, 5)),
                cancels=rng.random() < CANCELLED_SHARE and number not in killers,
                kills=number in killers,
            )
        )
    return asks


def behaviours(count: int, *, seed: int) -> Iterator[Behaviour]:
    """Yield how the box treats the questions that come: fast or slow, and now and then badly."""
    rng = random.Random(seed)
    for _ in range(count):
        fault = rng.choice(FAULTS) if rng.random() < FAULT_SHARE else None
        yield Behaviour(
            fault=fault, after_tokens=rng.choice((0, 5)), token_delay_s=rng.choice((0.0, 0.002, 0.01, 0.03))
        )


def soak(twin: Twin, box: OllamaStandIn, *, count: int, kills: int, seed: int) -> Report:
    """Send `count` requests, wait until each has ended and the analytics have caught up, and report.

    Raises:
        TimeoutError: a request does not end, or the analytics do not come to the number of usage records.
    """
    asks = plan(count, kills=kills, seed=seed)
    box.next_behaviours.extend(behaviours(count * 3, seed=seed))
    started = time.monotonic()
    with keyed_client(twin) as http, ThreadPoolExecutor(CALLERS) as pool:
        caller = _Caller(twin, http)
        outcomes = list(pool.map(caller.ask, asks))
        seconds = time.monotonic() - started
        records = _items(twin, "UsageTable")
        summary = _summary(http, requests=len(records))
    jobs = _items(twin, "JobTable")
    flights = [item for item in jobs if item["job_id"]["S"].startswith("flight#")]
    return Report(
        asks=asks,
        outcomes=outcomes,
        jobs=[item for item in jobs if "status" in item],
        flights=len(flights),
        records=records,
        summary=summary,
        calls=len(box.calls),
        kills=len(caller.kills),
        seconds=seconds,
    )


class _Caller:
    """Asks, and looks again and again until the request has ended; any number at the same time."""

    def __init__(self, twin: Twin, http: httpx.Client) -> None:
        self._twin = twin
        self._http = http
        self.kills: list[Ask] = []

    def ask(self, ask: Ask) -> Outcome:
        """Send one request and follow it to its end."""
        started = time.monotonic()
        wait_seconds = 0 if ask.kills or ask.cancels else ask.wait_seconds
        response = self._http.post("/api/v1/chat", json={"message": ask.message, "wait_seconds": wait_seconds})
        body = response.json()
        if response.status_code == httpx.codes.ACCEPTED:
            body = self._follow(response.headers["location"], ask, give_up=started + PATIENCE_SECONDS)
        return _outcome(body, time.monotonic() - started)

    def _follow(self, address: str, ask: Ask, *, give_up: float) -> dict[str, Any]:
        if ask.cancels:
            self._http.delete(address)
        kills = ask.kills
        while True:
            body: dict[str, Any] = self._http.get(address).raise_for_status().json()
            if kills and body["status"] != "queued":
                kills = False
                self._twin.crash("InferFunction")
                self.kills.append(ask)
            if body["status"] in FINISHED:
                return body
            if time.monotonic() > give_up:
                raise TimeoutError(f"{ask} is still {body}")
            time.sleep(0.02 if kills else 0.25)


def _outcome(body: Mapping[str, Any], seconds: float) -> Outcome:
    error = body.get("error") or {}
    request_id = body.get("request_id", error.get("request_id", ""))
    accepted = request_id.startswith("req_")
    return Outcome(
        request_id=request_id if accepted else None,
        status=body.get("status", "failed" if accepted else "refused"),
        code=error.get("code"),
        text=body.get("response", ""),
        seconds=seconds,
    )


def _items(twin: Twin, table: str) -> list[dict[str, Any]]:
    pages = twin.client("dynamodb").get_paginator("scan").paginate(TableName=twin.tables[table])
    return [item for page in pages for item in page["Items"]]


def _summary(http: httpx.Client, *, requests: int) -> dict[str, Any]:
    # Twin.drain cannot tell: the message of a killed worker stays hidden for its visibility timeout.
    give_up = time.monotonic() + 30
    while True:
        body: dict[str, Any] = http.get("/api/v1/analytics/summary", params={"days": 2}).json()
        if body["total_requests"] >= requests:
            return body
        if time.monotonic() > give_up:
            raise TimeoutError(f"the analytics know of {body['total_requests']} requests, there were {requests}")
        time.sleep(0.2)


def _text(item: Mapping[str, Any], name: str) -> str | None:
    return item[name]["S"] if "S" in item.get(name, {}) else None
