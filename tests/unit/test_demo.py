import io
from typing import Any

import httpx
import pytest
from rich.console import Console
from rich.table import Table

from infra.local import demo

ANSWER = {
    "response": "A language.",
    "model_used": "ollama/tinyllama+stand-in",
    "complexity": "complex",
    "cache_tier": None,
    "cache_similarity": None,
    "input_tokens": 12,
    "output_tokens": 1024,
    "actual_cost": 0.000274222,
    "baseline_cost": 0.00282,
    "latency_ms": 12_345,
}
SUMMARY = {
    "total_requests": 12,
    "cache_hits": 5,
    "cache_hit_rate": 41.67,
    "input_tokens": 210,
    "output_tokens": 627,
    "actual_cost": 0.001751146,
    "baseline_model": "gpt-4",
    "baseline_cost": 0.04392,
    "baselines": {"gpt-4": 0.04392, "gpt-4o-mini": 0.0004077},
    "avg_latency_ms": 80.75,
    "requests_by_complexity": {"complex": 1, "simple": 11},
    "requests_by_model": {"ollama/tinyllama[q4]": 12},
}


def shown(table: Table, width: int) -> list[str]:
    """Return the lines of a table in a terminal of a width."""
    out = Console(file=io.StringIO(), width=width)
    out.print(table)
    text: str = out.file.getvalue()  # type: ignore[attr-defined]  # it is the StringIO from above
    return [line.rstrip() for line in text.splitlines()]


def row(**changes: Any) -> str:
    """Return the line of an answer, its parts one blank apart."""
    lines = shown(demo.answers_table([("Why?", ANSWER | changes)], "gpt-4"), 100)
    return " ".join(next(line for line in lines if line.startswith("Why?")).split())


def test_row_of_a_generated_answer() -> None:
    """A row has the short model, tokens in and out, milliseconds, and money in millionths of a dollar."""
    assert "Why? complex tinyllama+ - 12+1024 12,345 274 2,820" == row()


@pytest.mark.parametrize(
    ("tier", "similarity", "cell"), [("exact", 1.0, "exact"), ("semantic", 0.97654, "semantic 0.98")]
)
def test_row_of_a_cached_answer(tier: str, similarity: float, cell: str) -> None:
    """A hit says which part of the cache answered, and a semantic one how near the question was."""
    assert f" {cell} 12" in row(cache_tier=tier, cache_similarity=similarity)


def test_model_that_ran() -> None:
    """A model that really ran has no plus, and the caption then explains none."""
    lines = shown(demo.answers_table([("Why?", ANSWER | {"model_used": "ollama/llama3.2"})], "gpt-4"), 100)

    assert " llama3.2 " in row(model_used="ollama/llama3.2")
    assert "tokens: in+out. cost, gpt-4: µUSD, millionths of a dollar." == lines[-1]


@pytest.mark.parametrize("width", [80, 100, 160])
def test_only_prompts_wrap(width: int) -> None:
    """At every usual width nothing is cut, no line is too long, and every answer is on the first line of its row."""
    answers = [(prompt, ANSWER | {"cache_tier": "semantic", "cache_similarity": 0.98}) for prompt in demo.PROMPTS]
    lines = shown(demo.answers_table(answers, "gpt-4"), width)

    assert max(map(len, lines)) <= width
    assert "…" not in "".join(lines)
    assert len(answers) == sum(
        line.endswith("complex  tinyllama+  semantic 0.98  12+1024  12,345   274  2,820") for line in lines
    )


def test_unknown_baseline() -> None:
    """A model whose price is not known for a day of the period is not compared with."""
    lines = [" ".join(line.split()) for line in shown(demo.summary_table(SUMMARY | {"baseline_cost": None}), 100)]

    assert "the same tokens on gpt-4 unknown" in lines


def test_summary_compares_with_every_baseline_once() -> None:
    """Each comparison has its own savings, negative ones too, and the main baseline is there once."""
    lines = [" ".join(line.split()) for line in shown(demo.summary_table(SUMMARY), 100)]

    assert "the same tokens on gpt-4 0.043920000 USD (savings 96 %)" in lines
    assert "the same tokens on gpt-4o-mini 0.000407700 USD (savings -330 %)" in lines
    assert 2 == sum("the same tokens" in line for line in lines)
    assert "requests by model ollama/tinyllama[q4]: 12" in lines


def test_summary_without_a_comparison() -> None:
    """Where the baseline cost nothing there are no savings to speak of."""
    nothing = SUMMARY | {"actual_cost": 0.0, "baseline_cost": 0.0, "baselines": {}}

    assert "the same tokens on gpt-4 0.000000000 USD" in [
        " ".join(line.split()) for line in shown(demo.summary_table(nothing), 100)
    ]


def ask(*responses: httpx.Response) -> dict[str, Any]:
    """Return what the tour makes of a router that answers so."""
    left = list(responses)
    transport = httpx.MockTransport(lambda _: left.pop(0))
    with httpx.Client(base_url="http://router", transport=transport) as client:
        return demo.ask(client, "Why?")


def test_ask_follows_the_location() -> None:
    """An answer that is not ready yet is fetched from where it will be."""
    pending = httpx.Response(202, json={"status": "queued"}, headers={"Location": "/api/v1/requests/req_1"})

    assert ANSWER == ask(pending, httpx.Response(200, json=ANSWER))


@pytest.mark.parametrize("status", [200, 503])
def test_ask_without_an_answer(status: int) -> None:
    """A prompt that ends without an answer ends the tour, with what the router said."""
    with pytest.raises(demo.DemoError, match=f"'Why[?]' was answered {status}: .*model_unavailable"):
        ask(httpx.Response(status, json={"error": {"code": "model_unavailable"}}))
