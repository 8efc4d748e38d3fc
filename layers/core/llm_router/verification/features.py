"""Measures how far two prompts are apart in their words; every feature is the same both ways round."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from itertools import pairwise
from typing import Final, TypeVar

from llm_router.verification.inflection import stem
from llm_router.verification.order import same_gap
from llm_router.verification.reading import Reading
from llm_router.verification.wordlists import lexicon

NAMES: Final = (
    "similarity",
    "fewer_unmatched",
    "more_unmatched",
    "unmatched_share",
    "weighted_overlap",
    "word_overlap",
    "bigram_overlap",
    "chunk_overlap",
    "light_changes",
    "moved_share",
    "out_of_order",
    "weight_fewer",
    "weight_more",
    "names_fewer",
    "names_more",
    "things_changed",
    "asks_differ",
    "asks_whether_one",
    "asks_method_one",
    "asks_why_one",
    "questions_more",
    "last_differs",
    "same_gap",
    "joined_extra",
    "words",
    "length_ratio",
)
"""What each number is called, in the order `features` returns them."""

_Item = TypeVar("_Item", bound=Hashable)
_PREFIX: Final = 5
"""Words that share so many letters are taken for forms of one word."""
_LONGEST_ALIKE: Final = 14


def features(a: Reading, b: Reading, similarity: float, weight: Callable[[str], float]) -> tuple[float, ...]:
    """Return the numbers that `NAMES` names.

    Args:
        a: One prompt.
        b: The other.
        similarity: Their cosine similarity.
        weight: How much a stem tells, from 0 for the commonest words.
    """
    content_a, content_b = Counter(a.content), Counter(b.content)
    extra_a, extra_b = _unmatched(content_a, content_b)
    fewer, more = sorted((extra_a.total(), extra_b.total()))
    weight_fewer, weight_more = sorted(max(map(weight, extra), default=0.0) for extra in (extra_a, extra_b))
    only_a, only_b = a.stems - b.stems, b.stems - a.stems
    names_fewer, names_more = sorted((sum(w in a.names for w in only_a), sum(w in b.names for w in only_b)))
    shared = sum(weight(word) * count for word, count in (content_a & content_b).items())
    total = sum(weight(word) * count for word, count in (content_a | content_b).items())
    lengths = sorted((len(a.core), len(b.core)))
    return (
        round(similarity, 3),
        fewer,
        more,
        (extra_a.total() + extra_b.total()) / max(1, len(a.content) + len(b.content)),
        shared / total if total else 1.0,
        _overlap(a.stems, b.stems),
        _overlap(_bigrams(a.core), _bigrams(b.core)),
        _overlap(Counter(a.chunks), Counter(b.chunks)),
        _light_changes(only_a, only_b),
        _moved_share(a.core, b.core),
        _out_of_order(a.content, b.content),
        weight_fewer,
        weight_more,
        names_fewer,
        names_more,
        len(a.things.keys() ^ b.things.keys()),
        a.asks != b.asks,
        (a.asks == "asks-whether") != (b.asks == "asks-whether"),
        (a.asks == "asks-method") != (b.asks == "asks-method"),
        (a.asks == "asks-why") != (b.asks == "asks-why"),
        abs(a.questions - b.questions),
        a.content[-1:] != b.content[-1:],
        same_gap(a.core, b.core, only_a, only_b),
        _joined(a.core, only_a) + _joined(b.core, only_b),
        lengths[1],
        (lengths[0] + 1) / (lengths[1] + 1),
    )


def _overlap(a: Counter[_Item], b: Counter[_Item]) -> float:
    """Return the Jaccard similarity of two bags; two empty ones are equal."""
    union = (a | b).total()
    return (a & b).total() / union if union else 1.0


def _bigrams(words: Sequence[str]) -> Counter[tuple[str, str]]:
    return Counter(pairwise(words))


def _unmatched(a: Counter[str], b: Counter[str]) -> tuple[Counter[str], Counter[str]]:
    """Return the words of each side that have no partner; words that begin alike are partners."""
    only_a, only_b = a - b, b - a
    alike = _heads(only_a) & _heads(only_b)
    return (_without(only_a, alike), _without(only_b, alike)) if alike else (only_a, only_b)


def _heads(words: Counter[str]) -> set[str]:
    return {word[:_PREFIX] for word in words if _PREFIX <= len(word) <= _LONGEST_ALIKE}


def _without(words: Counter[str], heads: set[str]) -> Counter[str]:
    return Counter({word: count for word, count in words.items() if word[:_PREFIX] not in heads})


def _light_changes(only_a: Counter[str], only_b: Counter[str]) -> int:
    light = lexicon().light
    return sum(word in light for word in only_a) + sum(word in light for word in only_b)


def _moved_share(a: Sequence[str], b: Sequence[str]) -> float:
    """Return the share of common words that have lost the neighbours on both sides."""
    common = set(a) & set(b)
    if not common:
        return 0.0
    kept = {word for pair in set(pairwise(a)) & set(pairwise(b)) for word in pair}
    return len(common - kept) / len(common)


def _out_of_order(a: Sequence[str], b: Sequence[str]) -> int:
    """Return how many common words must be taken out for the others to stand in the same order."""
    places = {word: place for place, word in enumerate(dict.fromkeys(b))}
    order = [places[word] for word in dict.fromkeys(a) if word in places]
    tails: list[int] = []
    for place in order:
        position = bisect_left(tails, place)
        tails[position : position + 1] = [place]
    return len(order) - len(tails)


def _joined(words: Sequence[str], only: Counter[str]) -> int:
    """Return how many of a prompt's "and" and "or" stand beside a word that only this prompt has."""
    coordination = lexicon().coordination
    framed = ("", *words, "")
    return sum(
        word in coordination and (stem(before) in only or stem(after) in only)
        for before, word, after in zip(framed, words, framed[2:], strict=False)
    )
