"""How a model is to choose its words, and the form it must answer in; the same for Ollama and a cloud."""

from collections.abc import Iterator
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta, Struct

from llm_router.errors import InvalidRequestError

MAX_SCHEMA_BYTES: Final = 16_384
MAX_SCHEMA_DEPTH: Final = 16
"""Objects and arrays within each other; the box makes a grammar of all of them before it says a word."""

TopP = Annotated[float, Meta(ge=0, le=1, description="Share of the likeliest tokens to choose from.")]
Penalty = Annotated[float, Meta(ge=-2, le=2, description="Positive: against what has been said before.")]
Seed = Annotated[
    int, Meta(ge=-(2**31), le=2**31 - 1, description="The same seed and request give about the same answer.")
]
StopSequence = Annotated[str, Meta(min_length=1, max_length=64)]
StopSequences = Annotated[
    tuple[StopSequence, ...], Meta(max_length=4, description="The answer ends before any of them.")
]

SchemaName = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{1,64}$(?!\n)")]
SchemaDescription = Annotated[str, Meta(max_length=1024)]


class JsonSchema(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """The schema of an answer; `strict` makes no difference to the box, which is always strict."""

    name: SchemaName
    schema: dict[str, Any]
    description: SchemaDescription | None = None
    strict: bool | None = None

    def __post_init__(self) -> None:
        """Refuse what the box should not have to make a grammar of.

        Raises:
            InvalidRequestError: the schema is too large or too deep.
        """
        if len(msgspec.json.encode(self.schema)) > MAX_SCHEMA_BYTES:
            raise InvalidRequestError(f"must not have more than {MAX_SCHEMA_BYTES:,} bytes", field=_SCHEMA_FIELD)
        if _depth(self.schema) > MAX_SCHEMA_DEPTH:
            raise InvalidRequestError(f"must not be nested deeper than {MAX_SCHEMA_DEPTH}", field=_SCHEMA_FIELD)


class ResponseFormat(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """The form of an answer."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchema | None = None

    def __post_init__(self) -> None:
        """Refuse a schema without its type, and the type without one.

        Raises:
            InvalidRequestError: one comes without the other.
        """
        if (self.type == "json_schema") != (self.json_schema is not None):
            rule = "is required" if self.json_schema is None else "must come with the type json_schema"
            raise InvalidRequestError(rule, field="response_format.json_schema")


class Sampling(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a caller wants beside temperature and length; None where he leaves it to the model."""

    top_p: TopP | None = None
    frequency_penalty: Penalty | None = None
    presence_penalty: Penalty | None = None
    seed: Seed | None = None
    stop: StopSequences = ()
    response_format: ResponseFormat | None = None
    """None for free text."""


_SCHEMA_FIELD: Final = "response_format.json_schema.schema"


def _depth(document: object) -> int:
    """Return how many objects and arrays of a JSON document are within each other at most."""
    depth, level = 0, [document]
    while containers := [each for each in level if isinstance(each, dict | list)]:
        depth += 1
        level = [part for each in containers for part in _parts(each)]
    return depth


def _parts(container: dict[str, Any] | list[Any]) -> Iterator[object]:
    return iter(container.values() if isinstance(container, dict) else container)
