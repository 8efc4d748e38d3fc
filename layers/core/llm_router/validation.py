"""JSON documents of callers as structs; what msgspec says of a value that breaks a rule, in words for them."""

import re
from collections.abc import Callable
from decimal import Decimal
from enum import StrEnum
from typing import Any, Final, TypeVar, get_args, get_origin, get_type_hints

import msgspec

from llm_router.errors import InvalidRequestError, MalformedBodyError, RequestTooLargeError
from llm_router.strict_json import refuse_ambiguous

MAX_BODY_BYTES: Final = 1024 * 1024

T = TypeVar("T")

_RELATIONS: Final = {">=": "at least", "<=": "at most", ">": "more than", "<": "less than"}
_WANTED: Final = {
    "str": "a string",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "array": "an array",
    "object": "an object",
    "null": "null",
}
_GIVEN: Final = _WANTED | {"int": "a number", "float": "a decimal number", "bool": "a boolean"}
_PATTERNS: Final = {
    r"\S": "must not be blank",
    r"^[A-Za-z0-9_.:-]{1,128}$(?!\n)": "must be 1 to 128 of A-Z, a-z, 0-9 and _ . : -",
    r"^[A-Za-z0-9_-]{1,64}$(?!\n)": "must be 1 to 64 of A-Z, a-z, 0-9 and _ -",
    r"^[!-~]{1,128}$(?!\n)": "must be 1 to 128 visible characters of ASCII",
    r"^batch_[0-9a-f]{32}$(?!\n)": "must be the id of a batch",
    r"^(?!all$)[A-Za-z0-9_.:-]{1,64}$(?!\n)": "must be 1 to 64 of A-Z, a-z, 0-9 and _ . : -, and not all",
    r"^ollama/[A-Za-z0-9._:/-]+$": "must be ollama/ and a model's name, like ollama/tinyllama",
}
_AT_PATH = re.compile(r" - at (?P<is_name>`key` in )?`\$\.?(?P<path>[^`]*)`$")
_NAMED_FIELD = re.compile(r"^Object (?:contains unknown|missing required) field `(?P<field>[^`]+)`")
_MAX_SHOWN_CHARS: Final = 64
_BY_REPR: Final = {repr(pattern): words for pattern, words in _PATTERNS.items()}


def parse_json(body: bytes, kind: type[T], *, max_bytes: int = MAX_BODY_BYTES) -> T:
    """Return a JSON document as a struct.

    Raises:
        RequestTooLargeError: it has more than `max_bytes`.
        MalformedBodyError: it is not JSON in UTF-8, too deep, or has a key twice, which the error names.
        InvalidRequestError: a field breaks its rule; the error names it.
    """
    if len(body) > max_bytes:
        raise RequestTooLargeError(f"must not have more than {max_bytes:,} bytes", field="body")
    try:
        parsed = msgspec.json.decode(body, type=kind)
        refuse_ambiguous(body)
    except msgspec.ValidationError as error:
        raise _invalid(str(error), kind) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedBodyError("must be JSON in UTF-8", field="body") from error
    return parsed


def converted(document: object, kind: type[T]) -> T:
    """Return what was parsed from JSON before as a struct.

    Raises:
        MalformedBodyError: it is nested too deeply.
        InvalidRequestError: a field breaks its rule; the error names it.
    """
    try:
        return msgspec.convert(document, kind)
    except msgspec.ValidationError as error:
        raise _invalid(str(error), kind) from error
    except RecursionError as error:  # what was parsed at the limit may be beyond it here
        raise MalformedBodyError("must be JSON in UTF-8", field="body") from error


def in_words(sentence: str, kind: object = None) -> str:
    """Return the rule that a sentence of msgspec's, without its path, states; the sentence itself when it is new.

    Args:
        sentence: What msgspec says.
        kind: The type that the value should have had, where it is known; a choice is then told what there is.
    """
    if sentence.startswith("Invalid enum value") and (choices := _choices(kind)):
        return f"must be {' or '.join(choices)}"
    for form, words in _FORMS:
        if found := form.fullmatch(sentence):
            return words(found) or sentence
    return sentence


def _invalid(message: str, kind: type[Any]) -> InvalidRequestError:
    """Turn the validator's sentence into ours: the field's path apart, the rule in words."""
    found = _AT_PATH.search(message)
    path = found["path"] if found else ""
    if path.startswith("[...]"):  # of an object without declared fields only numbers are looked at, and no name is told
        return InvalidRequestError("has a number out of range", field="body")
    if named := _NAMED_FIELD.match(message):
        rule = "is not a known field" if "unknown" in message else "is required"
        return InvalidRequestError(rule, field=".".join([*filter(None, [path]), named["field"][:_MAX_SHOWN_CHARS]]))
    field = path or "body"
    rule = in_words(_AT_PATH.sub("", message), get_type_hints(get_origin(kind) or kind).get(field))
    subject = "names " if found and found["is_name"] else ""
    return InvalidRequestError(subject + rule.replace("`", ""), field=field)


def _choices(kind: object) -> list[str]:
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        return list(kind)
    return [str(each) for each in get_args(kind)]


def _type(found: re.Match[str]) -> str:
    wanted = [_WANTED.get(kind, "") for kind in found["wanted"].split(" | ")]
    given = _GIVEN.get(found["given"], "")
    return f"must be {' or '.join(wanted)}, not {given}" if given and all(wanted) else ""


def _length(found: re.Match[str]) -> str:
    characters = "character" if found["bound"] == "1" else "characters"
    return f"must have {_RELATIONS[found['relation']]} {_number(found['bound'])} {characters}"


def _items(found: re.Match[str]) -> str:
    items = "item" if found["bound"] == "1" else "items"
    return f"must have {_RELATIONS[found['relation']]} {_number(found['bound'])} {items}"


def _fields(found: re.Match[str]) -> str:
    fields = "field" if found["bound"] == "1" else "fields"
    return f"must have {_RELATIONS[found['relation']]} {_number(found['bound'])} {fields}"


def _range(found: re.Match[str]) -> str:
    return f"must be {_RELATIONS[found['relation']]} {_number(found['bound'])}"


def _pattern(found: re.Match[str]) -> str:
    return _BY_REPR.get(found["pattern"], "")


def _number(digits: str) -> str:
    return f"{Decimal(digits.removesuffix('.0')):,}"


_BOUND: Final = r"(?P<relation>[<>]=?) (?P<bound>-?\d+(?:\.\d+)?)"
_FORMS: Final[tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], str]], ...]] = (
    (re.compile(r"Expected `(?P<wanted>[^`]+)`, got `(?P<given>[^`]+)`"), _type),
    (re.compile(r"Invalid enum value .*", re.DOTALL), lambda _: "is not one of the values it may have"),
    (re.compile(r"(?:Number|Integer value) out of range"), lambda _: "is a number out of range"),
    (re.compile(rf"Expected `str` of length {_BOUND}"), _length),
    (re.compile(rf"Expected `array` of length {_BOUND}"), _items),
    (re.compile(rf"Expected `object` of length {_BOUND}"), _fields),
    (re.compile(rf"Expected `(?:int|float)` {_BOUND}"), _range),
    (re.compile(r"Expected `str` matching regex (?P<pattern>.+)"), _pattern),
)
