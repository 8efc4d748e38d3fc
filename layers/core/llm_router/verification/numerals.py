"""Numbers in words: "two hundred and five" is 205, "twenty-first" the 21st, "world war ii" has number 2."""

from decimal import Decimal, InvalidOperation
from typing import Final

from llm_router.verification.wordlists import Numerals

_TWENTY: Final = 20
_HUNDRED: Final = 100
_THOUSAND: Final = 1000
_LONGEST_DIGITS: Final = 15
"""A longer number is compared digit by digit, never multiplied."""
_NOT_AN_ORDINAL_AFTER: Final = frozenset({"per", "a", "every", "each", "one", "split", "any"})
"""In "30 a second" the second is a unit."""
_LETTERS: Final = {"i": 1, "v": 5, "x": 10}
"""Roman numbers that are letters too."""


def ordinal(value: int) -> str:
    """Return how the words of a prompt show an ordinal."""
    return f"#{value}"


def is_number(word: str) -> bool:
    """Whether a word is a number in digits; an ordinal counts as one."""
    return word[-1].isdigit()


def read_numerals(words: list[str], numerals: Numerals) -> list[str]:
    """Return the words with every number in digits and every ordinal as `ordinal` writes it."""
    read: list[str] = []
    position = 0
    while position < len(words):
        length, token = _number_at(words, position, numerals) or (1, words[position])
        read.append(token)
        position += length
    return read


def _number_at(words: list[str], start: int, numerals: Numerals) -> tuple[int, str] | None:
    """Return how many words the number that starts here takes and what to write for it, or None."""
    word = words[start]
    before = words[start - 1] if start else ""
    if word in numerals.ordinals:
        return 1, ordinal(numerals.ordinals[word])
    if word == "second" and before not in _NOT_AN_ORDINAL_AFTER and not (before and is_number(before)):
        return 1, ordinal(2)
    if word in numerals.romans:
        return 1, str(numerals.romans[word])
    if word in _LETTERS and before in numerals.heads:
        return 1, str(_LETTERS[word])
    return _composite(words, start, numerals)


def _composite(words: list[str], start: int, numerals: Numerals) -> tuple[int, str] | None:
    """Read on for as long as the words make one number: 2 million, twenty one, one hundred and five."""
    sum_ = _Sum.begin(words[start], numerals)
    if sum_ is None:
        return None
    position = start + 1
    while position < len(words):
        joined = words[position] == "and" and sum_.may_join and position + 1 < len(words)
        word = words[position + joined]
        nth = numerals.ordinals.get(word, 0)
        if 0 < nth < sum_.room:
            return position + joined + 1 - start, ordinal(int(sum_.value) + nth)
        if not (sum_.add(numerals.units.get(word, 1 if word == "one" else 0)) or (not joined and sum_.scale(word))):
            break
        position += 1 + joined
    if position == start + 1 and (words[start] == "one" or words[start][0] in "-0123456789"):
        return None
    return position - start, f"{sum_.value:f}".removesuffix(".0")


class _Sum:
    """A number that is being read, from its largest part down."""

    def __init__(self, first: Decimal, numerals: Numerals, room: int) -> None:
        self.room = room
        """What may be added next is smaller than this."""
        self._numerals = numerals
        self._closed = Decimal(0)
        self._open = first

    @classmethod
    def begin(cls, word: str, numerals: Numerals) -> "_Sum | None":
        """Return the sum that starts with a word, or None if it is no number."""
        if word in numerals.units or word == "one":
            value = numerals.units.get(word, 1)
            return cls(Decimal(value), numerals, 10 if value >= _TWENTY else 1)
        if word in numerals.scales:
            return cls(Decimal(numerals.scales[word]), numerals, min(numerals.scales[word], _THOUSAND))
        if not word[-1].isdigit() or len(word) > _LONGEST_DIGITS:
            return None
        try:
            return cls(Decimal(word), numerals, 1)
        except InvalidOperation:
            return None

    @property
    def value(self) -> Decimal:
        """The number so far."""
        return self._closed + self._open

    @property
    def may_join(self) -> bool:
        """Whether "and" may go on with the number, as in "two hundred and five"."""
        return self.room >= _HUNDRED

    def add(self, unit: int) -> bool:
        """Add what a word stands for and return True, if it fits."""
        if not 0 < unit < self.room:
            return False
        self._open += unit
        self.room = 10 if unit >= _TWENTY else 1
        return True

    def scale(self, word: str) -> bool:
        """Multiply by "hundred", "million" or "k" and return True, if it fits."""
        factor = _THOUSAND if word == "k" else self._numerals.scales.get(word, 0)
        if not factor or self._open <= 0:
            return False
        if factor == _HUNDRED:
            if self._open >= _HUNDRED:
                return False
            self._open *= factor
        else:
            self._closed, self._open = self._closed + self._open * factor, Decimal(0)
        self.room = min(factor, _THOUSAND)
        return True
