"""Parameters of a query: which there are, and what they may say."""

from collections.abc import Collection, Mapping
from typing import Final

from llm_router.errors import InvalidRequestError

_MAX_SHOWN_CHARS: Final = 64


def only_known(given: Mapping[str, str], known: Collection[str]) -> Mapping[str, str]:
    """Return a query's parameters, all of them known: one that is misspelt must not be left out silently.

    Raises:
        InvalidRequestError: one of them is not known; the error names it.
    """
    for name in sorted(given.keys() - set(known)):
        raise InvalidRequestError("is not a known parameter", field=name[:_MAX_SHOWN_CHARS])
    return given


def whole_number(given: Mapping[str, str], name: str, *, least: int, most: int, default: int) -> int:
    """Return a parameter that is a whole number, and at least 0.

    Raises:
        InvalidRequestError: it is none, or out of range.
    """
    text = given.get(name, str(default))
    # Longer digits are out of range already, whatever they say.
    number = int(text) if text.isdecimal() and len(text) <= len(str(most)) else -1
    if not least <= number <= most:
        raise InvalidRequestError(f"must be a whole number from {least} to {most:,}", field=name)
    return number
