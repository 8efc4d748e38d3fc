"""What the verifier knows about words: `words.toml`, read once and indexed for look-up."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from llm_router.verification.inflection import singular, stem

_WORDS_FILE: Final = Path(__file__).with_name("words.toml")


class _Group(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    about: str


class Politeness(_Group, frozen=True, kw_only=True):
    """Phrases around a request that do not change it."""

    openers: tuple[str, ...]
    closers: tuple[str, ...]


class Replacements(_Group, frozen=True, kw_only=True):
    """Words or phrases and what to read in their place."""

    words: dict[str, str]


class Synonyms(_Group, frozen=True, kw_only=True):
    """Groups of words of one meaning, each written "a/b/c"."""

    groups: tuple[str, ...]


class Words(_Group, frozen=True, kw_only=True):
    """A plain list, separated by blanks."""

    words: str


class Opposites(_Group, frozen=True, kw_only=True):
    """Pairs of poles, each written "a/b | c/d"."""

    pairs: tuple[str, ...]


class WordClass(_Group, frozen=True, kw_only=True):
    """Things of one kind, forms of one thing joined by slashes."""

    name: str
    one_sided: bool
    members: str


class Numerals(_Group, frozen=True, kw_only=True):
    """Spelled-out numbers and their values."""

    units: dict[str, int]
    scales: dict[str, int]
    ordinals: dict[str, int]
    romans: dict[str, int]
    heads: frozenset[str]
    """Nouns after which a single letter is a Roman number."""


class Order(_Group, frozen=True, kw_only=True):
    """Words that open a part of a sentence."""

    breaks: str
    subordinators: str
    direction: str
    coordination: str


class WordsFile(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The layout of `words.toml`."""

    politeness: Politeness
    contractions: Replacements
    shortenings: Replacements
    spelling: Replacements
    synonyms: list[Synonyms]
    light: Words
    grammar: Words
    negation: Words
    opposites: list[Opposites]
    classes: list[WordClass]
    numerals: Numerals
    question_types: dict[str, str | tuple[str, ...]]
    order: Order


Phrase = tuple[str, ...]


class Phrases:
    """Finds the longest of many phrases that starts at a word."""

    def __init__(self, phrases: Mapping[Phrase, Phrase]) -> None:
        by_first: dict[str, list[tuple[Phrase, Phrase]]] = defaultdict(list)
        for phrase, meaning in sorted(phrases.items(), key=lambda item: -len(item[0])):
            by_first[phrase[0]].append((phrase, meaning))
        self._by_first = dict(by_first)

    def at(self, words: list[str], start: int) -> tuple[int, Phrase] | None:
        """Return the length of the phrase at a position and its meaning, or None."""
        for phrase, meaning in self._by_first.get(words[start], ()):
            if tuple(words[start : start + len(phrase)]) == phrase:
                return len(phrase), meaning
        return None

    def replace(self, words: list[str]) -> list[str]:
        """Return the words with every phrase replaced by its meaning."""
        if self._by_first.keys().isdisjoint(words):
            return words
        replaced: list[str] = []
        position = 0
        while position < len(words):
            found = self.at(words, position)
            length, meaning = found or (1, (words[position],))
            replaced += meaning
            position += length
        return replaced


class Lexicon(Struct, frozen=True, kw_only=True):
    """The word lists, indexed."""

    openers: Phrases
    closers: Phrases
    contractions: dict[str, Phrase]
    shortenings: Phrases
    spelling: dict[str, str]
    synonyms: dict[str, str]
    light: frozenset[str]
    grammar: frozenset[str]
    negation: frozenset[str]
    poles: dict[str, tuple[tuple[int, int], ...]]
    """Word to the (number of a pair of opposites, +1 or -1) it belongs to."""
    members: dict[str, tuple[tuple[int, str], ...]]
    """Word to the (index of a class, name of the thing) it stands for."""
    classes: tuple[WordClass, ...]
    numerals: Numerals
    questions: Phrases
    breaks: frozenset[str]
    subordinators: frozenset[str]
    direction: frozenset[str]
    coordination: frozenset[str]


@cache
def lexicon() -> Lexicon:
    """Read and index the lists, once per process."""
    file = msgspec.toml.decode(_WORDS_FILE.read_bytes(), type=WordsFile)
    light = frozenset(file.light.words.split())
    questions = {
        _words(phrase): (kind,)
        for kind, phrases in file.question_types.items()
        if not isinstance(phrases, str)
        for phrase in phrases
    }
    return Lexicon(
        # The closing phrases are compared from the end of the prompt.
        openers=Phrases({_folded(phrase, light): () for phrase in file.politeness.openers}),
        closers=Phrases({_folded(phrase, light)[::-1]: () for phrase in file.politeness.closers}),
        contractions={word: _words(full) for word, full in file.contractions.words.items()},
        shortenings=Phrases({_words(short): _words(full) for short, full in file.shortenings.words.items()}),
        spelling=file.spelling.words,
        synonyms=_synonyms(group for synonyms in file.synonyms for group in synonyms.groups),
        light=light,
        grammar=frozenset(file.grammar.words.split()),
        negation=frozenset(file.negation.words.split()),
        poles=_poles(pair for opposites in file.opposites for pair in opposites.pairs),
        members=_members(file.classes),
        classes=tuple(file.classes),
        numerals=file.numerals,
        questions=Phrases(questions),
        breaks=frozenset(file.order.breaks.split()),
        subordinators=frozenset(file.order.subordinators.split()),
        direction=frozenset(file.order.direction.split()),
        coordination=frozenset(file.order.coordination.split()),
    )


def _words(phrase: str) -> Phrase:
    return tuple(phrase.split())


def _folded(phrase: str, light: frozenset[str]) -> Phrase:
    return tuple(word if word in light else singular(word) for word in phrase.split())


def _synonyms(groups: Iterable[str]) -> dict[str, str]:
    meaning: dict[str, str] = {}
    for group in groups:
        stems = [stem(word) for word in group.split("/")]
        for each in stems:
            meaning.setdefault(each, meaning.get(stems[0], stems[0]))
    return meaning


def _poles(pairs: Iterable[str]) -> dict[str, tuple[tuple[int, int], ...]]:
    poles: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for number, pair in enumerate(pairs):
        for side, words in zip((1, -1), pair.split(" | "), strict=True):
            for word in words.split("/"):
                poles[stem(word)].append((number, side))
    return {word: tuple(places) for word, places in poles.items()}


def _members(classes: Iterable[WordClass]) -> dict[str, tuple[tuple[int, str], ...]]:
    members: dict[str, list[tuple[int, str]]] = defaultdict(list)
    for index, word_class in enumerate(classes):
        for forms in word_class.members.split():
            names = [singular(form) for form in forms.split("/")]
            for name in dict.fromkeys(names):
                members[name].append((index, names[0]))
    return {word: tuple(places) for word, places in members.items()}
