"""Decides whom a request's `Authorization` stands for."""

from typing import Final

from msgspec import Struct

from llm_router.access.callers import OPERATOR, Caller
from llm_router.access.keys import KEY_CHARS, has_key_shape, hash_of
from llm_router.ports import Clock, KeyStore

_SCHEME: Final = "bearer "


class Gatekeeper(Struct, frozen=True):
    """Lets in whoever holds a valid key; everybody, where there are no keys."""

    keys: KeyStore
    clock: Clock
    is_open: bool = False

    def caller(self, authorization: str) -> Caller | None:
        """Return who asks; None when nobody is let in with this.

        Nothing else of the request may matter, because the gateway remembers the answer for all of them.

        Raises:
            StoreError: the key could not be looked up, and nobody can say whether it is valid.
        """
        if self.is_open:
            return OPERATOR
        secret = _bearer(authorization)
        if secret is None:
            return None
        # What is compared is the hash, by the table: how long that takes tells nothing about any other key.
        key = self.keys.find(hash_of(secret))
        return Caller.of(key) if key is not None and key.is_valid(self.clock()) else None


def _bearer(authorization: str) -> str | None:
    """Return the key of a header, and nothing that is no key."""
    scheme, secret = authorization[: len(_SCHEME)], authorization[len(_SCHEME) :]
    if len(authorization) != len(_SCHEME) + KEY_CHARS or scheme.lower() != _SCHEME:
        return None
    return secret if has_key_shape(secret) else None
