"""Counts sentences without being fooled by full stops that end none."""

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import Final

_ENDS: Final = ".!?\N{IDEOGRAPHIC FULL STOP}\N{FULLWIDTH EXCLAMATION MARK}\N{FULLWIDTH QUESTION MARK}"
_CLOSERS: Final = "\"'`)]}*_\N{RIGHT DOUBLE QUOTATION MARK}\N{RIGHT SINGLE QUOTATION MARK}"
_OPENERS: Final = "([{\N{LEFT DOUBLE QUOTATION MARK}\N{LEFT SINGLE QUOTATION MARK}"
_PUNCTUATION: Final = f"{_ENDS}{_CLOSERS}{_OPENERS}\N{HORIZONTAL ELLIPSIS},;:-"
_ABBREVIATIONS: Final = frozenset(
    [
        *("al.", "approx.", "ca.", "cf.", "dept.", "dr.", "e.g.", "eq.", "est.", "fig.", "gen.", "i.e.", "mr.", "mrs."),
        *("ms.", "mt.", "prof.", "resp.", "st.", "viz.", "vs.", "w.r.t."),
    ]
)
_ABBREVIATIONS_THAT_MAY_END: Final = frozenset(["co.", "corp.", "etc.", "inc.", "jr.", "ltd.", "ph.d.", "sr."])
_INITIAL: Final = re.compile(r"[a-z]\.")
_INITIALS: Final = re.compile(r"(?:[a-z]\.){2,4}")
_LIST_MARKER: Final = re.compile(r"\d{1,3}\.")


def count_sentences(words: Sequence[str]) -> int:
    """Return the number of sentences in the words of a text; what follows the last full stop is a sentence too.

    Args:
        words: The text, split at white space, punctuation left on.
    """
    count, is_open = 0, False
    for word, following in pairwise((*words, "")):
        if word[-1].isalnum() or (not is_open and _LIST_MARKER.fullmatch(word)):
            is_open = True
            continue
        is_open = is_open or bool(word.strip(_PUNCTUATION))
        if is_open and _ends_sentence(word.rstrip(_CLOSERS), following):
            count, is_open = count + 1, False
    return count + is_open


def _ends_sentence(word: str, following: str) -> bool:
    if not word or word[-1] not in _ENDS or word.endswith(".."):
        return False
    return word[-1] != "." or not _is_abbreviation(word.lstrip(_OPENERS + _CLOSERS).lower(), following)


def _is_abbreviation(word: str, following: str) -> bool:
    if word in _ABBREVIATIONS or _INITIAL.fullmatch(word):
        return True
    may_end = word in _ABBREVIATIONS_THAT_MAY_END or _INITIALS.fullmatch(word)
    return bool(may_end) and not following[:1].isupper()
