"""The key that everybody on this machine may use: the twin's tables are empty at first, and keys are made with keys."""

import time
from typing import Any, Final

from infra.local.twin import Twin
from llm_router.access.keys import ApiKey, Role, new_key_id, new_secret, record_of
from llm_router.adapters.dynamodb_keys import DynamoKeyStore
from llm_router.models import DEFAULT_TENANT

KEY_TABLE: Final = "KeyTable"


def add_key(twin: Twin, secret: str | None = None, **fields: Any) -> str:
    """Store a key in a twin that runs, and return it.

    Args:
        twin: The twin, whose template has a KeyTable.
        secret: The key; a random one by default.
        fields: What it may; everything, for the tenant `default`, where nothing is said.
    """
    secret = secret or new_secret()
    usual: dict[str, Any] = {
        "key_id": new_key_id(),
        "tenant": DEFAULT_TENANT,
        "role": Role.ADMIN,
        "labels": {"made-by": "make run"},
        "created_at_ms": time.time_ns() // 1_000_000,
    }
    DynamoKeyStore(twin.client("dynamodb"), twin.tables[KEY_TABLE]).write(record_of(ApiKey(**usual | fields), secret))
    return secret


def bearer(secret: str) -> dict[str, str]:
    """Return the header that carries a key."""
    return {"Authorization": f"Bearer {secret}"}


def curl_line(url: str) -> str:
    """Return a line for a shell that asks something with the key in its variable ROUTER_KEY."""
    body = '{"message": "What is a binary tree?"}'
    return (
        f'curl -s {url}/api/v1/chat -H "Authorization: Bearer $ROUTER_KEY"'
        f" -H 'Content-Type: application/json' -d '{body}'"
    )
