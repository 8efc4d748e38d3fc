"""Bodies of the routes that manage API keys."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Final, Self

from msgspec import Meta, Struct

from llm_router.access.keys import ApiKey, KeyRecord, Limits, Role, Tenant

LONGEST_GRACE_SECONDS: Final = 30 * 24 * 3600
LONGEST_LIFE_SECONDS: Final = 10 * 366 * 24 * 3600
MOST_LABELS: Final = 16

ModelNames = Annotated[
    tuple[Annotated[str, Meta(min_length=1, max_length=128)], ...],
    Meta(max_length=32, description="Models as `force_model` names them; all where there are none."),
]
Labels = Annotated[
    dict[Annotated[str, Meta(min_length=1, max_length=64)], Annotated[str, Meta(max_length=256)]],
    Meta(max_length=MOST_LABELS, description="For people."),
]


class KeyStatus(StrEnum):
    """Whether a key lets its holder in."""

    ACTIVE = "active"
    EXPIRED = "expired"
    REVOKED = "revoked"


class NewKeyRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Body of `POST /api/v1/keys`."""

    tenant: Annotated[Tenant, Meta(description="Whose data its holder sees; 1 to 64 of A-Z a-z 0-9 _ . : -")]
    role: Role = Role.USER
    allowed_models: ModelNames = ()
    labels: Labels = {}
    limits: Limits = Limits()
    expires_in_seconds: Annotated[int, Meta(ge=1, le=LONGEST_LIFE_SECONDS)] | None = None


class RotateRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Body of `POST /api/v1/keys/{key_id}/rotate`."""

    grace_seconds: Annotated[
        int, Meta(ge=0, le=LONGEST_GRACE_SECONDS, description="How long the former secret works beside the new one.")
    ] = 0


class CreateInvoke(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A direct invoke: how an installation gets its first key."""

    create: NewKeyRequest


class KeyResponse(Struct, frozen=True, kw_only=True):
    """A key, without its secret."""

    key_id: str
    status: KeyStatus
    hint: str
    """The first characters of the secret."""
    tenant: str
    role: Role
    allowed_models: tuple[str, ...]
    labels: Mapping[str, str]
    limits: Limits
    created_at_ms: int
    expires_at_ms: int | None
    revoked_at_ms: int | None
    former_until_ms: int | None
    """Until when the secret before this one works, too; null when it does not."""

    @classmethod
    def of(cls, record: KeyRecord, now_ms: int, **more: str) -> Self:
        """Return what people may see of a key; `more` are fields of a subclass."""
        key = record.key
        return cls(
            key_id=key.key_id,
            status=_status(key, now_ms),
            hint=record.hint,
            tenant=key.tenant,
            role=key.role,
            allowed_models=key.allowed_models,
            labels=key.labels,
            limits=key.limits,
            created_at_ms=key.created_at_ms,
            expires_at_ms=key.expires_at_ms,
            revoked_at_ms=key.revoked_at_ms,
            former_until_ms=record.former_until_ms if record.former_until_ms > now_ms else None,
            **more,
        )


class SecretResponse(KeyResponse, frozen=True, kw_only=True):
    """A key with its secret, which is shown this once."""

    secret: str


class KeysResponse(Struct, frozen=True, kw_only=True):
    """Some of the keys, by their ids."""

    keys: tuple[KeyResponse, ...]
    next_after: str | None
    """What `after` has to be for those that follow; null with the last of them."""


def _status(key: ApiKey, now_ms: int) -> KeyStatus:
    if key.revoked_at_ms is not None:
        return KeyStatus.REVOKED
    return KeyStatus.ACTIVE if key.is_valid(now_ms) else KeyStatus.EXPIRED
