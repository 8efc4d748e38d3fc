"""What the verifier reads out of one prompt."""

import re
from collections import Counter
from functools import lru_cache
from typing import Final

from msgspec import Struct

from llm_router.verification.inflection import stem
from llm_router.verification.normalising import BREAK, plain, words_of
from llm_router.verification.numerals import is_number
from llm_router.verification.wordlists import Lexicon, lexicon

_FENCED: Final = re.compile(r"```.*?(?:```|\Z)", re.DOTALL)
_QUOTED: Final = re.compile(r"""\"([^"\n]+)\"|`([^`\n]+)`|(?<!\w)'([^'\n]+)'(?!\w)""")
_FORMULA: Final = re.compile(r"(?<![\w.()])[\w.()]+(?:\s?[-+*/^=<>]+\s?[\w.()]+)+")
_LOWER_CASE: Final = re.compile(r"\b[a-z]{4}")
_NAME: Final = re.compile(r"(?<=[^.!?:\n]\s)[A-Z]\w+")
_QUESTION_WORDS: Final = frozenset({"what", "which", "who", "when", "where", "why", "how"})
_OPERATORS: Final = frozenset("+*^=<>")


class Reading(Struct, frozen=True, kw_only=True):
    """One prompt as the rules and features compare it."""

    core: tuple[str, ...]
    """Every word but articles and the like, in order, breaks left out."""
    content: tuple[str, ...]
    """Stems of the words that carry meaning, synonyms folded, in order."""
    stems: Counter[str]
    """Stems of all words, synonyms not folded."""
    numbers: tuple[str, ...]
    numbers_and_ones: tuple[str, ...]
    """The numbers again, "one" taken for a number too."""
    symbols: tuple[str, ...]
    formulas: tuple[str, ...]
    quoted: tuple[str, ...]
    fenced: tuple[str, ...]
    negations: int
    asks: str
    """What kind of thing is asked for, empty when unknown."""
    things: Counter[tuple[int, str]]
    """Members of the classes of things that are told apart, with the index of their class."""
    names: frozenset[str]
    """Stems of words with a capital letter within a sentence."""
    questions: int
    chunks: tuple[tuple[str, ...], ...]
    """Parts of the sentence that may change place without changing its meaning, sorted."""

    def is_reworded(self, other: "Reading") -> bool:
        """Whether two prompts differ in nothing but manner of writing."""
        return bool(self.core) and (self.core, self.fenced, self.formulas) == (other.core, other.fenced, other.formulas)


@lru_cache(maxsize=64)
def read(prompt: str) -> Reading:
    """Read a prompt; the last ones are kept because a question is compared with several candidates."""
    lists = lexicon()
    text = plain(prompt)
    fenced = tuple(" ".join(block.split()) for block in _FENCED.findall(text)) if "```" in text else ()
    text = _FENCED.sub("\n", text) if fenced else text
    words = _coordinated(words_of(text), lists)
    asks, spent = _question(words, lists)
    bare = [word for word in words if word != BREAK]
    numbers = [word for word in bare if is_number(word)]
    return Reading(
        core=tuple(word for word in bare if word not in lists.grammar),
        content=tuple(_content(words[: spent[0]] + words[spent[1] :], lists)),
        stems=Counter(map(stem, bare)),
        numbers=tuple(numbers),
        numbers_and_ones=tuple("1" if word == "one" else word for word in bare if is_number(word) or word == "one"),
        symbols=tuple(word for word in bare if not word[0].isalnum() and word[0] not in "#-_"),
        formulas=tuple(_formulas(text)),
        quoted=tuple(sorted("".join(pair).strip(" .,?!") for pair in _QUOTED.findall(text))),
        fenced=fenced,
        negations=sum(word in lists.negation for word in bare),
        asks=asks,
        things=Counter(thing for word in (*bare, asks) for thing in lists.members.get(word, ())),
        names=_names(prompt),
        questions=max(1, sum(word in _QUESTION_WORDS for word in bare)),
        chunks=_chunks(words, lists),
    )


def _names(prompt: str) -> frozenset[str]:
    """Return the stems of words with a capital letter, unless all words of some length have one."""
    if not _LOWER_CASE.search(prompt):
        return frozenset()
    return frozenset(stem(word.lower()) for word in _NAME.findall(prompt))


def _coordinated(words: list[str], lists: Lexicon) -> list[str]:
    """Return the words with "X and Y" in alphabetical order, because it says the same as "Y and X"."""
    ordered = words.copy()
    for place in range(1, len(words) - 1):
        if words[place] in lists.coordination:
            pair = ordered[place - 1], words[place + 1]
            if BREAK not in pair and lists.light.isdisjoint(pair) and not any(map(is_number, pair)):
                ordered[place - 1], ordered[place + 1] = sorted(pair)
    return ordered


def _formulas(text: str) -> list[str]:
    if _OPERATORS.isdisjoint(text):
        return []
    found = (match[0] for match in _FORMULA.finditer(text))
    return ["".join(formula.split()) for formula in found if not _OPERATORS.isdisjoint(formula)]


def _question(words: list[str], lists: Lexicon) -> tuple[str, tuple[int, int]]:
    """Return what is asked for and the range of words that ask for it; a sentence's start goes before its middle."""
    best: tuple[str, tuple[int, int]] = ("", (0, 0))
    for position, word in enumerate(words):
        if word == BREAK:
            continue
        found = lists.questions.at(words, position)
        if found is None:
            continue
        length, (kind,) = found
        if position == 0 or words[position - 1] == BREAK:
            return kind, (position, position + length)
        if not best[0] and kind != "asks-whether":
            best = kind, (position, position + length)
    return best


def _content(words: list[str], lists: Lexicon) -> list[str]:
    stems = (stem(word) for word in words if word != BREAK and word not in lists.light)
    return [lists.synonyms.get(each, each) for each in stems]


def _chunks(words: list[str], lists: Lexicon) -> tuple[tuple[str, ...], ...]:
    """Cut a prompt into parts; "B of A" becomes "A B", and after "when" or "if" a part lasts until punctuation."""
    chunks: list[list[str]] = [[]]
    subordinate = False
    for word in words:
        if word == BREAK:
            chunks.append([])
            subordinate = False
        elif word in lists.subordinators:
            chunks.append([word])
            subordinate = True
        elif word in lists.breaks and not subordinate:
            chunks.append([word] if word in lists.direction or word == "of" else [])
        elif word not in lists.light:
            chunks[-1].append(lists.synonyms.get(stem(word), stem(word)))
    merged: list[tuple[str, ...]] = []
    for chunk in chunks:
        if chunk[:1] == ["of"] and merged:
            merged[-1] = (*chunk[1:], *merged[-1])
        elif chunk:
            merged.append(tuple(chunk))
    return tuple(sorted(chunk for chunk in merged if not (len(chunk) == 1 and chunk[0] in lists.light)))
