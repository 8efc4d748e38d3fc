"""Turns a prompt into plain words: what is only manner of writing goes, what may carry meaning stays."""

import re
from typing import Final

from llm_router.verification.inflection import singular
from llm_router.verification.numerals import ordinal, read_numerals
from llm_router.verification.wordlists import Lexicon, Phrases, lexicon

BREAK: Final = "|"
"""Stands for punctuation between two parts of a prompt."""

_PLAIN: Final = str.maketrans({
    "\N{LEFT SINGLE QUOTATION MARK}": "'",
    "\N{RIGHT SINGLE QUOTATION MARK}": "'",
    "\N{MODIFIER LETTER APOSTROPHE}": "'",
    "\N{LEFT DOUBLE QUOTATION MARK}": '"',
    "\N{RIGHT DOUBLE QUOTATION MARK}": '"',
    "\N{HYPHEN}": "-",
    "\N{NON-BREAKING HYPHEN}": "-",
    "\N{EN DASH}": "-",
    "\N{EM DASH}": "-",
    "\N{MINUS SIGN}": "-",
})  # fmt: skip
_SPELT: Final = {
    "c++": "cplusplus", "c#": "csharp", "f#": "fsharp", ".net": "dotnet", "node.js": "nodejs", "vue.js": "vuejs",
    "objective-c": "objectivec", "&": " and ", "%": " percent ", "$": " dollar ", "\N{EURO SIGN}": " euro ",
    "\N{POUND SIGN}": " sterling ", "\N{YEN SIGN}": " yen ", "\N{INDIAN RUPEE SIGN}": " rupee ", "w/o": "without",
}  # fmt: skip
_SPELT_SIGN: Final = re.compile("|".join(re.escape(name) for name in _SPELT))
_INITIALS: Final = re.compile(r"(?<![\w.])(?:[^\W\d_]\.){2,}")
_TOKEN: Final = re.compile(
    r"(?P<ordinal>\d+(?:st|nd|rd|th)\b)"
    r"|(?P<number>(?:(?<![\w)])-)?\d+(?:[.,:/]\d+)*)"
    r"|(?P<word>[^\W\d]+(?:'[^\W\d]+)*)"
    r"|(?P<stop>[.,;:!?\n])"
    r"|(?P<symbol>[^\w\s\"'()\[\]{}/`-])"
)
_THOUSANDS: Final = re.compile(r"\d{1,3}(?:,\d{3})+(?!\d)")
_ENDINGS: Final = {"re": ("are",), "ll": ("will",), "ve": ("have",), "d": ("would",), "m": ("am",), "s": ()}


def plain(text: str) -> str:
    """Return a prompt in lower case with one kind of quotation mark, hyphen and apostrophe."""
    return text.translate(_PLAIN).lower()


def words_of(text: str) -> list[str]:
    """Return the words of a plain text, with `BREAK` for punctuation, numbers as digits and ordinals as "#3"."""
    lists = lexicon()
    text = _INITIALS.sub(lambda match: f"{match[0].replace('.', '')} ", text)
    text = _SPELT_SIGN.sub(lambda match: _SPELT[match[0]], text)
    words: list[str] = []
    for match in _TOKEN.finditer(text):
        words += _read(match.lastgroup or "", match[0], lists)
    words = read_numerals(words, lists.numerals)
    words = [_fold(word, lists) for word in words]
    words = lists.shortenings.replace(words)
    return _without_politeness(words, lists)


def _read(kind: str, token: str, lists: Lexicon) -> tuple[str, ...]:
    if kind == "word":
        return _expand(token, lists)
    if kind == "stop":
        return (BREAK,)
    if kind == "ordinal":
        return (ordinal(int(token[:-2])),)
    if kind == "number" and _THOUSANDS.fullmatch(token):
        return (token.replace(",", ""),)
    return (token,)


def _expand(word: str, lists: Lexicon) -> tuple[str, ...]:
    """Return a word without its apostrophe, short forms written out."""
    if "'" not in word:
        return lists.contractions.get(word, (word,))
    joined = word.replace("'", "")
    if joined.endswith("nt") and joined in lists.contractions:
        return lists.contractions[joined]
    base, _, ending = word.rpartition("'")
    if ending in _ENDINGS:
        return (base.replace("'", ""), *_ENDINGS[ending])
    return lists.contractions.get(joined, (joined,))


def _fold(word: str, lists: Lexicon) -> str:
    """Return a word without its plural, in one spelling."""
    if word in lists.light:
        return word
    word = singular(word)
    word = lists.spelling.get(word, word)
    for american, british in (
        ("ize", "ise"),
        ("izing", "ising"),
        ("ized", "ised"),
        ("ization", "isation"),
        ("yze", "yse"),
    ):
        if word.endswith(american):
            return word.removesuffix(american) + british
    return word


def _without_politeness(words: list[str], lists: Lexicon) -> list[str]:
    """Return the words without what opens and closes them politely; a prompt of nothing else keeps its words."""
    start = _skipped(words, lists.openers)
    end = len(words) - _skipped(words[: start - 1 if start else None : -1], lists.closers)
    return words[start:end] if start < end else words


def _skipped(words: list[str], phrases: Phrases) -> int:
    """Return how many words, breaks included, the phrases at the start take up."""
    position = 0
    while position < len(words):
        found = phrases.at(words, position)
        if found is None and words[position] != BREAK:
            break
        position += found[0] if found else 1
    return position
