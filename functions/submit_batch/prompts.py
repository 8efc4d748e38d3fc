"""What a line of a batch asks, or what is wrong with it."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, Literal

import msgspec
from msgspec import Struct

from llm_router.batching.batch_bodies import BadLine
from llm_router.batching.batches import CustomId, LineError, check_order
from llm_router.errors import InvalidRequestError, RequestTooLargeError, RouterError
from llm_router.openai.requests import parse_chat_completion
from llm_router.request_bodies import ChatRequest
from llm_router.validation import parse_json
from submit_batch.lines import MAX_LINE_BYTES, Line

PORTION_LINES: Final = 500
_MAX_SHOWN_CHARS: Final = 128


class Prompt(Struct, frozen=True):
    """A line that can be asked."""

    line: int
    custom_id: str | None
    request: ChatRequest


class Portion(Struct, frozen=True):
    """Lines of a batch that follow each other."""

    prompts: Sequence[Prompt]
    bad: Sequence[BadLine]

    @property
    def lines(self) -> int:
        """How many there are."""
        return len(self.prompts) + len(self.bad)


class BatchLine(ChatRequest, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A line in the router's own words."""

    custom_id: CustomId | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot be sent on.

        Raises:
            InvalidRequestError: as a chat request's, or the line is of a conversation.
        """
        super().__post_init__()
        check_order(self)


class OpenAILine(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A line as OpenAI's batches have it."""

    custom_id: CustomId
    method: Literal["POST"]
    url: Literal["/v1/chat/completions"]
    body: dict[str, Any]


class _Glance(Struct, frozen=True):
    """What tells the two kinds of lines apart, and the line from the others."""

    custom_id: Any = None
    method: Any = msgspec.UNSET
    url: Any = msgspec.UNSET
    body: Any = msgspec.UNSET

    @property
    def is_openai(self) -> bool:
        return msgspec.UNSET is not self.method or msgspec.UNSET is not self.url or msgspec.UNSET is not self.body


class Sorter:
    """Tells the lines of one batch that can be asked from those that cannot, in their order."""

    def __init__(self) -> None:
        self._first_lines: dict[str, int] = {}

    def sort(self, lines: Iterable[Line]) -> Portion:
        """Return what the next lines ask, and what is wrong with the others."""
        prompts: list[Prompt] = []
        bad: list[BadLine] = []
        for line in lines:
            read = self._unique(_read(line))
            if isinstance(read, Prompt):
                prompts.append(read)
            else:
                bad.append(read)
        return Portion(prompts, bad)

    def _unique(self, read: Prompt | BadLine) -> Prompt | BadLine:
        """Return a line as it is, or an error when a line before it has the same name."""
        if isinstance(read, BadLine) or read.custom_id is None:
            return read
        first = self._first_lines.setdefault(read.custom_id, read.line)
        if first == read.line:
            return read
        rule = f"is the name of line {first}, too"
        return _refused(read.line, read.custom_id, InvalidRequestError(rule, field="custom_id"))


def portions(lines: Sequence[Line], sorter: Sorter) -> Iterator[Portion]:
    """Yield the lines, sorted, in portions whose progress is worth noting."""
    for first in range(0, len(lines), PORTION_LINES):
        yield sorter.sort(lines[first : first + PORTION_LINES])


def _read(line: Line) -> Prompt | BadLine:
    custom_id = None
    try:
        raw = _whole(line)
        glance = parse_json(raw, _Glance)
        custom_id = _shown(glance.custom_id)
        return _openai(line.number, raw) if glance.is_openai else _own(line.number, raw)
    except RouterError as error:
        return _refused(line.number, custom_id, error)


def _whole(line: Line) -> bytes:
    if line.raw is None:
        raise RequestTooLargeError(f"must not have more than {MAX_LINE_BYTES:,} bytes", field="body")
    return line.raw


def _own(number: int, raw: bytes) -> Prompt:
    own = parse_json(raw, BatchLine)
    return Prompt(number, own.custom_id, msgspec.convert(own, ChatRequest, from_attributes=True))


def _openai(number: int, raw: bytes) -> Prompt:
    line = parse_json(raw, OpenAILine)
    try:
        return Prompt(number, line.custom_id, parse_chat_completion(line.body).request)
    except InvalidRequestError as error:
        error.field = "body" if error.field == "body" else f"body.{error.field}"
        raise


def _refused(line: int, custom_id: str | None, error: RouterError) -> BadLine:
    reason = LineError(code=error.code, message=str(error), field=getattr(error, "field", None))
    return BadLine(line=line, custom_id=custom_id, error=reason)


def _shown(custom_id: object) -> str | None:
    """Return a name that may be repeated to its caller, valid or not."""
    return custom_id[:_MAX_SHOWN_CHARS] if isinstance(custom_id, str) else None
