import msgspec

from llm_router.prompt import sha256_hex
from llm_router.verification.features import NAMES
from llm_router.verification.scoring import WEIGHTS_FILE, Weights
from llm_router.verification.wordlists import lexicon
from tests.evaluation.train_verifier import BUDGETS, DEPTH, OPEN_PAIRS, REWRITTEN, TREES, WRITTEN

WEIGHTS = msgspec.json.decode(WEIGHTS_FILE.read_bytes(), type=Weights)


def test_weights_are_the_ones_their_card_describes() -> None:
    """The checksum of the card is that of the weights, so neither was edited without the other."""
    assert sha256_hex(WEIGHTS.payload()) == WEIGHTS.card.checksum


def test_weights_have_the_shape_the_training_script_writes() -> None:
    """Features, number and depth of the trees, sources and budgets are those of the script."""
    inner = 2**DEPTH - 1

    assert NAMES == WEIGHTS.features
    assert TREES == len(WEIGHTS.trees)
    assert {(inner, inner, inner + 1)} == {(len(t.features), len(t.thresholds), len(t.leaves)) for t in WEIGHTS.trees}
    assert {*OPEN_PAIRS, REWRITTEN, WRITTEN} == WEIGHTS.card.fitted_on.keys()
    assert {budget for budget, _ in WEIGHTS.budgets} <= set(BUDGETS)


def test_trees_ask_for_features_that_exist() -> None:
    """No tree looks beyond the features."""
    assert {feature for tree in WEIGHTS.trees for feature in tree.features} <= set(range(len(NAMES)))


def test_a_larger_budget_never_refuses_more() -> None:
    """The least score falls as the budget grows."""
    ordered = sorted(WEIGHTS.budgets)

    assert sorted((score for _, score in ordered), reverse=True) == [score for _, score in ordered]


def test_weights_stay_small() -> None:
    """The file is a few tens of kilobytes, which loads in a millisecond."""
    assert WEIGHTS_FILE.stat().st_size < 40_000


def test_no_word_is_its_own_opposite() -> None:
    """No pair of opposites has a word on both sides."""
    assert [] == [
        word for word, places in lexicon().poles.items() if any((pair, -side) in places for pair, side in places)
    ]


def test_things_of_one_kind_have_one_name_each() -> None:
    """No word stands for two things of one class."""
    doubled = [word for word, places in lexicon().members.items() if len({index for index, _ in places}) != len(places)]

    assert [] == doubled


def test_every_group_of_words_says_why_it_is_there() -> None:
    """Each class gives a reason of some length."""
    assert all(len(word_class.about) > 20 for word_class in lexicon().classes)
