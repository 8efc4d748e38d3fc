"""Fits the learned grader and writes `weights.json` beside it, and the fingerprints of the prompts it was fitted on.

Run as `python -m tests.evaluation.train_classifier --data FOLDER`. The same data give the same file, bit for bit on one
machine. MODEL_CARD.md, beside the weights, says what the data are.
"""

import argparse
import sys
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np
from msgspec import Struct

from llm_router.adapters.onnx_embedder import OnnxEmbedder
from llm_router.classification import RuleClassifier
from llm_router.classification.signals import NUMBERS, numbers, words
from llm_router.classification.weights import WEIGHTS_FILE, Head, Weights
from tests.evaluation.embedding import MODEL_DIR, Embeddings
from tests.evaluation.prompts import FOLDS, TIERS, Labelled, Outcome, digest, folds, read_labelled, read_outcomes
from tests.evaluation.softmax_regression import Floats, fit_ridge, fit_softmax, temperature

OPEN_LABELLED = (
    "routing_arenahard", "routing_clinc", "routing_code", "routing_factoid", "routing_gsm8k", "routing_jurijz",
    "routing_math", "routing_mtbench_vicuna", "routing_peers", "routing_seed", "routing_selfinstruct",
    "routing_strategyqa", "routing_system_design",
)  # fmt: skip
"""Files with tiers that weights may be fitted on."""
OPEN_OUTCOMES = (
    "router_outcomes_gsm8k", "router_outcomes_mmlu", "router_outcomes_mtbench", "router_outcomes_routerarena",
)  # fmt: skip
FITTED_ON_FILE = Path(__file__).with_name("fitted_on.txt")

TRUST = {"high": 1.0, "medium": 0.7, "low": 0.4}
"""How much a label counts."""
SOURCE_EXPONENT = 0.3
"""Each prompt of a source of n prompts counts n to the minus this: large sources count more, but not in proportion."""
CORE_FACTOR = 2.0
FIRST_CHOICE = {"high": 0.95, "medium": 0.9, "low": 0.75}
"""Share of the label among the acceptable tiers, which share the rest."""
EMBEDDING_PENALTY, WORD_PENALTY, NUMBER_PENALTY = 0.5, 0.625, 1.0
LEAST_PROMPTS, LEAST_SOURCES = 6, 3
"""A word counts when it is in so many prompts of so many sources; one that gives a source away is not learnt."""
NEED_PENALTY, NEED_EMBEDDING_SCALE, NEED_NUMBER_SCALE = 300.0, 4.0, 0.6
DECIMALS = 3


class Signals(Struct, frozen=True):
    """What the grader reads in one prompt."""

    embedding: Floats
    numbers: tuple[float, ...]
    words: frozenset[str]


class Reader:
    """Reads prompts as the grader does, each once."""

    def __init__(self, embeddings: Embeddings) -> None:
        self._embeddings = embeddings
        self._rules = RuleClassifier()
        self._read: dict[str, Signals] = {}

    def read(self, prompt: str) -> Signals:
        """Return the signals of a canonical prompt."""
        if prompt not in self._read:
            measured = numbers(prompt, self._rules.classify(prompt).features)
            self._read[prompt] = Signals(self._embeddings.vector(prompt).astype(float), measured, words(prompt))
        return self._read[prompt]

    def dense(self, prompts: Sequence[str]) -> Floats:
        """Return embedding and numbers, one prompt a row."""
        rows = [np.append(signals.embedding, signals.numbers) for signals in map(self.read, prompts)]
        return np.array(rows, dtype=float)


def vocabulary(items: Sequence[Labelled], reader: Reader) -> list[str]:
    """Return the words that are common enough in enough sources, sorted."""
    prompts: Counter[str] = Counter()
    sources: dict[str, set[str]] = defaultdict(set)
    for item in items:
        for word in reader.read(item.prompt).words:
            prompts[word] += 1
            sources[word].add(item.source)
    return sorted(
        word for word, count in prompts.items() if count >= LEAST_PROMPTS and len(sources[word]) >= LEAST_SOURCES
    )


def word_columns(prompts: Sequence[str], vocabulary: Sequence[str], reader: Reader) -> Floats:
    """Return one column a word: 1 over the square root of how many known words the prompt has."""
    places = {word: place for place, word in enumerate(vocabulary)}
    columns = np.zeros((len(prompts), len(vocabulary)))
    for row, prompt in enumerate(prompts):
        known = [places[word] for word in reader.read(prompt).words if word in places]
        columns[row, known] = 1 / np.sqrt(max(1, len(known)))
    return columns


def importance(items: Sequence[Labelled]) -> Floats:
    """Return how much each prompt counts, 1 on average."""
    sizes = Counter(item.source for item in items)
    weights = np.array([TRUST[item.trust] * sizes[item.source] ** -SOURCE_EXPONENT for item in items])
    weights = weights / weights.mean() * np.array([CORE_FACTOR if item.is_core else 1.0 for item in items])
    relative: Floats = weights / weights.mean()
    return relative


def targets(items: Sequence[Labelled]) -> Floats:
    """Return the share of every tier: most to the label, the rest to the other acceptable ones."""
    shares = np.zeros((len(items), len(TIERS)))
    for row, item in enumerate(items):
        others = [tier for tier in item.acceptable if tier != item.label]
        shares[row, item.label] = FIRST_CHOICE[item.trust] if others else 1.0
        shares[row, others] = (1 - FIRST_CHOICE[item.trust]) / max(1, len(others))
    return shares


class Tiers(Struct, frozen=True):
    """What turns signals into log-odds of the tiers, up to a common constant."""

    heads: tuple[Head, Head, Head]
    words: dict[str, tuple[float, float, float]]


