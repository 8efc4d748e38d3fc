"""Regular English inflection, just enough to find a term in the forms a prompt uses."""

from collections.abc import Iterator
from typing import Final

_VOWELS: Final = frozenset("aeiou")
_SIBILANTS: Final = ("s", "x", "z", "ch", "sh")


def noun_forms(term: str) -> Iterator[str]:
    """Yield a noun, or a phrase that ends in one, and its plural; a word in -s is taken for its own plural."""
    yield term
    if _ends_in_consonant_and_y(term):
        yield f"{term[:-1]}ies"
    elif not term.endswith("s"):
        yield f"{term}{_s(term)}"


def verb_forms(term: str) -> Iterator[str]:
    """Yield a verb, or a phrase that starts with one, with -s, -ed, -ing, -er and, from -ate and -ize, -ation."""
    verb, blank, rest = term.partition(" ")
    for form in _single_verb_forms(verb):
        yield f"{form}{blank}{rest}"


def _single_verb_forms(verb: str) -> Iterator[str]:
    yield verb
    endings: tuple[str, ...]
    if verb.endswith("e"):
        stem = verb[:-1]
        endings = ("es", "ed", "ing", "er", "ers")
    elif _ends_in_consonant_and_y(verb):
        yield f"{verb}ing"
        stem = verb[:-1]
        endings = ("ies", "ied", "ier", "iers")
    else:
        stem = verb
        endings = (_s(verb), "ed", "ing", "er", "ers")
        if _may_double(verb):
            yield from (f"{verb}{verb[-1]}{ending}" for ending in ("ed", "ing", "er", "ers"))
    yield from (f"{stem}{ending}" for ending in endings)
    if verb.endswith(("ate", "ize")):
        nominal = stem[:-2] if verb.endswith("ate") else stem
        yield from noun_forms(f"{nominal}ation")


def _s(word: str) -> str:
    return "es" if word.endswith(_SIBILANTS) else "s"


def _ends_in_consonant_and_y(word: str) -> bool:
    return word.endswith("y") and word[-2:-1] not in _VOWELS


def _may_double(verb: str) -> bool:
    """Whether a final consonant may be written twice; both spellings are found, stress being out of reach."""
    return verb[-1] not in "aeiouwxy" and verb[-2] in _VOWELS and verb[-3:-2] not in _VOWELS
