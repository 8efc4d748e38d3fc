"""How long the rule grader takes for a prompt, in microseconds."""

import sys
from collections.abc import Mapping
from functools import partial
from time import perf_counter_ns
from timeit import repeat
from typing import Final

from llm_router.classification import RuleClassifier
from llm_router.classification.terms import term_lists

PROMPTS: Final[Mapping[str, str]] = {
    "short": "What is Python?",
    "medium": "Explain the difference between REST and GraphQL APIs, and compare how each of them handles caching.",
    "long": "Our checkout service reads every price from the database. We want it to scale to millions of users. " * 20,
}


def microseconds_per_prompt(*, number: int = 200, rounds: int = 7) -> dict[str, float]:
    """Return the best of some rounds for a short, a medium and a long prompt, once the lists are loaded."""
    classifier = RuleClassifier()
    term_lists()
    return {
        name: min(repeat(partial(classifier.classify, prompt), number=number, repeat=rounds)) / number * 1e6
        for name, prompt in PROMPTS.items()
    }


def main() -> None:
    """Print one line per prompt, and what reading the lists takes."""
    started_ns = perf_counter_ns()
    term_lists()
    sys.stdout.write(f"lists    {(perf_counter_ns() - started_ns) / 1e6:8.1f} ms, once per process\n")
    for name, duration_us in microseconds_per_prompt().items():
        sys.stdout.write(f"{name:8} {duration_us:8.1f} µs for {len(PROMPTS[name])} characters\n")


if __name__ == "__main__":
    main()