def fit_tiers(items: Sequence[Labelled], reader: Reader, *, divisor: float) -> Tiers:
    """Return what labelled prompts teach, log-odds divided by `divisor`."""
    known = vocabulary(items, reader)
    prompts = [item.prompt for item in items]
    dense = reader.dense(prompts)
    dimensions = dense.shape[1] - len(NUMBERS)
    penalties = np.repeat([EMBEDDING_PENALTY, NUMBER_PENALTY, WORD_PENALTY], [dimensions, len(NUMBERS), len(known)])
    rows = np.hstack([dense, word_columns(prompts, known, reader)])
    fitted = fit_softmax(rows, targets(items), importance(items), penalties) / divisor
    fitted = np.round(fitted - fitted.mean(axis=1, keepdims=True), DECIMALS)
    heads = [head(column, dimensions) for column in fitted.T]
    by_word = dict(zip(known, fitted[dimensions + len(NUMBERS) : -1].tolist(), strict=True))
    return Tiers((heads[0], heads[1], heads[2]), {word: (row[0], row[1], row[2]) for word, row in by_word.items()})


def head(column: Floats, dimensions: int) -> Head:
    """Return a head out of its coefficients: embedding, numbers, anything, intercept."""
    values = column.tolist()
    return Head(values[-1], tuple(values[:dimensions]), tuple(values[dimensions : dimensions + len(NUMBERS)]))


def fit_need(outcomes: Sequence[Outcome], reader: Reader) -> Head:
    """Return what predicts that a weak model fails, whatever the benchmark; 0 for the average prompt.

    Who fails is learnt, not who alone fails: a prompt that both models fail is hard too, and there are few prompts.
    Every file is centred, so that the share of failures in a file, which depends on its prompts as a whole, is not
    learnt.
    """
    rows = reader.dense([outcome.prompt for outcome in outcomes])
    wrong = np.array([not outcome.weak_correct for outcome in outcomes], dtype=float)
    spread = np.maximum(rows.std(axis=0), 1e-9)
    dimensions = rows.shape[1] - len(NUMBERS)
    scale = np.append(np.full(dimensions, NEED_EMBEDDING_SCALE), NEED_NUMBER_SCALE / spread[dimensions:])
    inputs = rows * scale
    for name in {outcome.file for outcome in outcomes}:
        here = np.array([outcome.file == name for outcome in outcomes])
        inputs[here] -= inputs[here].mean(axis=0)
        wrong[here] -= wrong[here].mean()
    column = fit_ridge(inputs, wrong, NEED_PENALTY) * scale
    return head(np.round(np.append(column, -(rows @ column).mean()), 5), dimensions)


def scores(tiers: Tiers, prompts: Sequence[str], reader: Reader) -> Floats:
    """Return the log-odds of the tiers, one prompt a row."""
    known = sorted(tiers.words)
    by_signal = np.array([[*each.embedding, *each.numbers] for each in tiers.heads]).T
    by_word = np.array([tiers.words[word] for word in known]).reshape(-1, len(TIERS))
    scored: Floats = reader.dense(prompts) @ by_signal + word_columns(prompts, known, reader) @ by_word
    return scored + [each.intercept for each in tiers.heads]


def best_divisor(items: Sequence[Labelled], reader: Reader) -> float:
    """Return the temperature that calibrates what a fit on four folds says of the fifth."""
    fold = np.array(folds([item.prompt for item in items], seed=1))
    left_out = np.zeros((len(items), len(TIERS)))
    for number in range(FOLDS):
        tiers = fit_tiers([item for item, its in zip(items, fold, strict=True) if its != number], reader, divisor=1.0)
        there = np.flatnonzero(fold == number).tolist()
        left_out[there] = scores(tiers, [items[place].prompt for place in there], reader)
    return temperature(left_out, np.array([item.label for item in items]), importance(items))


def train(items: Sequence[Labelled], outcomes: Sequence[Outcome], reader: Reader, embedder_version: str) -> Weights:
    """Return the weights that ship."""
    everything: list[Labelled | Outcome] = [*items, *outcomes]
    divisor = best_divisor(items, reader)
    tiers = fit_tiers(items, reader, divisor=divisor)
    means = np.array([reader.read(item.prompt).numbers for item in items], dtype=float).mean(axis=0)
    return Weights(
        embedder_version=embedder_version,
        fitted_on=dict(sorted(Counter(each.file for each in everything).items())),
        checksum="",
        divisor=divisor,
        number_names=NUMBERS,
        number_means=tuple(np.round(means, DECIMALS).tolist()),
        tiers=tiers.heads,
        words=tiers.words,
        strong_needed=fit_need(outcomes, reader),
    ).with_checksum()


def main() -> None:
    """Train and write the weights."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=WEIGHTS_FILE)
    parser.add_argument("--fitted-on", type=Path, default=FITTED_ON_FILE)
    arguments = parser.parse_args()
    items = [item for item in read_labelled(arguments.data) if item.file in OPEN_LABELLED]
    outcomes = [outcome for outcome in read_outcomes(arguments.data) if outcome.file in OPEN_OUTCOMES]
    embedder = OnnxEmbedder(MODEL_DIR)
    weights = train(items, outcomes, Reader(Embeddings(embedder.embed)), embedder.version)
    arguments.out.write_bytes(msgspec.json.encode(weights) + b"\n")
    fitted_on = sorted({digest(each) for each in items} | {digest(each) for each in outcomes})
    arguments.fitted_on.write_text("\n".join(fitted_on) + "\n", encoding="ascii")
    sys.stdout.write(f"{weights.fitted_on}, divisor {weights.divisor}, {arguments.out.stat().st_size} bytes\n")


if __name__ == "__main__":
    main()
