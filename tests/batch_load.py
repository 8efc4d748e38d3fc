"""A batch like those that people hand in over night: repeats, rewordings and lines that are nothing, in any order."""

import itertools
import json
import math
import random
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import httpx

from infra.local.twin import Twin
from llm_router.batching.batches import PromptMessage, line_job_id
from tests.soak import QUESTIONS, REWORDINGS, THINGS

REPEATED_SHARE: Final = 0.30
REWORDED_SHARE: Final = 0.20
BAD_SHARE: Final = 0.02
_REWORDINGS: Final = (*REWORDINGS, ("What is the weight of a {}?", "Tell me what the weight of a {} is"))
OVER: Final = frozenset({"completed", "failed", "cancelled"})
_BAD: Final = ("{", '{"message": ""}', '{"prompt": "Hello"}', '{"message": "Hello", "max_tokens": 0}', "[]")
_SENT_AT_ONCE: Final = 10


@dataclass(frozen=True, kw_only=True)
class Load:
    """Lines of a batch, and what is true of them."""

    lines: Sequence[str]
    messages: Sequence[str | None]
    """What each line asks; None for one that is no request."""
    originals: frozenset[str]
    """Questions, each of another meaning; every line asks one of them, in its words or in others."""
    rewordings: Mapping[str, str]
    """Originals, and what the same is in other words."""

    @property
    def body(self) -> bytes:
        """The lines as JSON Lines."""
        return "\n".join(self.lines).encode()


def load(count: int, *, seed: int) -> Load:
    """Return `count` lines."""
    rng = random.Random(seed)
    pairs = [(one.format(thing), other.format(thing)) for one, other in _REWORDINGS for thing in THINGS]
    reworded = dict(rng.sample(pairs, int(count * REWORDED_SHARE)))
    repeats, bad = int(count * REPEATED_SHARE), int(count * BAD_SHARE)
    others = [form.format(thing) for form, thing in itertools.product(QUESTIONS, THINGS)]
    originals = [*reworded, *rng.sample(others, count - repeats - bad - 2 * len(reworded))]
    messages: list[str | None] = [*originals, *reworded.values(), *rng.choices(originals, k=repeats), *[None] * bad]
    rng.shuffle(messages)
    return Load(
        lines=[_line(number, message, rng) for number, message in enumerate(messages, 1)],
        messages=messages,
        originals=frozenset(originals),
        rewordings=reworded,
    )


def _line(number: int, message: str | None, rng: random.Random) -> str:
    return rng.choice(_BAD) if message is None else json.dumps({"custom_id": f"q{number}", "message": message})


def submit(http: httpx.Client, body: bytes, **headers: str) -> dict[str, Any]:
    """Hand a batch in as JSON Lines."""
    response = http.post("/api/v1/batches", content=body, headers={"content-type": "application/jsonl", **headers})
    assert response.status_code == httpx.codes.ACCEPTED, response.text
    taken: dict[str, Any] = response.json()
    return taken


def look(http: httpx.Client, batch_id: str) -> dict[str, Any]:
    """Return where a batch stands."""
    state: dict[str, Any] = http.get(f"/api/v1/batches/{batch_id}").raise_for_status().json()
    return state


def wait(http: httpx.Client, batch_id: str, *, seconds: float, answers: float = math.inf) -> dict[str, Any]:
    """Look at a batch until it is over, or so many of its lines have an answer.

    Raises:
        TimeoutError: it is not in time.
    """
    give_up = time.monotonic() + seconds
    while (state := look(http, batch_id))["status"] not in OVER and state["succeeded"] < answers:
        if time.monotonic() > give_up:
            raise TimeoutError(f"still {state}")
        time.sleep(0.2)
    return state


def results(http: httpx.Client, batch_id: str, *, limit: int) -> Iterator[dict[str, Any]]:
    """Yield the results of a batch that is over, page by page."""
    path: str | None = f"/api/v1/batches/{batch_id}/results?limit={limit}"
    while path is not None:
        page = http.get(path).raise_for_status()
        yield from map(json.loads, page.text.splitlines())
        path = page.links.get("next", {}).get("url")


def records(twin: Twin, batch_id: str) -> list[dict[str, Any]]:
    """Return the usage records of a batch."""
    pages = twin.client("dynamodb").get_paginator("scan").paginate(TableName=twin.tables["UsageTable"])
    items = [item for page in pages for item in page["Items"]]
    return [item for item in items if item.get("batch_id", {}).get("S") == batch_id]


def deliver_again(twin: Twin, batch_id: str, wanted: Load) -> None:
    """Send every message of a batch another time: those of its lines, and those of their requests."""
    prompts = [
        PromptMessage(message=message, tenant="default", batch_id=batch_id, line=line, custom_id=f"q{line}")
        for line, message in enumerate(wanted.messages, 1)
        if message is not None
    ]
    bodies = [json.dumps({name: getattr(each, name) for name in _SAID}) for each in prompts]
    jobs = [json.dumps({"job_id": line_job_id(batch_id, each.line or 0)}) for each in prompts]
    for queue, messages in (("BatchQueue", bodies), ("BatchJobQueue", jobs)):
        for first in range(0, len(messages), _SENT_AT_ONCE):
            part = messages[first : first + _SENT_AT_ONCE]
            entries: Any = [{"Id": str(place), "MessageBody": body} for place, body in enumerate(part)]
            twin.client("sqs").send_message_batch(QueueUrl=twin.queue_url(queue), Entries=entries)


_SAID: Final = ("message", "tenant", "batch_id", "line", "custom_id")
