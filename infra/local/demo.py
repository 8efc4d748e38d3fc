"""The tour that `make run` gives: a dozen prompts through the HTTP API, and what they came to."""

import time
from collections.abc import Iterable
from typing import Any, Final

import httpx
from rich.console import Console
from rich.table import Table

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
_PIPED_WIDTH: Final = 170
_PROMPT_WIDTH: Final = 44


class DemoError(Exception):
    """The router did not do what the tour shows."""


def console() -> Console:
    """Return a console that is wide enough for the table where nobody's terminal limits it."""
    plain = Console()
    return plain if plain.is_terminal else Console(width=_PIPED_WIDTH)


def run(url: str, out: Console) -> None:
    """Send the prompts, print one table of answers and the summary the stream aggregation came to.

    Raises:
        DemoError: a prompt was not answered, or the summary does not count every prompt.
    """
    with httpx.Client(base_url=url, timeout=httpx.Timeout(35), trust_env=False) as client:
        before = _summary(client)["total_requests"]
        answers = []
        for number, prompt in enumerate(PROMPTS, start=1):
            with out.status(f"asking {number} of {len(PROMPTS)}"):
                answers.append((prompt, ask(client, prompt)))
        out.print(answers_table(answers))
        out.print(summary_table(_counted(client, before + len(PROMPTS))))


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


def answers_table(answers: Iterable[tuple[str, dict[str, Any]]]) -> Table:
    """Return one row per prompt."""
    table = Table(title="Prompts and what became of them")
    table.add_column("prompt", max_width=_PROMPT_WIDTH)
    for heading in ("complexity", "model", "cache"):
        table.add_column(heading, no_wrap=True)
    for heading in ("similarity", "tokens", "latency", "cost USD", "baseline USD"):
        table.add_column(heading, justify="right", no_wrap=True)
    for prompt, answer in answers:
        similarity = answer["cache_similarity"]
        table.add_row(
            prompt if len(prompt) <= _PROMPT_WIDTH else f"{prompt[: _PROMPT_WIDTH - 1]}…",
            answer["complexity"],
            answer["model_used"],
            answer["cache_tier"] or "-",
            "-" if similarity is None else f"{similarity:.3f}",
            f"{answer['input_tokens']} + {answer['output_tokens']}",
            f"{answer['latency_ms']} ms",
            f"{answer['actual_cost']:.9f}",
            f"{answer['baseline_cost']:.9f}",
        )
    return table


def summary_table(summary: dict[str, Any]) -> Table:
    """Return the analytics summary, a line per figure."""
    table = Table(title="Analytics summary, as the stream aggregation has it", show_header=False)
    savings = summary["savings_percentage"]
    for name, value in (
        ("requests", summary["total_requests"]),
        ("cache hits", f"{summary['cache_hits']} ({summary['cache_hit_rate']} %)"),
        ("tokens", f"{summary['input_tokens']} in, {summary['output_tokens']} out"),
        ("cost of the box while busy", f"{summary['actual_cost']:.9f} USD"),
        (f"the same tokens on {summary['baseline_model']}", f"{summary['baseline_cost']:.9f} USD"),
        ("savings", f"{summary['total_savings']:.9f} USD ({'-' if savings is None else savings} %)"),
        *((f"compared with {model}", f"{cost:.9f} USD") for model, cost in summary["baselines"].items()),
        ("average latency", f"{summary['avg_latency_ms']} ms"),
        ("requests by complexity", _pairs(summary["requests_by_complexity"])),
        ("requests by model", _pairs(summary["requests_by_model"])),
    ):
        table.add_row(name, str(value))
    return table


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
