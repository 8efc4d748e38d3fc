"""Finds out whether the same words in another order say something else."""

from collections import Counter
from collections.abc import Container, Sequence

from llm_router.verification.inflection import stem
from llm_router.verification.wordlists import Lexicon, lexicon


def directions_conflict(a: Sequence[str], b: Sequence[str]) -> bool:
    """Whether a word like "from", "to" or "than" points to one common word here and to another common word there."""
    lists = lexicon()
    common = set(a) & set(b)
    targets_a, targets_b = _targets(a, common, lists), _targets(b, common, lists)
    return any(targets.isdisjoint(targets_b[word]) for word, targets in targets_a.items() if word in targets_b)


def exchanged(a: Sequence[str], b: Sequence[str]) -> bool:
    """Whether, among the words they share, the prompts read P X M Y S and P Y M X S: two parts changed places.

    Without an M between them only a part has moved ("in Python, how ..."); "X and Y" is the same as "Y and X", and "X
    gas and Y gas" as "Y gas and X gas".
    """
    shared = Counter(a) & Counter(b)
    first, second, end = _trim(_only(a, shared), _only(b, shared))
    if not first or first[0] not in second or second[0] not in first:
        return False
    x, y = len(second) - _last(second, first[0]), len(first) - _last(first, second[0])
    middle = first[x : len(first) - y]
    if not middle or _joins(middle, end):
        return False
    return (
        first[:x] == second[len(second) - x :]
        and second[:y] == first[len(first) - y :]
        and middle == second[y : len(second) - x]
    )


def same_gap(a: Sequence[str], b: Sequence[str], only_a: Container[str], only_b: Container[str]) -> bool:
    """Whether one word stands where the other prompt has another, between the same neighbours.

    Args:
        a: The words of one prompt.
        b: The words of the other.
        only_a: The stems that may stand in the gap of `a`.
        only_b: The stems that may stand in the gap of `b`.
    """
    return not _gaps(a, only_a).isdisjoint(_gaps(b, only_b))


def _gaps(words: Sequence[str], only: Container[str]) -> set[tuple[str, str]]:
    framed = ("", *words, "")
    return {
        (before, after) for before, word, after in zip(framed, words, framed[2:], strict=False) if stem(word) in only
    }


def _joins(middle: list[str], end: list[str]) -> bool:
    """Whether the words between two parts only join them, be it with a word that follows each of them."""
    coordination = lexicon().coordination
    return middle[-1] in coordination and (coordination.issuperset(middle) or middle[:-1] == end[: len(middle) - 1])


def _targets(words: Sequence[str], common: set[str], lists: Lexicon) -> dict[str, set[str]]:
    """Return, for each word that shows a direction, the next words with a meaning of their own, if shared."""
    targets: dict[str, set[str]] = {}
    pointing = ""
    for word in words:
        if word in lists.direction:
            pointing = word
        elif pointing and word not in lists.light:
            if word in common:
                targets.setdefault(pointing, set()).add(word)
            pointing = ""
    return targets


def _only(words: Sequence[str], shared: Counter[str]) -> list[str]:
    left = shared.copy()
    kept = []
    for word in words:
        if left[word]:
            left[word] -= 1
            kept.append(word)
    return kept


def _trim(a: list[str], b: list[str]) -> tuple[list[str], list[str], list[str]]:
    """Return both without their common beginning and end, and that end."""
    start = next((place for place, pair in enumerate(zip(a, b, strict=True)) if pair[0] != pair[1]), len(a))
    end = next((place for place, pair in enumerate(zip(a[::-1], b[::-1], strict=True)) if pair[0] != pair[1]), 0)
    return a[start : len(a) - end], b[start : len(b) - end], a[len(a) - end :]


def _last(words: list[str], word: str) -> int:
    return len(words) - 1 - words[::-1].index(word)
