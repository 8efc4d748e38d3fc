"""Messages as OpenAI's interfaces take them, and what they are to the router: an instruction, turns and a question."""

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any, Final, Literal, get_args, get_type_hints

from msgspec import Struct

from llm_router.errors import InvalidRequestError, PromptTooLongError, UnsupportedParameterError
from llm_router.models import Turn
from llm_router.openai.parameters import Harmless, refuse_unsupported
from llm_router.request_bodies import MAX_MESSAGE_CHARS

INSTRUCTING: Final = ("system", "developer")
_HARMLESS_IN_MESSAGE: Final[Harmless] = {
    "tool_calls": ([],),
    "function_call": (),
    "refusal": (),
    "audio": (),
    "annotations": ([],),
    "name": (),
    # What the Responses interface adds to a message of its own that comes back to it.
    "id": None,
    "type": ("message",),
    "status": None,
    "phase": None,
}
_HARMLESS_IN_PART: Final[Harmless] = {"annotations": ([],), "logprobs": ([],)}


class TextPart(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A part of a message."""

    type: Literal["text", "input_text", "output_text"]
    """`text`; the Responses interface says `input_text` and `output_text`."""
    text: str


class Message(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One message of a conversation."""

    role: Literal["system", "developer", "user", "assistant"]
    content: str | tuple[TextPart, ...]

    @property
    def text(self) -> str:
        """What it says; parts follow each other as they are."""
        return self.content if isinstance(self.content, str) else "".join(part.text for part in self.content)


_ROLES: Final = get_args(get_type_hints(Message)["role"])
_TEXT_PARTS: Final = get_args(get_type_hints(TextPart)["type"])


class Exchange(Struct, frozen=True, kw_only=True):
    """What messages come to."""

    system_prompt: str | None
    history: tuple[Turn, ...]
    question: str


def without_unsupported(messages: object, field: str) -> object:
    """Return messages, as parsed from JSON, without the fields that mean nothing; other shapes as they are.

    Args:
        messages: What stands where messages are expected.
        field: Name of that place.

    Raises:
        UnsupportedParameterError: a message says something other than text, or something that text cannot say.
    """
    if not isinstance(messages, list):
        return messages
    return [_message(each, f"{field}[{number}]") for number, each in enumerate(messages)]


def exchange(messages: Sequence[Message], field: str, *, before: Sequence[Message] = ()) -> Exchange:
    """Return what messages come to: several in a row of one role are one, with an empty line between them.

    Args:
        messages: Oldest first.
        field: What the caller calls them.
        before: Instructions that stand elsewhere.

    Raises:
        InvalidRequestError: the last one is not the user's, or is blank.
        PromptTooLongError: the question or the instruction is too long.
    """
    instruction = "\n\n".join(each.text for each in [*before, *messages] if each.role in INSTRUCTING)
    spoken = [each for each in messages if each.role not in INSTRUCTING]
    if not spoken or spoken[-1].role != "user" or messages[-1].role in INSTRUCTING:
        raise InvalidRequestError("must end with a message of the user's", field=field)
    said = [(role, "\n\n".join(each.text for each in run)) for role, run in groupby(spoken, lambda each: each.role)]
    question = said[-1][1]
    if not question.strip():
        raise InvalidRequestError("must not be blank", field=f"{field}[{len(messages) - 1}].content")
    for name, text in (("last message", question), ("instruction", instruction)):
        if len(text) > MAX_MESSAGE_CHARS:
            raise PromptTooLongError(f"The {name} has {len(text):,} characters; {MAX_MESSAGE_CHARS:,} are allowed.")
    texts = [text for _, text in said[:-1]]
    if said[0][0] == "assistant":
        texts.insert(0, "")
    history = tuple(Turn(asked, answered) for asked, answered in zip(texts[::2], texts[1::2], strict=True))
    return Exchange(system_prompt=instruction if instruction.strip() else None, history=history, question=question)


def _message(message: object, path: str) -> object:
    if not isinstance(message, dict):
        return message
    role, content = message.get("role"), message.get("content")
    if isinstance(role, str) and role not in _ROLES:
        raise UnsupportedParameterError(f"must be one of {', '.join(_ROLES)}", field=f"{path}.role")
    known: dict[str, Any] = refuse_unsupported(message, _HARMLESS_IN_MESSAGE, path)
    if isinstance(content, list):
        known["content"] = [_part(part, f"{path}.content[{number}]") for number, part in enumerate(content)]
    return known


def _part(part: object, path: str) -> object:
    if not isinstance(part, Mapping):
        return part
    kind = part.get("type")
    if isinstance(kind, str) and kind not in _TEXT_PARTS:
        raise UnsupportedParameterError("must be text; nothing else is read", field=f"{path}.type")
    return refuse_unsupported(part, _HARMLESS_IN_PART, path)
