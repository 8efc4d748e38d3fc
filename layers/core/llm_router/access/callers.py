"""Who asks: what the gateway's authorizer found out about the caller of a request."""

from collections.abc import Mapping
from typing import Any, Final, Self

import msgspec
from msgspec import Struct

from llm_router.access.keys import ApiKey, Limits, Role, is_tenant
from llm_router.errors import ForbiddenError
from llm_router.models import DEFAULT_TENANT

TENANT_CLAIM: Final = "tenant"
ROLE_CLAIM: Final = "role"


class Caller(Struct, frozen=True, kw_only=True):
    """The holder of a key, or of a token."""

    tenant: str
    role: Role = Role.USER
    key_id: str = ""
    """Empty without a key."""
    allowed_models: tuple[str, ...] = ()
    """Empty for all."""
    limits: Limits = Limits()

    @classmethod
    def of(cls, key: ApiKey) -> Self:
        """Return the holder of a key."""
        return cls(
            tenant=key.tenant,
            role=key.role,
            key_id=key.key_id,
            allowed_models=key.allowed_models,
            limits=key.limits,
        )

    @classmethod
    def from_context(cls, context: Mapping[str, Any]) -> Self:
        """Return the caller that `context` describes."""
        return cls(
            tenant=context["tenant"],
            role=Role(context.get("role", Role.USER)),
            key_id=context.get("key_id", ""),
            allowed_models=msgspec.json.decode(context.get("allowed_models", "[]"), type=tuple[str, ...]),
            limits=msgspec.json.decode(context.get("limits", "{}"), type=Limits),
        )

    @classmethod
    def from_claims(cls, claims: Mapping[str, Any]) -> Self:
        """Return the holder of a token whose signature, issuer and audience the gateway has checked.

        Raises:
            ForbiddenError: it names no tenant, or a role that there is not.
        """
        tenant, role = claims.get(TENANT_CLAIM), claims.get(ROLE_CLAIM, Role.USER)
        if not isinstance(tenant, str) or not is_tenant(tenant):
            raise ForbiddenError(f"the token's claim {TENANT_CLAIM} must name a tenant")
        if role not in list(Role):
            raise ForbiddenError(f"the token's claim {ROLE_CLAIM} must be {' or '.join(Role)}")
        return cls(tenant=tenant, role=Role(role))

    def context(self) -> dict[str, str]:
        """Return what the authorizer hands to the functions: text only, as the gateway passes it on."""
        return {
            "tenant": self.tenant,
            "role": self.role.value,
            "key_id": self.key_id,
            "allowed_models": msgspec.json.encode(self.allowed_models).decode(),
            "limits": msgspec.json.encode(self.limits).decode(),
        }


OPERATOR: Final = Caller(tenant=DEFAULT_TENANT, role=Role.ADMIN)
"""Whoever may invoke a function directly, which IAM decides; and everybody, where there are no keys."""
