"""What the Ollama stand-in reads and writes, in Ollama's shapes."""

import re
from datetime import UTC, datetime
from typing import Any, Final, Literal

import msgspec
from msgspec import Struct, field

Shape = Literal["chat", "generate"]

BUSY: Final = "server busy, please try again.  maximum pending requests exceeded"
CRASHED: Final = "llama runner process has terminated"
TOO_LONG: Final = "the prompt is longer than the context length currently available to the model"
NO_GRAMMAR: Final = "failed to load model vocabulary required for format"
MAX_LENGTH: Final = 2000
"""The longest bounded string that a grammar can be made of."""
SECONDS: Final = {"": 1, "s": 1, "m": 60, "h": 3600}
UNLIMITED: Final = -1


class Message(Struct):
    """One message of a conversation."""

    role: str
    content: str = ""


class Question(Struct):
    """Body of `/api/chat`, or of `/api/generate` with `prompt` and `system`."""

    model: str = ""
    messages: list[Message] = field(default_factory=list)
    prompt: str = ""
    system: str = ""
    stream: bool = True
    options: dict[str, Any] = field(default_factory=dict)
    format: str | dict[str, Any] | None = None
    keep_alive: float | str | None = None
    truncate: bool = True
    shift: bool = True

    @property
    def contents(self) -> list[str]:
        """The texts the model reads, in order; none when the model is only to be loaded or unloaded."""
        return [each.content for each in self.messages] or [each for each in (self.system, self.prompt) if each]

    @property
    def keep_alive_s(self) -> float | None:
        """How long the model is to stay; negative for ever, None when the caller leaves it to the server."""
        if isinstance(self.keep_alive, str):
            found = re.fullmatch(r"(-?\d+(?:\.\d+)?)([smh]?)", self.keep_alive)
            return float(found[1]) * SECONDS[found[2]] if found else None
        return self.keep_alive

    @property
    def is_format_unusable(self) -> bool:
        """Whether no grammar can be made of the format, as with a string that is bounded to more than MAX_LENGTH."""
        bounds = re.findall(r'"maxLength":(\d+)', msgspec.json.encode(self.format).decode())
        return any(int(bound) > MAX_LENGTH for bound in bounds)

    @property
    def stops(self) -> list[str]:
        """The texts before which the answer ends."""
        stops = self.options.get("stop", [])
        return [stops] if isinstance(stops, str) else list(stops)

    @property
    def max_tokens(self) -> int | None:
        """Upper bound of the answer's length; None without one."""
        limit = int(self.options.get("num_predict", UNLIMITED))
        return None if limit < 0 else limit


def now() -> str:
    """Return the time as Ollama writes it."""
    return datetime.now(UTC).isoformat().replace("+00:00", "Z")


def answer_line(shape: Shape, model: str, text: str, figures: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return one object of an answer; with `figures` it is the last one. Figures that are zero are left out."""
    said = {"message": {"role": "assistant", "content": text}} if shape == "chat" else {"response": text}
    line = {"model": model, "created_at": now(), **said, "done": figures is not None}
    return line | {name: value for name, value in (figures or {}).items() if value}
