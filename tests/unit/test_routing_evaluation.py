from pathlib import Path

import msgspec
import numpy as np
import pytest

from llm_router.classification.weights import shipped_weights
from tests.evaluation import evaluate_routing
from tests.evaluation.embedding import Embeddings
from tests.evaluation.metrics import (
    auroc,
    calls_curve,
    expected_calibration_error,
    macro_f1,
    recovered_gap,
    tier_figures,
)
from tests.evaluation.outcomes import FIGURES, fitted_by_file, fitted_figures, outcome_figures, signals_by
from tests.evaluation.prompts import Labelled, Outcome, digest, folds, read_labelled, read_outcomes
from tests.evaluation.softmax_regression import chances, fit_ridge, fit_softmax, temperature
from tests.evaluation.train_classifier import Reader, fit_need, train, vocabulary

TOPICS = ("soup", "rivers", "stars", "chess", "wool")
ASKS = (("What is {}?", "simple"), ("Write about {}.", "medium"), ("Prove and design {}, then {}!", "complex"))


def by_letters(text: str) -> list[float]:
    """Embed a text by four of its letters."""
    counts = np.array([text.count(letter) + 0.1 for letter in "aeio"])
    return list(counts / np.linalg.norm(counts))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Write a small folder of evaluation data."""
    for number in range(4):
        rows = [
            {"prompt": f"{ask} {number}".format(topic, topic), "label": label, "acceptable": [label],
             "source": f"s{number}", "trust": "high"}
            for topic in TOPICS
            for ask, label in ASKS
        ]  # fmt: skip
        name = ("routing_peers", "routing_code", "routing_math", "routing_seed")[number]
        lines = [*rows, {"prompt": "Disputed", "labels": {}}]
        (tmp_path / f"{name}.jsonl").write_bytes(msgspec.json.Encoder().encode_lines(lines))
    outcomes = [
        {"prompt": f"{topic} {number}", "weak_correct": number < 6, "strong_correct": number % 7 > 0}
        for topic in TOPICS
        for number in range(9)
    ]
    (tmp_path / "router_outcomes_mmlu.jsonl").write_bytes(msgspec.json.Encoder().encode_lines(outcomes))
    return tmp_path


def test_tier_figures() -> None:
    """Strict, lenient, and the two ways of being wrong are counted against label and acceptable tiers."""
    items = [
        Labelled("a", "f", "s", "high", 0, (0,)),
        Labelled("b", "f", "s", "high", 1, (0, 1)),
        Labelled("c", "f", "s", "high", 2, (2,)),
        Labelled("d", "f", "s", "high", 1, (1,)),
    ]
    measured = tier_figures(items, [0, 0, 1, 2])

    assert {"n": 4, "accuracy": 0.25, "lenient": 0.5, "under": 0.25, "over": 0.25}.items() <= measured.items()
    assert pytest.approx((2 / 3 + 0 + 0) / 3, abs=1e-4) == measured["macro_f1"]


def test_macro_f1_leaves_out_tiers_that_do_not_occur() -> None:
    """A file of one label is not punished for the two tiers it has no prompts of."""
    assert 1.0 == macro_f1([2, 2], [2, 2])


def test_calibration_error_is_the_gap_per_bin() -> None:
    """Half right at 0.9 and all right at 0.3 are 0.4 and 0.7 off."""
    assert 0.55 == expected_calibration_error([0.9, 0.9, 0.3, 0.3], [True, False, True, True])


def test_auroc_counts_ties_half() -> None:
    """One pair in order, one tied; without both kinds there is no figure."""
    assert 0.75 == auroc([1.0, 2.0, 2.0], [False, False, True])
    assert None is auroc([1.0, 2.0], [True, True])


def outcome(weak: bool, strong: bool) -> Outcome:  # noqa: FBT001 - as the data say it
    """Return a prompt with these answers."""
    return Outcome("p", "f", weak, strong)


def test_gap_is_recovered_as_fast_as_the_signal_allows() -> None:
    """A perfect signal recovers all of the gap with the first half of the calls, a blind one in proportion."""
    outcomes = [outcome(weak=False, strong=True), outcome(weak=True, strong=True)]

    assert {"apgr": 0.75, "cpt50": 0.25, "cpt80": 0.4} == recovered_gap(calls_curve([1.0, 0.0], outcomes))
    assert {"apgr": 0.5, "cpt50": 0.5, "cpt80": 0.8} == recovered_gap(calls_curve([0.0, 0.0], outcomes))
    assert {"apgr": None, "cpt50": None, "cpt80": None} == recovered_gap(calls_curve([0.0], outcomes[1:]))


def test_prompts_that_no_model_answers_are_told_apart() -> None:
    """Without them the order is perfect, and as failures too; among those that need no strong model they spoil it."""
    outcomes = [outcome(weak=True, strong=True), outcome(weak=False, strong=True), outcome(weak=False, strong=False)]
    measured = outcome_figures(outcomes, [0.0, 1.0, 2.0])["f"]

    assert (1.0, 0.5, 1.0) == (measured["auroc"], measured["auroc_all"], measured["auroc_weak_fails"])


def test_a_signal_is_scored_on_the_other_side_of_its_split() -> None:
    """What can be learnt by heart only, as every prompt has a vector of its own, is not found."""

    def by_heart(text: str) -> list[float]:
        vector = np.random.default_rng(list(text.encode())).normal(size=200)
        return list(vector / np.linalg.norm(vector))

    outcomes = [
        Outcome(f"{number}", "f", weak_correct=number % 2 > 0, strong_correct=True) for number in range(100, 250)
    ]
    reader = Reader(Embeddings(by_heart))
    inside = signals_by(fit_need(outcomes, reader), reader.dense([each.prompt for each in outcomes])).tolist()

    assert 0.9 < (outcome_figures(outcomes, inside)["f"]["auroc"] or 0.0)
    assert 0.35 < (fitted_figures(outcomes, reader)["f"]["auroc"] or 0.0) < 0.65


def test_a_file_is_fitted_on_by_itself() -> None:
    """The outcomes of one file do not change the signals of another."""
    reader = Reader(Embeddings(by_letters))
    ours = [
        Outcome(f"{'ae'[number % 2]} {number}", "f", weak_correct=number % 3 > 0, strong_correct=True)
        for number in range(20)
    ]
    theirs = [msgspec.structs.replace(each, file="g", weak_correct=not each.weak_correct) for each in ours]
    alone = fitted_by_file(ours, reader, seed=1)

    assert alone == fitted_by_file([*ours, *theirs], reader, seed=1)[: len(ours)]


def test_folds_keep_equal_prompts_together() -> None:
    """A prompt that occurs twice is never fitted on and graded at once."""
    prompts = [f"p{number % 7}" for number in range(70)]
    fold = folds(prompts)

    assert 7 == len(set(zip(prompts, fold, strict=True)))
    assert 5 == len(set(fold))


def test_regressions_find_what_they_were_made_from() -> None:
    """Softmax regression separates what is separable, ridge regression finds a line, calibration sharpens."""
    chance = np.random.default_rng(0)
    rows = chance.normal(size=(300, 2))
    labels = (rows[:, 0] > 0).astype(np.int64)
    fitted = fit_softmax(rows, np.eye(2)[labels], np.ones(300), np.full(2, 0.01))
    scored = np.hstack([rows, np.ones((300, 1))]) @ fitted

    assert (chances(scored).argmax(axis=1) == labels).mean() > 0.97
    assert temperature(scored / 10, labels, np.ones(300)) == 0.5
    assert np.allclose([2.0, -1.0], fit_ridge(rows, rows @ [2.0, -1.0], 1e-6), atol=1e-4)


def test_training_is_reproducible_and_learns(folder: Path) -> None:
    """The same data give the same weights, with words of several sources only."""
    items, outcomes = read_labelled(folder), read_outcomes(folder)
    reader = Reader(Embeddings(by_letters))
    weights = train(items, outcomes, reader, "toy")

    assert weights == train(items, outcomes, reader, "toy")
    assert {"routing_peers": 15, "router_outcomes_mmlu": 45}.items() <= weights.fitted_on.items()
    assert weights.words["prove"][2] > 0 > weights.words["prove"][0]
    assert set(weights.words) == set(vocabulary(items, reader))


def test_evaluation_never_grades_by_weights_that_know_the_prompt(folder: Path) -> None:
    """Known prompts are graded by new fits; with shipped weights that are wrong, only unknown prompts suffer."""
    items = read_labelled(folder)
    reader = Reader(Embeddings(by_letters))
    weights = train(items, read_outcomes(folder), reader, "toy")
    inverted = msgspec.structs.replace(weights, tiers=weights.tiers[::-1], words={})
    known = frozenset(digest(each) for each in items)

    right = evaluate_routing.evaluate(folder, evaluate_routing.Evaluation(inverted, known, reader))
    wrong = evaluate_routing.evaluate(folder, evaluate_routing.Evaluation(inverted, frozenset(), reader))

    assert 1.0 == right["learned"]["core"]["accuracy"]
    assert wrong["learned"]["core"]["accuracy"] < 0.5


def test_report_has_the_published_shape(folder: Path) -> None:
    """Both graders have the same figures, and the table names every file."""
    items = read_labelled(folder)
    reader = Reader(Embeddings(by_letters))
    weights = train(items, read_outcomes(folder), reader, "toy")
    known = frozenset(digest(each) for each in [*items, *read_outcomes(folder)])
    report = evaluate_routing.evaluate(folder, evaluate_routing.Evaluation(weights, known, reader))

    for grader in ("learned", "rules"):
        assert {"sources", "core", "all", "outcomes"} == report[grader].keys()
        assert {"n", "accuracy", "lenient", "macro_f1", "under", "over", "ece"} == report[grader]["core"].keys()
        assert set(FIGURES) == report[grader]["outcomes"]["router_outcomes_mmlu"].keys()
    assert set(FIGURES) == report["shipped"]["outcomes"]["router_outcomes_mmlu"].keys()
    assert 30 == report["learned"]["core"]["n"]
    assert 60 == report["learned"]["all"]["n"]
    assert "| routing_peers | 15 | learned |" in evaluate_routing.table(report)


def test_a_folder_may_hold_one_file_only(folder: Path) -> None:
    """Without outcomes, CORE or other sources there are figures for what is there, and no error."""
    reader = Reader(Embeddings(by_letters))
    weights = train(read_labelled(folder), read_outcomes(folder), reader, "toy")
    for path in folder.glob("*.jsonl"):
        if path.stem != "routing_code":
            path.unlink()
    report = evaluate_routing.evaluate(folder, evaluate_routing.Evaluation(weights, frozenset(), reader))

    assert {"n": 15, "accuracy": 1.0}.items() <= report["learned"]["all"].items()
    assert 0 == report["learned"]["core"]["n"]
    assert {} == report["learned"]["outcomes"]
    assert "| core | 0 |" in evaluate_routing.table(report)


def test_fingerprints_are_those_of_the_shipped_weights() -> None:
    """There are no more fingerprints than prompts the weights were fitted on, and nearly as many."""
    count, prompts = len(evaluate_routing.fitted_on()), sum(shipped_weights().fitted_on.values())

    assert 0.95 * prompts < count <= prompts
