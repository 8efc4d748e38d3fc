import random
from pathlib import Path

import msgspec
import numpy as np

from llm_router.verification import PairVerifier
from llm_router.verification.scoring import Tree
from tests.evaluation import boosting, rewriting
from tests.evaluation.embedding import Embeddings
from tests.evaluation.evaluate_cache import evaluate, judge, table
from tests.evaluation.pairs import Pair, read_questions
from tests.evaluation.stream import Outcome, Request, ceiling, neighbours, play
from tests.evaluation.train_verifier import BUDGETS, QUESTIONS_FILE, least_scores

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
    requests = stream("A one?", "far?", "A one?", "A two?", "B?")

    outcome = play(requests, neighbours(requests, Embeddings(by_angle), 0.9), lambda *_: True)

    assert Outcome(hit_rate=3 / 5, wrong_among_hits=1 / 3) == outcome


def test_stream_offers_the_next_candidate_when_one_is_refused() -> None:
    """A verifier that refuses the nearest candidate is asked about the next, and what is missed is stored."""
    asked: list[tuple[str, str]] = []

    def accepts(prompt: str, candidate: str, similarity: float) -> bool:
        assert similarity >= 0.9
        asked.append((prompt, candidate))
        return candidate == "A one?"

    requests = stream("A one?", "A two?", "B?", "B?")
    play(requests, neighbours(requests, Embeddings(by_angle), 0.9), accepts)

    assert [("A two?", "A one?"), ("B?", "A one?"), ("B?", "A one?")] == asked


def test_stream_finds_what_the_embedding_does_not_see_by_its_exact_words_only() -> None:
    """A prompt whose vector is not about all of it neither hits by similarity nor is hit."""
    requests = stream("A one?", "A two?", "A two?", "B?")
    embeddings = Embeddings(by_angle, lambda prompt: prompt != "A two?")

    outcome = play(requests[1:], neighbours(requests[1:], embeddings, 0.9), lambda *_: True)

    assert Outcome(hit_rate=1 / 3, wrong_among_hits=0.0) == outcome


def test_stream_leaves_out_what_may_not_be_cached() -> None:
    """A prompt that the router does not cache is a miss every time."""
    requests = stream("A one?", "A one?", "B?", "B?")
    near = neighbours(requests, Embeddings(by_angle), 0.9)

    outcome = play(requests, near, lambda *_: False, lambda prompt: prompt != "B?")

    assert Outcome(hit_rate=1 / 4, wrong_among_hits=0.0) == outcome


def test_pairs_that_the_router_does_not_compare_are_not_served() -> None:
    """Neither a prompt that depends on now nor one that the embedding does not see is served by similarity."""
    embeddings = Embeddings(by_angle, lambda prompt: prompt != "What's up?")
    pairs = [
        Pair("What is the weather right now?", "what is the weather right now", duplicate=True, kind=""),
        Pair("What's up?", "what is up", duplicate=True, kind=""),
        Pair("What's up?", "What's up?", duplicate=True, kind=""),
    ]

    assert [False, False, True] == [each.is_served for each in judge(pairs, embeddings, PairVerifier())]


def test_questions_of_a_line_are_duplicates_and_others_of_the_block_are_not(tmp_path: Path) -> None:
    """Every pair of a block is one pair, of the block's family; nothing is paired across blocks."""
    path = tmp_path / "questions.txt"
    path.write_text("# Comment.\n\nA? | B?\nC?\n\nD? | E?\n")

    assert [
        ("A?", "B?", True, "A?"),
        ("A?", "C?", False, "A?"),
        ("B?", "C?", False, "A?"),
        ("D?", "E?", True, "D?"),
    ] == [(pair.a, pair.b, pair.duplicate, pair.family) for pair in read_questions(path)]


def test_written_questions_are_written_once() -> None:
    """No question stands twice in a block, where it would be a duplicate of what it is not a duplicate of."""
    assert [] == [pair for pair in read_questions(QUESTIONS_FILE) if pair.a.lower() == pair.b.lower()]


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
