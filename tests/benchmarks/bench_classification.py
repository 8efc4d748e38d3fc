"""How long the graders take for a prompt, in microseconds; of the learned one, without the embedding."""

import sys
from collections.abc import Mapping
from functools import partial
from time import perf_counter_ns
from timeit import repeat
from typing import Final

from llm_router.classification import LearnedClassifier, RuleClassifier
from llm_router.classification.terms import term_lists

PROMPTS: Final[Mapping[str, str]] = {
    "short": "What is Python?",
    "medium": "Explain the difference between REST and GraphQL APIs, and compare how each of them handles caching.",
    "long": "Our checkout service reads every price from the database. We want it to scale to millions of users. " * 20,
}


def microseconds_per_prompt(*, number: int = 200, rounds: int = 7) -> dict[str, float]:
    """Return the best of some rounds per grader and prompt, once the lists and the weights are loaded."""
    vector = (0.05,) * 384
    graders = {"rules": RuleClassifier(), "learned": LearnedClassifier(lambda _: vector)}
    return {
        f"{grader}, {name} prompt, {len(prompt)} characters": min(
            repeat(partial(classifier.classify, prompt), number=number, repeat=rounds)
        )
        / number
        * 1e6
        for grader, classifier in graders.items()
        for name, prompt in PROMPTS.items()
    }


def rows() -> list[tuple[str, str]]:
    """Measure, and return pairs of a name and a readable value; the lists must not have been read before."""
    started_ns = perf_counter_ns()
    term_lists()
    lists_ms = (perf_counter_ns() - started_ns) / 1e6
    prompts = [(name, f"{duration_us:.0f} µs") for name, duration_us in microseconds_per_prompt().items()]
    return [("reading the term lists, once per process", f"{lists_ms:.0f} ms"), *prompts]


def main() -> None:
    """Print the rows."""
    for name, value in rows():
        sys.stdout.write(f"{name}: {value}\n")


if __name__ == "__main__":
    main()
