"""Numbers in words: "two hundred and five" is 205, "twenty-first" the 21st, "world war ii" has number 2."""

from decimal import Decimal, InvalidOperation
from typing import Final

from llm_router.verification.wordlists import Numerals

_HUNDRED: Final = 100
_THOUSAND: Final = 1000
_LONGEST_DIGITS: Final = 15
"""A longer number is compared digit by digit, never multiplied."""
_NOT_AN_ORDINAL_AFTER: Final = frozenset({"per", "a", "every", "each", "one", "split", "any"})
"""In "30 a second" the second is a unit."""


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
    if word in numerals.romans or (word in {"i", "v", "x"} and before in numerals.heads):
        return 1, str(numerals.romans.get(word) or {"i": 1, "v": 5, "x": 10}[word])
    if word in numerals.units or word in numerals.scales or word == "one" or word[0].isdigit():
        return _composite(words, start, numerals)
    return None


def _composite(words: list[str], start: int, numerals: Numerals) -> tuple[int, str] | None:
    """Read on for as long as the words make one number: 2 million, twenty one, one hundred and five."""
    closed, current, position = Decimal(0), _value(words[start], numerals), start + 1
    if current is None:
        return None
    while position < len(words):
        word = words[position]
        joined = (
            position + 1 < len(words)
            and word == "and"
            and ((current >= _HUNDRED and current % _HUNDRED == 0) or (closed > 0 and current == 0))
        )
        digit = _value(words[position + 1] if joined else word, numerals)
        if word in numerals.scales or (word == "k" and words[position - 1].isdigit()):
            scale = numerals.scales.get(word, _THOUSAND)
            closed, current = (closed, current * scale) if scale == _HUNDRED else (closed + current * scale, Decimal(0))
        elif digit is not None and not words[position + joined][0].isdigit() and _may_follow(current, digit, closed):
            current += digit
            position += joined
        elif (
            position == start + 1
            and word in numerals.ordinals
            and _may_follow(current, numerals.ordinals[word], closed)
        ):
            return 2, ordinal(int(current) + numerals.ordinals[word])
        else:
            break
        position += 1
    if position == start + 1 and (words[start] == "one" or words[start][0].isdigit()):
        return None
    return position - start, f"{(closed + current).normalize():f}"


def _value(word: str, numerals: Numerals) -> Decimal | None:
    if word in numerals.units:
        return Decimal(numerals.units[word])
    if word == "one":
        return Decimal(1)
    if word in numerals.scales:
        return Decimal(1) * numerals.scales[word]
    if len(word) > _LONGEST_DIGITS:
        return None
    try:
        return Decimal(word)
    except InvalidOperation:
        return None


def _may_follow(current: Decimal, digit: Decimal | int, closed: Decimal) -> bool:
    """Whether a numeral goes on with the number before it, as "five" after "twenty", and does not begin another."""
    if current == 0:
        return closed > 0
    return current % 10 ** len(str(digit)) == 0 and current >= 10 ** len(str(digit)) and digit > 0 and current != 10
