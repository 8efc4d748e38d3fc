"""Builds the registry over the key table, and keeps a trace of what was done with keys."""

from collections.abc import Mapping
from functools import lru_cache

from keys.registry import KeyRegistry
from llm_router import bootstrap
from llm_router.access.callers import Caller
from llm_router.access.key_bodies import KeyResponse, KeysResponse
from llm_router.observability import logger
from llm_router.query_parameters import only_known
from llm_router.settings import KeysSettings, environment


@lru_cache
def registry() -> KeyRegistry:
    """Build the registry once per environment."""
    return KeyRegistry(bootstrap.key_store(KeysSettings.from_env(environment()).key_table), bootstrap.now_ms)


def page_of_keys(query: Mapping[str, str]) -> KeysResponse:
    """Return the page of keys that a query asks for; raises what `only_known` and the registry do."""
    return registry().listed(only_known(query, {"after"}).get("after"))


def note_change(what: str, key: KeyResponse, by: Caller) -> None:
    """Log who changed which key; never a secret."""
    logger().info(what, extra={"key_id": key.key_id, "tenant": key.tenant, "role": key.role, "by": by.key_id})
