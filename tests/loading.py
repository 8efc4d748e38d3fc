"""Reads the sample events that tests, the local twin and `sam local invoke` share."""

import json
from pathlib import Path
from typing import Any


def load_event(name: str) -> dict[str, Any]:
    """Return the event in `tests/events/<name>.json`."""
    event: dict[str, Any] = json.loads((Path(__file__).parent / "events" / f"{name}.json").read_text(encoding="utf-8"))
    return event
