"""The hard rules: differences that always make two prompts different questions, whatever a model thinks."""

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Final

from llm_router.verification.order import directions_conflict, exchanged, same_gap
from llm_router.verification.reading import Reading
from llm_router.verification.wordlists import Lexicon, lexicon

LONG_PROMPT_WORDS: Final = 150
"""From here on an embedding of 256 tokens may not have seen the whole prompt."""

Extra = Counter[str]


def broken_rule(a: Reading, b: Reading) -> str | None:
    """Return the reason of the first rule that keeps two prompts apart, or None."""
    lists = lexicon()
    only_a, only_b = a.stems - b.stems, b.stems - a.stems
    return next((reason for rule in _RULES for reason in rule(a, b, only_a, only_b, lists)), None)


def _numbers(a: Reading, b: Reading, *_: object) -> Iterator[str]:
    if a.numbers != b.numbers and a.numbers_and_ones != b.numbers_and_ones:
        yield "numbers differ"


def _nothing_to_compare(a: Reading, b: Reading, *_: object) -> Iterator[str]:
    if not a.content or not b.content:
        yield "no words to compare"
    elif set(a.content).isdisjoint(b.content):
        yield "no word in common"


def _exact_parts(a: Reading, b: Reading, *_: object) -> Iterator[str]:
    if a.fenced != b.fenced:
        yield "code blocks differ"
    if a.formulas != b.formulas:
        yield "formulas differ"
    if a.symbols != b.symbols:
        yield "symbols differ"
    if a.quoted and b.quoted and a.quoted != b.quoted:
        yield "quoted strings differ"


def _negation(a: Reading, b: Reading, *_: object) -> Iterator[str]:
    if a.negations != b.negations:
        yield "negation differs"


def _identifiers(_a: Reading, _b: Reading, only_a: Extra, only_b: Extra, lists: Lexicon) -> Iterator[str]:
    extra = {*only_a, *only_b}
    if any("_" in word for word in extra):
        yield "code identifiers differ"
    if any(len(word) == 1 and word.isalpha() and word not in lists.light for word in extra):
        yield "single letters differ"


def _opposites(_a: Reading, _b: Reading, only_a: Extra, only_b: Extra, lists: Lexicon) -> Iterator[str]:
    poles_a = {pole for word in only_a for pole in lists.poles.get(word, ())}
    if poles_a and any((number, -side) in poles_a for word in only_b for number, side in lists.poles.get(word, ())):
        yield "opposites"


def _classes(a: Reading, b: Reading, _only_a: Extra, _only_b: Extra, lists: Lexicon) -> Iterator[str]:
    if a.things == b.things:
        return
    here = {index for index, _ in a.things - b.things}
    there = {index for index, _ in b.things - a.things}
    one_sided = {index for index, _ in a.things.keys() ^ b.things.keys()}
    for index, word_class in enumerate(lists.classes):
        if (index in here and index in there) or (word_class.one_sided and index in one_sided):
            yield f"{word_class.name} differs"


def _workings(a: Reading, b: Reading, *_: object) -> Iterator[str]:
    """Keep "How does a plough work?" from "What is a plough?", which says nothing more."""
    for how, what in ((a, b), (b, a)):
        is_told_how = how.asks == "asks-how" and "work" in how.content
        if is_told_how and what.asks == "asks-what" and set(what.content) <= set(how.content) - {"work"}:
            yield "question differs"


def _names(a: Reading, b: Reading, only_a: Extra, only_b: Extra, lists: Lexicon) -> Iterator[str]:
    names_a, names_b = (
        {stem for stem in only if stem in here.names and lists.synonyms.get(stem, stem) not in there.content}
        for here, there, only in ((a, b, only_a), (b, a, only_b))
    )
    if same_gap(a.core, b.core, names_a, names_b):
        yield "names differ"


def _order(a: Reading, b: Reading, *_: object) -> Iterator[str]:
    if directions_conflict(a.core, b.core):
        yield "direction differs"
    elif exchanged(a.core, b.core):
        yield "words changed places"


def _long_prompts(a: Reading, b: Reading, *_: object) -> Iterator[str]:
    if max(len(a.core), len(b.core)) > LONG_PROMPT_WORDS and a.content != b.content:
        yield "long prompts differ"


_RULES: Final[tuple[Callable[[Reading, Reading, Extra, Extra, Lexicon], Iterator[str]], ...]] = (
    _nothing_to_compare,
    _numbers,
    _exact_parts,
    _identifiers,
    _negation,
    _classes,
    _opposites,
    _workings,
    _names,
    _order,
    _long_prompts,
)
