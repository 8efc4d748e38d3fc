"""Clients of a twin, each with a key of its own."""

from typing import Any

import httpx

from infra.local.dev_key import add_key, bearer
from infra.local.twin import Twin
from tests.canary import overhear


def keyed_client(twin: Twin, *, timeout_seconds: float = 40, **fields: Any) -> httpx.Client:
    """Return a client whose key may what `fields` say; everything, for the tenant `default`, where they say nothing."""
    return httpx.Client(
        base_url=twin.url,
        timeout=timeout_seconds,
        headers=bearer(add_key(twin, **fields)),
        event_hooks={"request": [overhear]},
    )
