"""What the Ollama stand-in says: no model, but the same words for the same question, and the same counts."""

import hashlib
import json
import re
from collections.abc import Sequence
from typing import Any, Final

CHARS_PER_TOKEN: Final = 5
TEMPLATE_TOKENS: Final = 8
"""What a chat template adds to every message."""
QUOTED_WORDS: Final = 12
WORDS_PER_SENTENCE: Final = 6
FEWEST_SENTENCES: Final = 2
MOST_SENTENCES: Final = 14

_FILLER: Final = (
    "A real model would begin with {topic} here.",
    "Then {topic} would be explained in a few words.",
    "An example of {topic} would follow.",
    "It would name what {topic} depends on.",
    "It would say where {topic} stops being useful.",
    "The usual mistakes with {topic} would come next.",
    "It would compare {topic} with what came before it.",
    "A summary of {topic} would end this part.",
)


def tokens(text: str) -> list[str]:
    """Cut text into pieces of a word, at most five characters each; joined they are the text, single-spaced."""
    pieces: list[str] = []
    for word in text.split():
        parts = [word[at : at + CHARS_PER_TOKEN] for at in range(0, len(word), CHARS_PER_TOKEN)]
        pieces += [" " + parts[0] if pieces else parts[0], *parts[1:]]
    return pieces


def count_prompt_tokens(contents: list[str]) -> int:
    """Return the tokens of all messages of a conversation, with the chat template's."""
    return sum(TEMPLATE_TOKENS + len(tokens(content)) for content in contents)


def compose(model: str, contents: list[str]) -> str:
    """Answer the last message: quote it, say that no model is at work, and add more sentences the longer it is."""
    words = contents[-1].split()
    topics = re.findall(r"[^\W_]{5,}", contents[-1]) or ["that"]
    seed = hashlib.sha256("\0".join([model, *contents]).encode()).digest()
    count = min(MOST_SENTENCES, FEWEST_SENTENCES + len(words) // WORDS_PER_SENTENCE)
    filler = [
        _FILLER[seed[at] % len(_FILLER)].format(topic=topics[seed[at + MOST_SENTENCES] % len(topics)])
        for at in range(count)
    ]
    quote = " ".join(words[:QUOTED_WORDS])
    return " ".join([f"You asked {model}: {quote}", "(This is a stand-in for Ollama, no language model.)", *filler])


def until(text: str, stops: Sequence[str]) -> str:
    """Return what of a text comes before any of the stop sequences."""
    return min((text.partition(stop)[0] for stop in stops), key=len, default=text)


def in_form(text: str, form: str | dict[str, Any] | None) -> str:
    """Return a text as Ollama's `format` wants it: as it is, in any JSON object, or in one that fits a schema."""
    if form is None:
        return text
    return json.dumps({"answer": text} if isinstance(form, str) else _instance(form, text))


def _instance(schema: dict[str, Any], text: str) -> object:
    """Return a value that a plain schema allows; references, combinations and bounds are not looked at."""
    if choices := schema.get("enum"):
        return choices[0]
    kind: str = schema.get("type", "string")
    if kind == "object":
        return {name: _instance(part, text) for name, part in schema.get("properties", {}).items()}
    if kind == "array":
        return [_instance(schema.get("items", {}), text)]
    return {"integer": len(text), "number": len(text), "boolean": True, "null": None}.get(kind, text)
