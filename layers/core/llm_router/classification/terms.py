"""Term lists: which words and phrases speak for which feature, and how they are found in a text."""

import re
from collections.abc import Collection, Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Final

import msgspec

from llm_router.classification.inflection import noun_forms, verb_forms

_CLAUSE_START: Final = r"^|(?<=[.!?:;,] )|(?<=[.!?:;,] and )|(?<=[.!?:;,] then )|(?<=and then )|(?<=please )"
_TERMS_FILE: Final = Path(__file__).with_name("terms.toml")


class Group(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Terms listed for one reason."""

    about: str
    nouns: tuple[str, ...] = ()
    """Found in the plural as well; of a phrase, the last word is inflected."""
    verbs: tuple[str, ...] = ()
    """Found with -s, -ed, -ing, -er and -ation as well; of a phrase, the first word is inflected."""
    fixed: tuple[str, ...] = ()
    """Found as they stand."""
    cased: tuple[str, ...] = ()
    """Found as they stand and only in this spelling, because in lower case they are ordinary words."""
    openers: tuple[str, ...] = ()
    """Verbs found only where they open a clause, as an instruction does."""
    ignored: tuple[str, ...] = ()
    """Phrases that contain a term and do not mean it."""


class Text:
    """A prompt as the term lists read it: single blanks, no hyphens, no addresses."""

    __slots__ = ("cased", "lower")

    _ADDRESS: Final = re.compile(r"\b(?:https?://|www\.)\S+")
    _READ_AS: Final = str.maketrans("-\N{HYPHEN}\N{NON-BREAKING HYPHEN}\N{RIGHT SINGLE QUOTATION MARK}", "   '")

    def __init__(self, prompt: str) -> None:
        without_addresses = self._ADDRESS.sub(" ", prompt) if "://" in prompt or "www." in prompt else prompt
        self.cased = " ".join(without_addresses.translate(self._READ_AS).split())
        self.lower = self.cased.lower()


class TermList:
    """Finds the terms of some groups: one compiled pattern, or two where spelling matters."""

    def __init__(self, groups: Iterable[Group]) -> None:
        anywhere: dict[str, str] = {}
        opening: dict[str, str] = {}
        cased: dict[str, str] = {}
        ignored: dict[str, str] = {}
        for group in groups:
            anywhere |= _spelt((form, noun) for noun in group.nouns for form in noun_forms(noun))
            anywhere |= _spelt((form, verb) for verb in group.verbs for form in verb_forms(verb))
            anywhere |= _spelt((term, term) for term in group.fixed)
            opening |= _spelt((verb, verb) for verb in group.openers)
            cased |= {term: term.lower() for term in group.cased}
            ignored |= _spelt((term, "") for term in group.ignored)
        anywhere |= ignored
        self._terms = opening | anywhere
        self._cased_terms = cased
        self._pattern = _pattern(anywhere, opening)
        self._cased_pattern = _pattern(cased, ()) if cased else None

    def find(self, text: Text) -> tuple[str, ...]:
        """Return the distinct terms in the text, in order of appearance, each as the list spells it."""
        found = dict.fromkeys(map(self._terms.__getitem__, self._pattern.findall(text.lower)))
        if self._cased_pattern and not text.cased.isupper():
            found |= dict.fromkeys(map(self._cased_terms.__getitem__, self._cased_pattern.findall(text.cased)))
        return tuple(term for term in found if term)

    def occurs_in(self, text: Text) -> bool:
        """Whether the text holds any term of the list."""
        return bool(self.find(text))


def _spelt(pairs: Iterable[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    """Yield each form as `Text` shows it, with -ize and -yze in British spelling as well."""
    for form, term in pairs:
        shown = Text(form).lower
        yield shown, term
        yield shown.replace("iz", "is").replace("yz", "ys"), term


def _pattern(anywhere: Collection[str], opening: Collection[str]) -> re.Pattern[str]:
    """Compile whole words and phrases; the longest wins, so that a phrase hides the terms inside it.

    Linear in the text: at each start of a word there are only literals to compare, of bounded length.
    """
    choices = _alternatives(anywhere)
    if opening:
        choices = f"{choices}|(?:{_CLAUSE_START})(?:{_alternatives(opening)})"
    return re.compile(rf"(?<!\w)(?:{choices})(?![\w+#])")


def _alternatives(literals: Collection[str]) -> str:
    """Write distinct literals as a trie, longest first: a text is compared letter by letter, not literal by literal."""
    if len(literals) == 1:
        return re.escape(*literals)
    tails: dict[str, list[str]] = {}
    for literal in literals:
        tails.setdefault(literal[:1], []).append(literal[1:])
    is_optional = tails.pop("", None) is not None
    branches = [f"{re.escape(head)}{_alternatives(rest)}" for head, rest in tails.items()]
    if len(branches) == 1 and not is_optional:
        return branches[0]
    return f"(?:{'|'.join(branches)})" + ("?" if is_optional else "")


class TermLists(msgspec.Struct, frozen=True):
    """One list per feature that counts terms."""

    technical: TermList
    system_design: TermList
    reasoning: TermList
    multi_step: TermList


@cache
def term_lists() -> TermLists:
    """Read and compile the lists, once per process."""
    groups = msgspec.toml.decode(_TERMS_FILE.read_bytes(), type=dict[str, list[Group]])
    return TermLists(**{name: TermList(group) for name, group in groups.items()})
