"""Fits the learned part of the verifier and writes `weights.json` beside it.

Run as `python -m tests.evaluation.train_verifier --data FOLDER`. Weights are fitted on open data only: the files named
below and pairs made by script from open prompts. The stream of the folder decides one number for every wrong-hit
budget, the least score. The same data give the same file, bit for bit on one machine.
"""

import argparse
import random
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec
import numpy as np
from msgspec.structs import replace

from llm_router.adapters.onnx_embedder import OnnxEmbedder
from llm_router.prompt import canonicalise, sha256_hex
from llm_router.verification import PairVerifier, scoring
from llm_router.verification.features import NAMES, features
from llm_router.verification.reading import read
from llm_router.verification.rules import broken_rule
from llm_router.verification.scoring import Card, Checked, Scorer, Tree, Weights
from tests.evaluation import boosting, rewriting
from tests.evaluation.embedding import MODEL_DIR, THRESHOLD, Embeddings
from tests.evaluation.evaluate_cache import by_verifier, judge, may_be_cached, rates
from tests.evaluation.pairs import Pair, read_lines, read_pairs, read_questions
from tests.evaluation.stream import Outcome, Request, neighbours, play, read_stream

OPEN_PAIRS = ("pairs_paws", "pairs_stsb", "pairs_gptcache_mock", "pairs_intents", "pairs_vllm_sr_cache")
"""Files that weights may be fitted on."""
OPEN_PROMPTS = (
    "routing_factoid", "routing_clinc", "routing_strategyqa", "routing_selfinstruct", "routing_arenahard",
    "routing_jurijz", "routing_peers", "routing_code", "routing_mtbench_vicuna", "routing_gsm8k",
    "router_outcomes_mmlu", "router_outcomes_mtbench", "router_outcomes_routerarena",
)  # fmt: skip
"""Files whose prompts may be rewritten into pairs and counted for common words."""
QUESTIONS_FILE = Path(__file__).with_name("questions.txt")
WRITTEN = "written questions"
REWRITTEN = "rewritten prompts"
IMPORTANCE = {
    WRITTEN: 2.0,
    REWRITTEN: 0.2,
    "addition": 0.5,
    "substitution": 0.7,
    "without_word": 0.5,
    "method_frame": 0.5,
    "thing_frame": 0.5,
    "definition_frame": 0.5,
    "restatement": 0.3,
    "tail": 0.6,
}
"""How much a pair of a source or kind of edit counts, where it is not 1."""
WRONG_TO_MISSED = {REWRITTEN: 1.0, "pairs_paws": 4.0}
"""How much worse a wrong hit is than a missed one, where it is not `WRONG_TO_MISSED_ELSEWHERE`."""
WRONG_TO_MISSED_ELSEWHERE = 2.0
TREES, DEPTH, RATE = 120, 3, 0.12
EDITS_OF_A_PROMPT = 6
"""Tries of each sort; not every edit fits every prompt."""
WORDS_IN_A_PROMPT = range(3, 26)
COMMON_FROM = 6
LEAST_SIMILARITY = 0.8
"""Pairs somewhat below the cache's threshold are fitted on too, because there are more of them."""
BUDGETS = (0.003, 0.006, 0.01)
SMOOTHED = 0.25
GRID = tuple(step / 20 for step in range(81))

PURPOSE = "Log-odds that two similar prompts, which no hard rule keeps apart, may share an answer."
LIMITS = (
    "English; single questions and requests. Scores are no calibrated chances: what counts is the least score of a "
    "budget, which is read off a stream of Quora questions whose labels call some true duplicates wrong."
)
SCRIPT = "tests/evaluation/train_verifier.py"

Row = tuple[Pair, tuple[float, ...]]


def open_prompts(folder: Path) -> list[str]:
    """Return the distinct prompts of the open files, in order."""
    lines = (line for name in OPEN_PROMPTS for line in read_lines(folder / f"{name}.jsonl"))
    return list(dict.fromkeys(canonicalise(line["prompt"]) for line in lines))


