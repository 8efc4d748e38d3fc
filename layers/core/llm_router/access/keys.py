"""API keys: what one may do, and what the router keeps of it.

A key is shown once. Stored are its SHA-256, which needs no salt because 256 random bits cannot be guessed from it, and
its first characters, for people.
"""

import re
import secrets
from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Final

from msgspec import Meta, Struct
from msgspec.structs import replace

from llm_router.prompt import sha256_hex

KEY_PREFIX: Final = "llmr_"
KEY_CHARS: Final = len(KEY_PREFIX) + 43
_RANDOM_BYTES: Final = 32
_HINT_CHARS: Final = 4
_SHAPE: Final = re.compile(KEY_PREFIX + r"[A-Za-z0-9_-]{43}")

ALL_TENANTS: Final = "all"
"""What an administrator asks for to see every tenant, and so the name of none."""
_TENANT_PATTERN: Final = r"^(?!all$)[A-Za-z0-9_.:-]{1,64}$(?!\n)"
_KEY_ID: Final = re.compile(r"key_[0-9a-f]{12}")
_TENANT: Final = re.compile(_TENANT_PATTERN)

Tenant = Annotated[str, Meta(pattern=_TENANT_PATTERN)]
Count = Annotated[int, Meta(ge=1, le=1_000_000_000)]
NanoUsd = Annotated[int, Meta(ge=0, le=10**18)]


class Role(StrEnum):
    """What a key may do beside asking."""

    USER = "user"
    """Nothing beyond its own tenant."""
    ADMIN = "admin"
    """Keys, and what concerns all tenants."""


class LowBudgetPolicy(StrEnum):
    """What happens to a request that the month's budget does not cover."""

    REFUSE = "refuse"
    DOWNGRADE = "downgrade"
    """A cheaper model answers as long as one can."""


class Limits(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Bounds of a key; None for no bound."""

    requests_per_minute: Count | None = None
    tokens_per_minute: Count | None = None
    concurrent_requests: Count | None = None
    monthly_budget_nano_usd: NanoUsd | None = None
    """Billionths of a US dollar."""
    low_budget_policy: LowBudgetPolicy | None = None


class ApiKey(Struct, frozen=True, kw_only=True):
    """A key without its secret."""

    key_id: str
    """For people: it names the key and lets nobody in."""
    tenant: str
    role: Role
    allowed_models: tuple[str, ...] = ()
    """Names as `force_model` takes them; empty for all."""
    labels: Mapping[str, str] = {}
    limits: Limits = Limits()
    created_at_ms: int
    expires_at_ms: int | None = None
    revoked_at_ms: int | None = None

    def is_valid(self, now_ms: int) -> bool:
        """Whether it lets its holder in."""
        return self.revoked_at_ms is None and (self.expires_at_ms is None or now_ms < self.expires_at_ms)


class KeyRecord(Struct, frozen=True, kw_only=True):
    """What is known of a key by its id: which secrets stand for it, of which there are at most two."""

    key: ApiKey
    hint: str
    """The first characters of the secret, so that people can tell which one they hold."""
    key_hash: str | None
    """SHA-256 of the secret; None when it is revoked."""
    former_hash: str | None = None
    """That of the secret before it, which still lets its holder in for a while."""
    former_until_ms: int = 0
    version: int = 1
    """Counts the changes, so that no two writers undo each other."""

    def holders(self) -> dict[str, ApiKey]:
        """Return what is known of each secret by its hash; none is left of a revoked key."""
        holders = {} if self.key_hash is None else {self.key_hash: self.key}
        if self.former_hash is not None:
            until_ms = min(self.former_until_ms, self.key.expires_at_ms or self.former_until_ms)
            holders[self.former_hash] = replace(self.key, expires_at_ms=until_ms)
        return holders


def is_tenant(name: str) -> bool:
    """Whether a tenant may be called so."""
    return _TENANT.fullmatch(name) is not None


def is_key_id(text: str) -> bool:
    """Whether `new_key_id` could have made it."""
    return _KEY_ID.fullmatch(text) is not None


def new_key_id() -> str:
    """Return the id of a new key."""
    return f"key_{secrets.token_hex(6)}"


def new_secret() -> str:
    """Return a key that nobody can guess: 256 random bits behind a prefix that searches for leaked keys can find."""
    return KEY_PREFIX + secrets.token_urlsafe(_RANDOM_BYTES)


def has_key_shape(text: str) -> bool:
    """Whether `new_secret` could have made it."""
    return len(text) == KEY_CHARS and _SHAPE.fullmatch(text) is not None


def hash_of(secret: str) -> str:
    """Return what is stored in a key's place."""
    return sha256_hex(secret.encode())


def hint_of(secret: str) -> str:
    """Return what people may see of a key."""
    return secret[: len(KEY_PREFIX) + _HINT_CHARS]


def record_of(key: ApiKey, secret: str) -> KeyRecord:
    """Return the first record of a key."""
    return KeyRecord(key=key, hint=hint_of(secret), key_hash=hash_of(secret))
