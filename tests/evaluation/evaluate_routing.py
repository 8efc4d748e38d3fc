"""Measures the graders: against the tiers that people gave, and against who really answered correctly.

Run as `python -m tests.evaluation.evaluate_routing --data FOLDER --out FILE.json [--plot FILE.svg]`, where the folder
holds `routing_*.jsonl` (`prompt`, `label`, `acceptable`, `source`, `trust`) and `router_outcomes_*.jsonl` (`prompt`,
`weak_correct`, `strong_correct`).

No prompt is graded by weights that were fitted on it. A prompt that the shipped weights do not know is graded by them;
one they were fitted on (`fitted_on.txt`) is graded by weights fitted anew, the same way, on the other four of five
seeded folds of such prompts. `learned_unseen` goes further: weights fitted on the open files of the folder without the
prompt's whole source, and, as `core_left_out`, without any prompt of CORE.

Of outcomes there are two figures: `shipped` is the signal of the product, one for all prompts, known ones by a fit on
the other folds of all files; `learned` is one fitted the same way on the other folds of the prompt's own file.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from llm_router.adapters.onnx_embedder import OnnxEmbedder
from llm_router.classification import RuleClassifier
from llm_router.classification.expected_cost import DEFAULT_BIAS, cheapest_tier
from llm_router.classification.weights import Weights, shipped_weights
from tests.evaluation.embedding import MODEL_DIR, Embeddings
from tests.evaluation.metrics import calls_curve, expected_calibration_error, mean, tier_figures
from tests.evaluation.outcomes import FIGURES, fitted_figures, outcome_figures, signals_by
from tests.evaluation.prompts import (
    FOLDS,
    TIERS,
    Labelled,
    Outcome,
    digest,
    files_of,
    folds,
    read_labelled,
    read_outcomes,
)
from tests.evaluation.softmax_regression import chances
from tests.evaluation.train_classifier import FITTED_ON_FILE, OPEN_LABELLED, Reader, Tiers, fit_need, fit_tiers, scores

BIASES = (0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 10.0)
KNOWING_NOTHING = (1 / len(TIERS),) * len(TIERS)
"""Chances where there is nothing else to fit on."""
LEARNING_SHARES = (0.25, 0.5, 0.75)

Chances = dict[int, Sequence[float]]
"""Chances of the tiers by number of the prompt."""


def fitted_on(path: Path = FITTED_ON_FILE) -> frozenset[str]:
    """Return the fingerprints of the prompts that the shipped weights were fitted on."""
    return frozenset(path.read_text(encoding="ascii").split())


class Evaluation:
    """Grades the prompts of a folder without ever grading one by weights fitted on it.

    Args:
        weights: The shipped ones.
        known: Fingerprints of the prompts they were fitted on.
        reader: Reads prompts as the grader does.
    """

    def __init__(self, weights: Weights, known: frozenset[str], reader: Reader) -> None:
        self._weights = weights
        self._known = known
        self.reader = reader

    def is_known(self, item: Labelled | Outcome) -> bool:
        """Whether the shipped weights were fitted on a prompt."""
        return digest(item) in self._known

    def in_folds(self, items: Sequence[Labelled]) -> list[Sequence[float]]:
        """Return the chances of every prompt, known ones by weights of the other folds."""
        graded = self._chances(Tiers(self._weights.tiers, self._weights.words), items)
        known = [place for place, item in enumerate(items) if self.is_known(item)]
        fold = dict(zip(known, folds([items[place].prompt for place in known]), strict=True))
        for number in range(FOLDS):
            inside = [place for place in known if fold[place] == number]
            self._grade_anew(graded, items, inside, [items[place] for place in known if fold[place] != number])
        return graded

    def by_source(self, items: Sequence[Labelled]) -> list[Sequence[float]]:
        """Return the chances of every prompt by weights fitted on the open files without its source."""
        graded: list[Sequence[float]] = [KNOWING_NOTHING] * len(items)
        for source in dict.fromkeys(item.source for item in items):
            inside = [place for place, item in enumerate(items) if item.source == source]
            self._grade_anew(graded, items, inside, [item for item in _open(items) if item.source != source])
        return graded

    def without_core(self, items: Sequence[Labelled]) -> list[Sequence[float]]:
        """Return the chances of the prompts of CORE by weights fitted on the open files without it."""
        graded: list[Sequence[float]] = [KNOWING_NOTHING] * len(items)
        inside = [place for place, item in enumerate(items) if item.is_core]
        self._grade_anew(graded, items, inside, [item for item in _open(items) if not item.is_core])
        return [graded[place] for place in inside]

    def _grade_anew(
        self,
        graded: list[Sequence[float]],
        items: Sequence[Labelled],
        inside: Sequence[int],
        outside: Sequence[Labelled],
    ) -> None:
        """Replace the chances of the prompts inside by those that a fit on the prompts outside gives."""
        if inside and outside:
            # The temperature is one number; that of the shipped weights is kept.
            tiers = fit_tiers(outside, self.reader, divisor=self._weights.divisor)
            for place, row in zip(inside, self._chances(tiers, [items[place] for place in inside]), strict=True):
                graded[place] = row

    def _chances(self, tiers: Tiers, items: Sequence[Labelled]) -> list[Sequence[float]]:
        rows: list[Sequence[float]] = chances(scores(tiers, [item.prompt for item in items], self.reader)).tolist()
        return rows

    def needs(self, outcomes: Sequence[Outcome]) -> list[float]:
        """Return the shipped signal that the strong model is needed, of known prompts by a fit on the other folds."""
        if not outcomes:
            return []
        dense = self.reader.dense([outcome.prompt for outcome in outcomes])
        signals = signals_by(self._weights.strong_needed, dense)
        known = np.array([self.is_known(outcome) for outcome in outcomes])
        fold = np.array(folds([outcome.prompt for outcome in outcomes]))
        for number in range(FOLDS):
            fitting = np.flatnonzero(known & (fold != number))
            there = np.flatnonzero(known & (fold == number))
            if len(fitting) and len(there):
                need = fit_need([outcomes[place] for place in fitting.tolist()], self.reader)
                signals[there] = signals_by(need, dense[there])
        result: list[float] = signals.tolist()
        return result


def _open(items: Sequence[Labelled]) -> list[Labelled]:
    return [item for item in items if item.file in OPEN_LABELLED]


def figures(
    items: Sequence[Labelled], graded: Sequence[int], confidences: Sequence[float]
) -> dict[str, dict[str, Any]]:
    """Return the figures per file, for CORE and for everything."""
    places = range(len(items))
    core = [place for place in places if items[place].is_core]

    def of(chosen: Sequence[int]) -> dict[str, Any]:
        return tier_figures([items[place] for place in chosen], [graded[place] for place in chosen])

    ece = expected_calibration_error(
        [confidences[place] for place in core], [graded[place] == items[place].label for place in core]
    )
    return {
        "sources": {name: of([place for place in places if items[place].file == name]) for name in files_of(items)},
        "core": {**of(core), "ece": ece},
        "all": of(places),
    }


def learned_figures(items: Sequence[Labelled], graded: Sequence[Sequence[float]], bias: float) -> dict[str, Any]:
    """Return the figures of chances, decided at a bias."""
    tiers = [cheapest_tier(row, bias) for row in graded]
    return figures(items, tiers, [row[tier] for row, tier in zip(graded, tiers, strict=True)])


def evaluate(folder: Path, evaluation: Evaluation) -> dict[str, Any]:
    """Return every figure of a folder of evaluation data."""
    items, outcomes = read_labelled(folder), read_outcomes(folder)
    rules = RuleClassifier()
    ruled = [rules.classify(item.prompt) for item in items]
    points = [float(rules.classify(outcome.prompt).features.total_score) for outcome in outcomes]
    in_folds = evaluation.in_folds(items)
    needs = evaluation.needs(outcomes)
    return {
        "learned": {
            **learned_figures(items, in_folds, DEFAULT_BIAS),
            "outcomes": fitted_figures(outcomes, evaluation.reader),
        },
        "shipped": {"outcomes": outcome_figures(outcomes, needs)},
        "rules": {
            **figures(items, [TIERS.index(each.complexity) for each in ruled], [each.confidence for each in ruled]),
            "outcomes": outcome_figures(outcomes, points),
        },
        "random": {"outcomes": outcome_figures(outcomes, [0.0] * len(outcomes))},
        "learned_unseen": {
            **learned_figures(items, evaluation.by_source(items), DEFAULT_BIAS),
            "core_left_out": learned_figures(
                [item for item in items if item.is_core], evaluation.without_core(items), DEFAULT_BIAS
            )["core"],
        },
        "bias": [
            {"bias": bias, **learned_figures(items, in_folds, bias)["core"], **shares(items, in_folds, bias)}
            for bias in BIASES
        ],
        "learning": [
            {"share": share, "outcomes": fitted_figures(outcomes, evaluation.reader, share)}
            for share in LEARNING_SHARES
        ],
        "calls": {
            name: {
                how: calls_curve([signals[place] for place in there], [outcomes[place] for place in there])
                for how, signals in (("shipped", needs), ("rules", points))
            }
            for name in files_of(outcomes)
            for there in [[place for place, each in enumerate(outcomes) if each.file == name]]
        },
    }


def shares(items: Sequence[Labelled], graded: Sequence[Sequence[float]], bias: float) -> dict[str, float]:
    """Return the share of CORE that is graded into every tier."""
    tiers = [cheapest_tier(row, bias) for row, item in zip(graded, items, strict=True) if item.is_core]
    return {tier.value: mean([each == number for each in tiers]) for number, tier in enumerate(TIERS)}


def table(report: dict[str, Any]) -> str:
    """Return the figures as Markdown tables."""
    lines = ["| prompts | n | grader | accuracy | lenient | macro-F1 | under | over | ECE |", "|" + "---|" * 9]
    lines += [
        _row(name, how, report[how]["sources"].get(name) or report[how][name])
        for name in (*report["learned"]["sources"], "core", "all")
        for how in ("rules", "learned", "learned_unseen")
    ]
    lines.append(_row("core", "CORE left out", report["learned_unseen"]["core_left_out"]))
    lines += ["", f"| outcomes | signal | {' | '.join(FIGURES)} |", "|" + "---|" * 8]
    for name in report["learned"]["outcomes"]:
        for how in ("random", "rules", "shipped", "learned"):
            each = report[how]["outcomes"][name]
            cells = ["" if each[key] is None else f"{each[key]:.3f}" for key in FIGURES]
            lines.append(f"| {name} | {how} | {' | '.join(cells)} |")
    lines += ["", "| bias | accuracy | under | over | simple | medium | complex |", "|" + "---|" * 7]
    for each in report["bias"]:
        cells = [f"{each[key]:.3f}" for key in ("accuracy", "under", "over", "simple", "medium", "complex")]
        lines.append(f"| {each['bias']:g} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _row(name: str, how: str, each: dict[str, Any]) -> str:
    cells = [f"{each[key]:.3f}" for key in ("accuracy", "lenient", "macro_f1", "under", "over")]
    return f"| {name} | {each['n']} | {how} | {' | '.join(cells)} | {each.get('ece', '')} |"


def main() -> None:
    """Evaluate, print the tables, write the JSON and, if asked, draw the picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--plot", type=Path)
    arguments = parser.parse_args()
    reader = Reader(Embeddings(OnnxEmbedder(MODEL_DIR).embed))
    report = evaluate(arguments.data, Evaluation(shipped_weights(), fitted_on(), reader))
    sys.stdout.write(f"{table(report)}\n")
    arguments.out.write_bytes(msgspec.json.format(msgspec.json.encode(report)) + b"\n")
    if arguments.plot:
        from tests.evaluation.plotting import plot_routing  # noqa: PLC0415 - matplotlib is needed for the picture only

        plot_routing(report, arguments.plot)


if __name__ == "__main__":
    main()
