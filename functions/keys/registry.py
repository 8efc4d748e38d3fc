"""The life of API keys: made, given another secret, revoked."""

from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from llm_router.access.key_bodies import KeyResponse, KeysResponse, NewKeyRequest, SecretResponse
from llm_router.access.keys import ApiKey, KeyRecord, hash_of, hint_of, is_key_id, new_key_id, new_secret, record_of
from llm_router.errors import ConflictError, InvalidRequestError, NotFoundError
from llm_router.ports import Clock, KeyStore

PAGE_KEYS: Final = 50
"""How many keys are listed at once: with the longest names and labels they still fit the 6 MB of an answer."""
_ATTEMPTS: Final = 4


class KeyRegistry(Struct, frozen=True):
    """Writes keys down; a secret leaves it once and is kept nowhere."""

    store: KeyStore
    clock: Clock

    def create(self, wanted: NewKeyRequest) -> SecretResponse:
        """Make a key.

        Raises:
            ConflictError: its random id was taken.
        """
        now_ms, secret = self.clock(), new_secret()
        life_ms = None if wanted.expires_in_seconds is None else wanted.expires_in_seconds * 1000
        key = ApiKey(
            key_id=new_key_id(),
            tenant=wanted.tenant,
            role=wanted.role,
            allowed_models=wanted.allowed_models,
            labels=wanted.labels,
            limits=wanted.limits,
            created_at_ms=now_ms,
            expires_at_ms=None if life_ms is None else now_ms + life_ms,
        )
        return self._written(record_of(key, secret), None, secret)

    def rotate(self, key_id: str, grace_seconds: int) -> SecretResponse:
        """Give a key another secret; the former one works for a while, and the one before that no more.

        Raises:
            NotFoundError: there is no such key.
            ConflictError: it does not work any more, or somebody else changed it at the same time.
        """
        now_ms, secret = self.clock(), new_secret()
        before = self._record(key_id)
        if not before.key.is_valid(now_ms):
            raise ConflictError("a key that was revoked or has expired gets no other secret", field="key_id")
        record = replace(
            before,
            key_hash=hash_of(secret),
            hint=hint_of(secret),
            former_hash=before.key_hash if grace_seconds else None,
            former_until_ms=now_ms + grace_seconds * 1000 if grace_seconds else 0,
            version=before.version + 1,
        )
        return self._written(record, before, secret)

    def revoke(self, key_id: str) -> KeyResponse:
        """Let none of a key's secrets work any more; to do it again changes nothing.

        Raises:
            NotFoundError: there is no such key.
            ConflictError: others changed it all the time.
        """
        for _ in range(_ATTEMPTS):
            before, now_ms = self._record(key_id), self.clock()
            if before.key.revoked_at_ms is not None:
                return KeyResponse.of(before, now_ms)
            record = replace(
                before,
                key=replace(before.key, revoked_at_ms=now_ms),
                key_hash=None,
                former_hash=None,
                former_until_ms=0,
                version=before.version + 1,
            )
            if self.store.write(record, before):
                return KeyResponse.of(record, now_ms)
        raise _changed()

    def listed(self, after: str | None = None) -> KeysResponse:
        """Return a page of the keys after an id, those that do not work any more included.

        Raises:
            InvalidRequestError: no key can have that id.
        """
        if after is not None and not is_key_id(after):
            raise InvalidRequestError("must be the id of a key", field="after")
        now_ms, records = self.clock(), self.store.records(after, PAGE_KEYS + 1)
        keys = tuple(KeyResponse.of(record, now_ms) for record in records[:PAGE_KEYS])
        return KeysResponse(keys=keys, next_after=keys[-1].key_id if len(records) > PAGE_KEYS else None)

    def _record(self, key_id: str) -> KeyRecord:
        if not is_key_id(key_id):  # what is no id may be more than the table takes for one
            raise NotFoundError("no such key")
        return self.store.get(key_id)

    def _written(self, record: KeyRecord, before: KeyRecord | None, secret: str) -> SecretResponse:
        if not self.store.write(record, before):
            raise _changed()
        return SecretResponse.of(record, self.clock(), secret=secret)


def _changed() -> ConflictError:
    return ConflictError("somebody else changed it at the same time; look, and try again", field="key_id")