def common_words(prompts: Sequence[str]) -> tuple[str, ...]:
    """Return the stems that occur in several prompts, a tier for each doubling of how many, the rarest first."""
    counts = Counter(stem for prompt in prompts for stem in set(read(prompt).content) if stem.isalpha())
    tiers: dict[int, list[str]] = {}
    for stem, count in sorted(counts.items()):
        if count >= COMMON_FROM:
            tiers.setdefault((count // COMMON_FROM).bit_length(), []).append(stem)
    return tuple(" ".join(tiers[tier]) for tier in sorted(tiers))


def rewritten_pairs(prompts: Sequence[str], chance: random.Random) -> Iterator[Pair]:
    """Yield, for every prompt, some rewordings that keep the answer and some edits that change it."""
    vocabulary = [word for prompt in prompts for word in prompt.split() if word.isalpha() and len(word) > 4]
    change = (*rewriting.CHANGE, *[rewriting.substitution(vocabulary)] * 3, *[rewriting.addition(vocabulary)] * 2)
    for prompt in prompts:
        for edits, same in ((rewriting.KEEP, True), (change, False), (rewriting.FRAMES, True)) * EDITS_OF_A_PROMPT:
            yield from _rewritten(prompt, edits, chance, same=same)


def _rewritten(prompt: str, edits: Sequence[rewriting.Rewrite], chance: random.Random, *, same: bool) -> Iterator[Pair]:
    """Yield a prompt with its edit; half the edits are reworded too, so that a rewording by itself tells nothing."""
    edit = chance.choice(edits)
    edited = edit(prompt, chance)
    if edited is None:
        return
    if chance.random() < 0.5:
        edited = chance.choice(rewriting.KEEP)(edited, chance) or edited
    yield Pair(canonicalise(prompt), canonicalise(edited), same, edit.__qualname__.partition(".")[0])


def labelled_pairs(folder: Path, source: str) -> list[Pair]:
    """Return the pairs of an open file of the folder, or those written for the purpose."""
    return read_questions(QUESTIONS_FILE) if source == WRITTEN else read_pairs(folder / f"{source}.jsonl")


def as_rows(
    pairs: Sequence[Pair], embeddings: Embeddings, weight: Callable[[str], float], least: float = LEAST_SIMILARITY
) -> list[Row]:
    """Return the pairs that no rule decides and that are similar enough to be candidates, with their features."""
    rows = []
    for pair in pairs:
        similarity = embeddings.similarity(pair.a, pair.b)
        a, b = read(pair.a), read(pair.b)
        if similarity >= least and not a.is_reworded(b) and broken_rule(a, b) is None:
            rows.append((pair, features(a, b, similarity, weight)))
    return rows


def importance(source: str, pair: Pair) -> float:
    """Return how much a pair counts."""
    cost = 1.0 if pair.duplicate else WRONG_TO_MISSED.get(source, WRONG_TO_MISSED_ELSEWHERE)
    return cost * IMPORTANCE.get(source, 1.0) * IMPORTANCE.get(pair.kind, 1.0)


def fit(groups: dict[str, list[Row]]) -> tuple[float, tuple[Tree, ...]]:
    """Return the intercept and the trees for pairs by source."""
    flat = [(source, pair, row) for source, group in groups.items() for pair, row in group]
    intercept, trees = boosting.fit(
        np.array([row for _, _, row in flat], dtype=float),
        np.array([pair.duplicate for _, pair, _ in flat], dtype=float),
        np.array([importance(source, pair) for source, pair, _ in flat]),
        trees=TREES,
        depth=DEPTH,
        rate=RATE,
    )
    return intercept, tuple(Tree(tuple(tree.features), tuple(tree.thresholds), tuple(tree.leaves)) for tree in trees)


def outcomes(requests: Sequence[Request], embeddings: Embeddings, verifier: PairVerifier) -> dict[float, Outcome]:
    """Return what a cache makes of a stream for every least score of the grid."""
    scores: dict[tuple[str, str], float] = {}

    def score(asked: str, answered: str, similarity: float) -> float:
        if (asked, answered) not in scores:
            scores[asked, answered] = verifier.judge(asked, answered, similarity)[1]
        return scores[asked, answered]

    near = neighbours(requests, embeddings, THRESHOLD)
    return {
        least: play(requests, near, lambda *pair, least=least: score(*pair) >= least, may_be_cached) for least in GRID
    }


def least_scores(played: dict[float, Outcome]) -> tuple[tuple[float, float], ...]:
    """Return, for every budget that can be kept, the least score from which on every score keeps it.

    A budget is the share of all requests that may be answered wrongly. One popular question moves that share by steps,
    so it is averaged over scores within `SMOOTHED` of each other.
    """
    wrong = {
        least: float(
            np.mean(
                [
                    each.hit_rate * each.wrong_among_hits
                    for near, each in played.items()
                    if abs(near - least) <= SMOOTHED
                ]
            )
        )
        for least in played
    }
    kept = []
    for budget in BUDGETS:
        too_low = [least for least in wrong if wrong[least] > budget]
        enough = [least for least in wrong if not too_low or least > max(too_low)]
        if enough:
            kept.append((budget, min(enough)))
    return tuple(kept)


def checked(weights: Weights, groups: dict[str, list[Row]], folder: Path, embeddings: Embeddings) -> dict[str, Checked]:
    """Return what weights fitted on half of the open pairs make of the other half."""
    halves = {
        source: [row for row in group if source == REWRITTEN or row[0].is_for_tuning]
        for source, group in groups.items()
    }
    intercept, trees = fit(halves)
    verifier = PairVerifier(weights=Scorer(replace(weights, intercept=intercept, trees=trees)))
    result = {}
    for name in (*OPEN_PAIRS, WRITTEN):
        pairs = [pair for pair in labelled_pairs(folder, name) if not pair.is_for_tuning]
        figures = rates(judge(pairs, embeddings, verifier), by_verifier)
        result[name] = Checked(pairs=len(pairs), hit=figures["hit"], wrong=figures["wrong"])
    return result


def train(folder: Path, embeddings: Embeddings) -> Weights:
    """Return fitted weights with their card."""
    prompts = open_prompts(folder)
    blank = Card(purpose=PURPOSE, limits=LIMITS, script=SCRIPT, fitted_on={}, checked={}, checksum="")
    unfitted = Weights(
        card=blank, features=NAMES, intercept=0.0, trees=(), budgets=((1.0, 0.0),), common_words=common_words(prompts)
    )
    weight = Scorer(unfitted).weight
    usable = [prompt for prompt in prompts if len(prompt.split()) in WORDS_IN_A_PROMPT and "\n" not in prompt]
    groups = {name: as_rows(labelled_pairs(folder, name), embeddings, weight) for name in (*OPEN_PAIRS, WRITTEN)}
    groups[REWRITTEN] = as_rows(list(rewritten_pairs(usable, random.Random(0))), embeddings, weight)
    intercept, trees = fit(groups)
    fitted = replace(unfitted, intercept=intercept, trees=trees)
    requests = read_stream(folder / "stream_qqp.jsonl")
    played = outcomes(requests, embeddings, PairVerifier(budget=1, weights=Scorer(fitted)))
    for least, outcome in played.items():
        sys.stdout.write(
            f"least score {least:.3f}: hit rate {outcome.hit_rate:.4f}, wrong {outcome.wrong_among_hits:.4f} of hits\n"
        )
    weights = replace(fitted, budgets=least_scores(played))
    card = replace(
        blank,
        fitted_on={source: len(group) for source, group in groups.items()},
        checked=checked(weights, groups, folder, embeddings),
        checksum=sha256_hex(weights.payload()),
    )
    return replace(weights, card=card)


def main() -> None:
    """Train and write the weights."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=scoring.WEIGHTS_FILE)
    arguments = parser.parse_args()
    embedder = OnnxEmbedder(MODEL_DIR)
    weights = train(arguments.data, Embeddings(embedder.embed, embedder.sees))
    arguments.out.write_bytes(msgspec.json.encode(weights) + b"\n")
    sys.stdout.write(
        f"{weights.card.fitted_on}, budgets {dict(weights.budgets)}, {arguments.out.stat().st_size} bytes\n"
    )


if __name__ == "__main__":
    main()
