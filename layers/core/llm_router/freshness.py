"""Tells prompts whose right answer depends on the moment of asking, which no stored answer can know.

A list of English phrases, in `freshness.toml`: it costs a hit where it sees too much and a stale answer, for as long as
the time to live, where it sees too little.
"""

import re
from functools import cache
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from llm_router.classification.terms import Group, TermList, Text
from llm_router.prompt import without_verbatim

PHRASES_FILE: Final = Path(__file__).with_name("freshness.toml")
_SHORT_WORDS: Final = 25
# Calls, dotted names and names with a tag: `Date.now()`, `latest.zip`, `ubuntu:latest`, `react@latest`.
_IDENTIFIER: Final = re.compile(r"\b\w+(?:[.:@][a-z_]\w*)+(?:\(\))?|\b\w+\(\)")
_IS: Final = re.compile(r"(?<=\w)['\N{RIGHT SINGLE QUOTATION MARK}]s\b", re.IGNORECASE)


class _Phrases(Struct, frozen=True):
    anywhere: TermList
    short: TermList
    timeless: TermList


def is_time_dependent(canonical: str) -> bool:
    """Return whether the right answer to a canonical prompt depends on when it is asked.

    Code and what stands in quotation marks is not looked at, unless there is nothing else.
    """
    phrases = _phrases()
    asked = without_verbatim(canonical)
    text = Text(_IS.sub(" is", _IDENTIFIER.sub(" ", asked if asked.strip() else canonical)))
    is_short = len(text.lower.split()) <= _SHORT_WORDS
    counted = phrases.short if is_short else phrases.anywhere
    return counted.occurs_in(text) and not phrases.timeless.occurs_in(text)


@cache
def _phrases() -> _Phrases:
    groups = msgspec.toml.decode(PHRASES_FILE.read_bytes(), type=dict[str, list[Group]])
    return _Phrases(
        anywhere=TermList(groups["anywhere"]),
        short=TermList([*groups["anywhere"], *groups["short"]]),
        timeless=TermList(groups["timeless"]),
    )
