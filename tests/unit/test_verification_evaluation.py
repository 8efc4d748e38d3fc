import random
from pathlib import Path

import msgspec
import numpy as np

from llm_router.verification import PairVerifier
from llm_router.verification.scoring import Tree
from tests.evaluation import boosting, rewriting
from tests.evaluation.embedding import Embeddings
from tests.evaluation.evaluate_cache import evaluate, table
from tests.evaluation.stream import Outcome, Request, ceiling, play
from tests.evaluation.train_verifier import BUDGETS, least_scores

ANGLES = {"A one?": 0.0, "A two?": 0.1, "B?": 0.2, "far?": 2.0}


def by_angle(text: str) -> list[float]:
    """Embed a text in the plane, most of them near each other."""
    angle = ANGLES.get(text, 0.0)
    return [float(np.cos(angle)), float(np.sin(angle))]


def stream(*prompts: str) -> list[Request]:
    """Return requests whose cluster is the first letter."""
    return [Request(prompt, prompt[0], oracle_hit=False) for prompt in prompts]


def test_stream_counts_hits_and_wrong_hits() -> None:
    """An exact repeat hits, a near prompt hits, and a hit of another cluster is wrong."""
    outcome = play(stream("A one?", "far?", "A one?", "A two?", "B?"), Embeddings(by_angle), 0.9, lambda *_: True)

    assert Outcome(hit_rate=3 / 5, wrong_among_hits=1 / 3) == outcome


def test_stream_offers_the_next_candidate_when_one_is_refused() -> None:
    """A verifier that refuses the nearest candidate is asked about the next, and what is missed is stored."""
    asked: list[tuple[str, str]] = []

    def accepts(prompt: str, candidate: str, similarity: float) -> bool:
        assert similarity >= 0.9
        asked.append((prompt, candidate))
        return candidate == "A one?"

    play(stream("A one?", "A two?", "B?", "B?"), Embeddings(by_angle), 0.9, accepts)

    assert [("A two?", "A one?"), ("B?", "A one?"), ("B?", "A one?")] == asked


def test_ceiling_is_the_share_of_repeated_questions() -> None:
    """The best that any cache could do is what the stream says was asked before."""
    requests = [Request("x", "x", oracle_hit=False), Request("y", "x", oracle_hit=True)]

    assert 0.5 == ceiling(requests)


def test_budget_is_kept_by_every_higher_score() -> None:
    """A low score that keeps a budget by luck is not taken when a higher one breaks it."""
    played = {0.0: Outcome(0.5, 0.0), 1.0: Outcome(0.5, 0.1), 2.0: Outcome(0.4, 0.02), 3.0: Outcome(0.3, 0.001)}

    assert [(budget, 3.0 if budget < 0.008 else 2.0) for budget in BUDGETS] == list(least_scores(played))


def test_evaluation_has_the_published_shape(tmp_path: Path) -> None:
    """Every file of pairs and the stream are measured with and without the verifier."""
    lines = [
        {"a": "Ride 5 miles", "b": "Ride 6 miles", "duplicate": 0, "kind": "number"},
        {"a": "What's up?", "b": "what is up", "duplicate": 1, "kind": "contraction"},
    ]
    requests = [{"prompt": "Hi?", "cluster": "h", "oracle_hit": hit} for hit in (False, True)]
    (tmp_path / "pairs_toy.jsonl").write_bytes(msgspec.json.Encoder().encode_lines(lines))
    (tmp_path / "stream_toy.jsonl").write_bytes(msgspec.json.Encoder().encode_lines(requests))

    report = evaluate(tmp_path, Embeddings(by_angle), PairVerifier())

    assert {
        "positives": 1,
        "negatives": 1,
        "threshold_only": {"hit": 1.0, "wrong": 1.0},
        "verified": {"hit": 1.0, "wrong": 0.0},
    }.items() <= report["pairs"]["pairs_toy"].items()
    assert {"hit_rate": 0.5, "wrong_among_hits": 0.0} == report["stream"]["verified"]
    assert 0.5 == report["stream"]["ceiling"]
    assert "| - number | 1 |  |  | 100.0 % | 0.0 % |" in table(report)


def test_boosting_learns_what_one_question_cannot_tell() -> None:
    """Trees of two questions learn an exclusive or, the same way every time."""
    chance = np.random.default_rng(0)
    rows = chance.random((400, 3))
    labels = ((rows[:, 0] > 0.5) != (rows[:, 1] > 0.4)).astype(float)

    intercept, fitted = boosting.fit(rows, labels, np.ones(400), trees=40, depth=2, rate=0.3)
    trees = [Tree(tuple(each.features), tuple(each.thresholds), tuple(each.leaves)) for each in fitted]
    right = [
        (intercept + sum(tree.value(tuple(row)) for tree in trees) > 0) == bool(label)
        for row, label in zip(rows.tolist(), labels, strict=True)
    ]

    assert sum(right) > 390
    assert (intercept, fitted) == boosting.fit(rows, labels, np.ones(400), trees=40, depth=2, rate=0.3)


def test_rewordings_fit_or_are_left_out() -> None:
    """Every edit changes a prompt it fits and returns nothing for one it does not."""
    chance = random.Random(0)
    prompt = "What is the best way to clean the inside of a copper kettle in winter?"
    edits = (*rewriting.KEEP, *rewriting.CHANGE, rewriting.substitution(["walrus"]), rewriting.addition(["walrus"]))

    edited = {edit(prompt, chance) for edit in edits for _ in range(5)}

    assert prompt not in edited
    assert len(edited) > len(edits)
    assert all(edit("Hm", chance) is None for edit in (rewriting.method_frame, rewriting.filler, rewriting.exchange))
