"""JSON that says one thing only: no key twice, of which parsers keep the first or the last, and no abyss."""

import json
import re
from typing import Final

from llm_router.errors import MalformedBodyError

MAX_DEPTH: Final = 64
"""Objects and arrays within each other."""
_MAX_SHOWN_CHARS: Final = 64
_STRING: Final = re.compile(rb'"(?:[^"\\]+|\\.)*"', re.DOTALL)
_NO_BRACKETS: Final = bytes(set(range(256)) - set(b"[]{}"))


def refuse_ambiguous(body: bytes) -> None:
    """Refuse a document that is valid JSON and yet not fit to be acted on.

    Takes about as long as parsing it did; only for what has been parsed, because what is no JSON may take for ever.

    Raises:
        MalformedBodyError: objects and arrays are nested deeper than MAX_DEPTH, or an object has a key twice.
    """
    if _is_deep(body):
        raise MalformedBodyError(f"must not be nested deeper than {MAX_DEPTH}", field="body")
    _DECODER.decode(body.decode())


def _is_deep(body: bytes) -> bool:
    if body.count(b"[") + body.count(b"{") <= MAX_DEPTH:
        return False
    depth = 0
    for bracket in _STRING.sub(b"", body).translate(None, _NO_BRACKETS):
        depth += 1 if bracket in b"[{" else -1
        if depth > MAX_DEPTH:
            return True
    return False


def _refuse_doubles(pairs: list[tuple[str, object]]) -> None:
    if len(pairs) < 2 or len(dict(pairs)) == len(pairs):  # noqa: PLR2004 - one key cannot be there twice
        return
    known: set[str] = set()
    for key, _ in pairs:
        if key in known:
            raise MalformedBodyError("must not be there twice", field=key[:_MAX_SHOWN_CHARS])
        known.add(key)


# Nobody looks at the values, and numbers may have a million digits: their length is quicker than what they are worth.
_DECODER: Final = json.JSONDecoder(object_pairs_hook=_refuse_doubles, parse_int=len, parse_float=len)
