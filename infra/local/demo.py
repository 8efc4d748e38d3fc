"""The tour that `make run` gives: a dozen prompts through the HTTP API, and what they came to."""

import os
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

import httpx
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from infra.local.exchange import SUFFIX as STAND_IN_SUFFIX

PROMPTS: Final = (
    "What is Python?",
    "What is the capital of France?",
    "What is Python?",
    "what's Python",
    "Which city is the capital of France?",
    "Explain the difference between REST and GraphQL APIs",
    "Write a function to reverse a string in Python",
    "Who wrote Romeo and Juliet?",
    "Who is the author of Romeo and Juliet?",
    (
        "Design a distributed cache system for a social media platform that handles 10 million requests per second"
        " with high availability"
    ),
    "What's 15% of 230?",
    "Explain the difference between REST and GraphQL APIs",
)
ANSWER_TIMEOUT_SECONDS: Final = 300
"""A complex answer from an 8 GB machine may take four minutes."""
COUNTING_TIMEOUT_SECONDS: Final = 30
_PIPED_WIDTH: Final = 120
_STAND_IN_NOTE: Final = "+: made up by the stand-in, no model ran. "
_PLAIN: Final[dict[str, Any]] = {
    "box": box.SIMPLE_HEAD,
    "padding": (0, 1, 0, 0),
    "pad_edge": False,
    "show_edge": False,
    "title_justify": "left",
}


class DemoError(Exception):
    """The router did not do what the tour shows."""


def console() -> Console:
    """Return a console that is wide enough for the table where nobody's terminal limits it."""
    plain = Console()
    return plain if plain.is_terminal or "COLUMNS" in os.environ else Console(width=_PIPED_WIDTH)


def run(url: str, out: Console, headers: Mapping[str, str]) -> None:
    """Send the prompts with these headers, print a table of answers and the summary the stream aggregation came to.

    Raises:
        DemoError: a prompt was not answered, or the summary does not count every prompt.
    """
    with httpx.Client(base_url=url, timeout=httpx.Timeout(35), headers=headers, trust_env=False) as client:
        before = _summary(client)
        answers = []
        for number, prompt in enumerate(PROMPTS, start=1):
            with out.status(f"asking {number} of {len(PROMPTS)}"):
                answers.append((prompt, ask(client, prompt)))
        out.print(answers_table(answers, before["baseline_model"]), highlight=False)
        out.print()
        out.print(summary_table(_counted(client, before["total_requests"] + len(PROMPTS))))


def ask(client: httpx.Client, prompt: str) -> dict[str, Any]:
    """Return the finished answer to a prompt, however long the box takes.

    Raises:
        DemoError: it ended without an answer.
    """
    response = client.post("/api/v1/chat", json={"message": prompt})
    give_up = time.monotonic() + ANSWER_TIMEOUT_SECONDS
    where = response.headers.get("Location")
    while where and response.is_success and "response" not in response.json() and "error" not in response.json():
        if time.monotonic() > give_up:
            raise DemoError(f"no answer to {prompt!r} within {ANSWER_TIMEOUT_SECONDS} s")
        time.sleep(1)
        response = client.get(where)
    body: dict[str, Any] = response.json()
    if "response" not in body:
        raise DemoError(f"{prompt!r} was answered {response.status_code}: {response.text}")
    return body


def answers_table(answers: Sequence[tuple[str, dict[str, Any]]], baseline_model: str) -> Table:
    """Return one row per prompt, readable from 80 columns on: only the prompts wrap."""
    made_up = any(answer["model_used"].endswith(STAND_IN_SUFFIX) for _, answer in answers)
    table = Table(
        title="Prompts and what became of them",
        caption=f"{_STAND_IN_NOTE if made_up else ''}"
        f"tokens: in+out. cost, {baseline_model}: µUSD, millionths of a dollar.",
        caption_justify="left",
        **_PLAIN,
    )
    table.add_column("prompt", overflow="fold")
    for heading in ("grade", "model", "cache"):
        table.add_column(heading, no_wrap=True)
    for heading in ("tokens", "ms", "cost", baseline_model):
        table.add_column(heading, justify="right", no_wrap=True)
    for prompt, answer in answers:
        table.add_row(Text(prompt), *_cells(answer))
    return table


def _cells(answer: dict[str, Any]) -> tuple[str, ...]:
    similarity = answer["cache_similarity"]
    tier = answer["cache_tier"] or "-"
    return (
        answer["complexity"],
        _short_model(answer["model_used"]),
        f"{tier} {similarity:.2f}" if tier == "semantic" else tier,
        f"{answer['input_tokens']}+{answer['output_tokens']}",
        f"{answer['latency_ms']:,}",
        _micro_usd(answer["actual_cost"]),
        _micro_usd(answer["baseline_cost"]),
    )


def _short_model(name: str) -> str:
    bare = name.removeprefix("ollama/")
    return f"{bare.removesuffix(STAND_IN_SUFFIX)}+" if bare.endswith(STAND_IN_SUFFIX) else bare


def _micro_usd(usd: float) -> str:
    return f"{usd * 1_000_000:,.0f}"


def summary_table(summary: dict[str, Any]) -> Table:
    """Return the analytics summary, a line per figure."""
    table = Table(title="Analytics summary, as the stream aggregation has it", show_header=False, **_PLAIN)
    actual = summary["actual_cost"]
    baseline = summary["baseline_model"]
    others = {model: usd for model, usd in summary["baselines"].items() if model != baseline}
    for name, value in (
        ("requests", summary["total_requests"]),
        ("cache hits", f"{summary['cache_hits']} ({summary['cache_hit_rate']} %)"),
        ("tokens", f"{summary['input_tokens']} in, {summary['output_tokens']} out"),
        ("cost of the box while busy", f"{actual:.9f} USD"),
        (f"the same tokens on {baseline}", _compared(actual, summary["baseline_cost"])),
        *((f"the same tokens on {model}", _compared(actual, usd)) for model, usd in others.items()),
        ("average latency", f"{summary['avg_latency_ms']} ms"),
        ("requests by complexity", _pairs(summary["requests_by_complexity"])),
        ("requests by model", _pairs(summary["requests_by_model"])),
    ):
        table.add_row(name, Text(str(value)))
    return table


def _compared(actual: float, baseline: float | None) -> str:
    if baseline is None:
        return "unknown"
    savings = f" (savings {(baseline - actual) / baseline:.0%})".replace("%", " %") if baseline else ""
    return f"{baseline:.9f} USD{savings}"


def _summary(client: httpx.Client) -> dict[str, Any]:
    response = client.get("/api/v1/analytics/summary", params={"days": 2})
    if not response.is_success:
        raise DemoError(f"the summary was answered {response.status_code}: {response.text}")
    body: dict[str, Any] = response.json()
    return body


def _counted(client: httpx.Client, requests: int) -> dict[str, Any]:
    """Return the summary once the stream has been read as far as `requests`."""
    give_up = time.monotonic() + COUNTING_TIMEOUT_SECONDS
    while (summary := _summary(client))["total_requests"] < requests:
        if time.monotonic() > give_up:
            raise DemoError(f"only {summary['total_requests']} of {requests} requests were counted")
        time.sleep(0.2)
    return summary


def _pairs(counts: dict[str, int]) -> str:
    return ", ".join(f"{name}: {count}" for name, count in counts.items())
