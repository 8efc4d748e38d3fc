"""What tests say to a router, and what it answers them: words that no log may repeat."""

import json
import re
from collections.abc import Iterator
from typing import Any, Final

import httpx

LEAST_CHARS: Final = 12
"""Shorter texts are in a log by chance."""
CANARY: Final = "yellowhammer"
"""For tests that say it everywhere."""
_SAID: Final = {
    *("message", "messages", "system_prompt", "history", "content", "input", "instructions", "comment", "metadata"),
    *("custom_id", "stop"),
}
_NEVER: Final = re.compile(r"llmr_[A-Za-z0-9_-]{43}|stand-in for Ollama|" + CANARY, re.IGNORECASE)
_heard: set[str] = set()


def overhear(request: httpx.Request) -> None:
    """Remember what a test says."""
    for line in request.content.splitlines():
        try:
            _heard.update(_texts(json.loads(line)))
        except (ValueError, RecursionError):
            continue  # no JSON says nothing


def leaks(log: str) -> set[str]:
    """Return what a log repeats: keys, answers, and what tests have said since the last look."""
    # A log line is JSON, and may be the JSON of a text that is JSON.
    repeated = {text for text in _heard if text in log or json.dumps(text)[1:-1] in log}
    _heard.clear()
    return repeated | set(_NEVER.findall(log))


def _texts(document: Any, *, is_said: bool = False) -> Iterator[str]:
    if isinstance(document, str) and is_said and len(document) >= LEAST_CHARS:
        yield document[:500]
    elif isinstance(document, dict):
        for name, value in document.items():
            yield from _texts(value, is_said=is_said or name in _SAID)
    elif isinstance(document, list):
        for value in document:
            yield from _texts(value, is_said=is_said)
