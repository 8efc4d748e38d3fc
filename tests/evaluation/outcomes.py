"""Measures how well a signal tells which prompts need the strong model, by who really answered correctly."""

from collections.abc import Sequence

import numpy as np

from llm_router.classification.weights import Head
from tests.evaluation.metrics import auroc, calls_curve, mean, recovered_gap
from tests.evaluation.prompts import FOLDS, Outcome, files_of, folds
from tests.evaluation.softmax_regression import Floats
from tests.evaluation.train_classifier import Reader, fit_need

FIGURES = ("auroc", "apgr", "cpt50", "cpt80", "auroc_all", "auroc_weak_fails")
SEEDS = range(5)
"""Of the splits that the figures are the mean of."""

Figures = dict[str, float | None]


def outcome_figures(outcomes: Sequence[Outcome], signals: Sequence[float]) -> dict[str, Figures]:
    """Return per file how well a signal tells who needs the strong model.

    `auroc` is over the prompts that at least one model gets right: those that only the strong one does against those
    that the weak one does. `auroc_all` counts a prompt that both fail among those that do not need the strong model,
    `auroc_weak_fails` among those that do. APGR and CPT are over all prompts.
    """
    result = {}
    for name in files_of(outcomes):
        group = [(signal, each) for signal, each in zip(signals, outcomes, strict=True) if each.file == name]
        inside, there = [signal for signal, _ in group], [each for _, each in group]
        answered = [(signal, each) for signal, each in group if each.weak_correct or each.strong_correct]
        result[name] = {
            "auroc": auroc([signal for signal, _ in answered], [each.strong_needed for _, each in answered]),
            **recovered_gap(calls_curve(inside, there)),
            "auroc_all": auroc(inside, [each.strong_needed for each in there]),
            "auroc_weak_fails": auroc(inside, [not each.weak_correct for each in there]),
        }
    return result


def signals_by(need: Head, dense: Floats) -> Floats:
    """Return the signal of every prompt, given embedding and numbers, one prompt a row."""
    signals: Floats = dense @ np.array([*need.embedding, *need.numbers]) + need.intercept
    return signals


def fitted_by_file(outcomes: Sequence[Outcome], reader: Reader, *, seed: int, share: float = 1.0) -> list[float]:
    """Return the signal of every prompt by a fit on the other four of five seeded folds of its own file.

    Args:
        outcomes: Prompts of any files.
        reader: Reads prompts as the grader does.
        seed: Of the folds.
        share: Of the prompts of the other folds, how many are used.
    """
    signals = np.zeros(len(outcomes))
    fold = np.array(folds([outcome.prompt for outcome in outcomes], seed))
    used = np.random.default_rng(seed).random(len(outcomes)) < share
    files = np.array([outcome.file for outcome in outcomes])
    for name in files_of(outcomes):
        for number in range(FOLDS):
            there = np.flatnonzero((files == name) & (fold == number)).tolist()
            fitting = np.flatnonzero((files == name) & (fold != number) & used).tolist()
            if there and fitting:
                need = fit_need([outcomes[place] for place in fitting], reader)
                signals[there] = signals_by(need, reader.dense([outcomes[place].prompt for place in there]))
    values: list[float] = signals.tolist()
    return values


def fitted_figures(outcomes: Sequence[Outcome], reader: Reader, share: float = 1.0) -> dict[str, Figures]:
    """Return the figures per file of signals fitted on one side of a split and scored on the other, means of splits."""
    splits = [outcome_figures(outcomes, fitted_by_file(outcomes, reader, seed=seed, share=share)) for seed in SEEDS]
    return {name: {key: _mean([each[name][key] for each in splits]) for key in FIGURES} for name in files_of(outcomes)}


def _mean(values: Sequence[float | None]) -> float | None:
    there = [value for value in values if value is not None]
    return mean(there) if there else None
