from typing import Any

import pytest

from keys.registry import PAGE_KEYS, KeyRegistry
from llm_router.access.key_bodies import KeyStatus, NewKeyRequest
from llm_router.access.keys import KeyRecord, Limits, Role, has_key_shape, hash_of
from llm_router.errors import ConflictError, InvalidRequestError, NotFoundError
from tests.fakes import NOW_MS, FakeKeyStore, SettableClock


@pytest.fixture
def clock() -> SettableClock:
    """A clock that stands still."""
    return SettableClock()


@pytest.fixture
def registry(clock: SettableClock) -> KeyRegistry:
    """A registry without keys."""
    return KeyRegistry(FakeKeyStore(), clock)


def works(registry: KeyRegistry, secret: str) -> bool:
    """Return whether a secret lets anybody in."""
    key = registry.store.find(hash_of(secret))
    return key is not None and key.is_valid(registry.clock())


def make(registry: KeyRegistry, **fields: Any) -> Any:
    """Make a key of a tenant."""
    return registry.create(NewKeyRequest(tenant="acme", **fields))


def test_made(registry: KeyRegistry) -> None:
    """A key is what was asked for, with a secret that works and is told only now."""
    made = make(
        registry,
        role=Role.ADMIN,
        allowed_models=("ollama/tinyllama",),
        labels={"team": "search"},
        limits=Limits(tokens_per_minute=9),
        expires_in_seconds=5,
    )
    key = registry.store.find(hash_of(made.secret))
    (listed,) = registry.listed().keys

    assert has_key_shape(made.secret)
    assert works(registry, made.secret)
    assert key is not None
    assert ("acme", Role.ADMIN, ("ollama/tinyllama",)) == (key.tenant, key.role, key.allowed_models)
    assert ({"team": "search"}, Limits(tokens_per_minute=9), NOW_MS + 5000) == (
        key.labels,
        key.limits,
        key.expires_at_ms,
    )
    assert (made.key_id, made.secret[:9], KeyStatus.ACTIVE) == (listed.key_id, listed.hint, listed.status)
    assert not hasattr(listed, "secret")


def test_expired(registry: KeyRegistry, clock: SettableClock) -> None:
    """A key ends with its life, is listed so, and gets no other secret."""
    made = make(registry, expires_in_seconds=5)
    clock.advance(5000)
    with pytest.raises(ConflictError, match="revoked or has expired"):
        registry.rotate(made.key_id, 0)

    assert not works(registry, made.secret)
    assert [KeyStatus.EXPIRED] == [key.status for key in registry.listed().keys]


def test_pages(registry: KeyRegistry) -> None:
    """Many keys are listed page by page, each once, and the last page says that it is the last."""
    made = sorted(make(registry).key_id for _ in range(2 * PAGE_KEYS))
    first = registry.listed()
    second = registry.listed(first.next_after)

    assert made == [key.key_id for key in (*first.keys, *second.keys)]
    assert (made[PAGE_KEYS - 1], None) == (first.next_after, second.next_after)


def test_page_after_what_is_no_id(registry: KeyRegistry) -> None:
    """A page comes after the id of a key."""
    with pytest.raises(InvalidRequestError, match="must be the id of a key"):
        registry.listed("key_1")


def test_rotated_at_once(registry: KeyRegistry) -> None:
    """With another secret the former one is gone, and id, tenant and limits are the same."""
    made = make(registry, limits=Limits(requests_per_minute=1))
    rotated = registry.rotate(made.key_id, 0)

    assert (False, True) == (works(registry, made.secret), works(registry, rotated.secret))
    assert (made.key_id, "acme", made.limits, None) == (
        rotated.key_id,
        rotated.tenant,
        rotated.limits,
        rotated.former_until_ms,
    )
    assert made.hint != rotated.hint


def test_rotated_with_grace(registry: KeyRegistry, clock: SettableClock) -> None:
    """The former secret works until the time that the answer tells, and then no more."""
    made = make(registry)
    rotated = registry.rotate(made.key_id, 60)
    during = works(registry, made.secret)
    clock.advance(60_000)

    assert NOW_MS + 60_000 == rotated.former_until_ms
    assert (True, False, True) == (during, works(registry, made.secret), works(registry, rotated.secret))
    assert [None] == [key.former_until_ms for key in registry.listed().keys]


def test_rotated_twice(registry: KeyRegistry) -> None:
    """Of three secrets the first works no more, however long it was given."""
    made = make(registry)
    second = registry.rotate(made.key_id, 3600)
    third = registry.rotate(made.key_id, 3600)

    assert [False, True, True] == [works(registry, each.secret) for each in (made, second, third)]


def test_revoked(registry: KeyRegistry) -> None:
    """None of a revoked key's secrets works; to revoke it again changes nothing; it gets no other secret."""
    made = make(registry)
    rotated = registry.rotate(made.key_id, 3600)
    revoked = registry.revoke(made.key_id)
    with pytest.raises(ConflictError):
        registry.rotate(made.key_id, 0)

    assert [False, False] == [works(registry, each.secret) for each in (made, rotated)]
    assert (KeyStatus.REVOKED, NOW_MS, None) == (revoked.status, revoked.revoked_at_ms, revoked.former_until_ms)
    assert revoked == registry.revoke(made.key_id)


@pytest.mark.parametrize("key_id", ["key_000000000000", "", "record#key", "key_1"])
def test_unknown(registry: KeyRegistry, key_id: str) -> None:
    """What is no key can be neither rotated nor revoked."""
    for change in (registry.revoke, lambda each: registry.rotate(each, 0)):
        with pytest.raises(NotFoundError):
            change(key_id)


class Interrupted(FakeKeyStore):
    """A store in which another writer is quicker, so many times."""

    def __init__(self, times: int) -> None:
        super().__init__()
        self.times = times

    def write(self, record: KeyRecord, before: KeyRecord | None = None) -> bool:
        """Write what somebody else wants, now and then."""
        if before is not None and self.times:
            self.times -= 1
            return False
        return super().write(record, before)


@pytest.mark.parametrize("key_id", ["", "k" * 3000, "key_5F0C2BA91D3E", "key_5f0c2ba91d3e\n", "key_5f0c2ba91d3e0"])
def test_what_is_no_key_id(key_id: str) -> None:
    """What no key can be called is not even looked for: the table takes no key of more than 2,048 bytes."""
    store = FakeKeyStore()
    store.broken = True
    registry = KeyRegistry(store, SettableClock())
    with pytest.raises(NotFoundError):
        registry.rotate(key_id, 0)
    with pytest.raises(NotFoundError):
        registry.revoke(key_id)


def test_revoking_wins() -> None:
    """To revoke is tried again where others were quicker, and says so where they always are."""
    registry = KeyRegistry(Interrupted(3), SettableClock())
    made = make(registry)
    revoked = registry.revoke(made.key_id)
    hopeless = KeyRegistry(Interrupted(4), SettableClock())
    other = make(hopeless)
    with pytest.raises(ConflictError, match="at the same time"):
        hopeless.revoke(other.key_id)

    assert KeyStatus.REVOKED is revoked.status
    assert not works(registry, made.secret)


def test_two_who_rotate() -> None:
    """Of two who rotate at once one is told to look again, and no secret is lost or left over."""
    registry = KeyRegistry(Interrupted(1), SettableClock())
    made = make(registry)
    with pytest.raises(ConflictError):
        registry.rotate(made.key_id, 0)

    assert works(registry, made.secret)
