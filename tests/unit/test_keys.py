from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_router.access.callers import OPERATOR, Caller
from llm_router.access.keys import (
    ApiKey,
    KeyRecord,
    Limits,
    LowBudgetPolicy,
    Role,
    has_key_shape,
    hash_of,
    hint_of,
    is_tenant,
    new_key_id,
    new_secret,
    record_of,
)
from tests.builders import make_key
from tests.fakes import NOW_MS


def test_secrets() -> None:
    """A secret is 256 random bits behind a readable prefix, and people see four characters of it."""
    one, other = new_secret(), new_secret()

    assert one != other
    assert has_key_shape(one)
    assert ("llmr_", 48) == (one[:5], len(one))
    assert (one[:9], 64) == (hint_of(one), len(hash_of(one)))


def test_ids() -> None:
    """An id names a key and is no part of its secret."""
    assert new_key_id() != new_key_id()
    assert len("key_0123456789ab") == len(new_key_id())


@given(st.text(max_size=60))
def test_other_texts_are_no_keys(text: str) -> None:
    """Nothing but the prefix and 43 letters of base64url has the shape of a key."""
    assert not has_key_shape(text)
    assert not has_key_shape(f"{new_secret()}{text}x")
    assert not has_key_shape(f"{text}x{new_secret()}")


@pytest.mark.parametrize(
    "change", [str.upper, lambda key: key[:-1], lambda key: f"{key[:-1]}é", lambda key: f"{key}\n"]
)
def test_nearly_a_key(change: Any) -> None:
    """One letter too few, too many or of another kind, and it is none."""
    assert not has_key_shape(change(new_secret()))


@pytest.mark.parametrize(
    ("fields", "valid"),
    [
        ({}, True),
        ({"expires_at_ms": NOW_MS + 1}, True),
        ({"expires_at_ms": NOW_MS}, False),
        ({"revoked_at_ms": NOW_MS - 1}, False),
        ({"revoked_at_ms": NOW_MS - 1, "expires_at_ms": NOW_MS + 1}, False),
    ],
)
def test_validity(fields: dict[str, int], valid: bool) -> None:  # noqa: FBT001 - a case of the table
    """A key lets its holder in until it expires or is revoked."""
    assert valid is make_key(**fields).is_valid(NOW_MS)


@pytest.mark.parametrize(("name", "good"), [("acme", True), ("a:b.c_d-E9", True), ("a" * 64, True), ("all", False)])
def test_tenants(name: str, good: bool) -> None:  # noqa: FBT001 - a case of the table
    """A tenant is a short plain name, and not the word for all of them."""
    assert good is is_tenant(name)


@pytest.mark.parametrize("name", ["", "a" * 65, "a b", "a#b", "a/b", "ä", "acme\n"])
def test_bad_tenants(name: str) -> None:
    """What separates parts of keys elsewhere is no part of a tenant's name."""
    assert not is_tenant(name)


def test_record_of_a_new_key() -> None:
    """Of a new key the hash and a hint are kept, and one secret stands for it."""
    key, secret = make_key(), new_secret()
    record = record_of(key, secret)

    assert {hash_of(secret): key} == record.holders()
    assert secret not in repr(record)


@pytest.mark.parametrize(("expires_at_ms", "until_ms"), [(None, 50), (40, 40), (60, 50)])
def test_former_secret(expires_at_ms: int | None, until_ms: int) -> None:
    """A former secret stands for the same key, for as long as it was given and never longer than the key."""
    key = make_key(expires_at_ms=expires_at_ms)
    record = KeyRecord(key=key, hint="llmr_abcd", key_hash="new", former_hash="old", former_until_ms=50)

    assert {"new": expires_at_ms, "old": until_ms} == {
        name: holder.expires_at_ms for name, holder in record.holders().items()
    }


def test_revoked_record() -> None:
    """Of a revoked key no secret is left."""
    assert {} == KeyRecord(key=make_key(revoked_at_ms=NOW_MS), hint="llmr_abcd", key_hash=None).holders()


KEYS = st.builds(
    ApiKey,
    key_id=st.just("key_0123456789ab"),
    tenant=st.from_regex(r"[A-Za-z0-9_.:-]{1,64}", fullmatch=True),
    role=st.sampled_from(Role),
    allowed_models=st.lists(st.text(max_size=9), max_size=3).map(tuple),
    limits=st.builds(
        Limits,
        requests_per_minute=st.none() | st.integers(1, 99),
        monthly_budget_nano_usd=st.none() | st.integers(0, 10**18),
        low_budget_policy=st.none() | st.sampled_from(LowBudgetPolicy),
    ),
    created_at_ms=st.just(NOW_MS),
)


@given(KEYS)
def test_context(key: ApiKey) -> None:
    """What the authorizer hands on is text, and says of the caller all that the key does."""
    caller = Caller.of(key)

    assert {str} == set(map(type, caller.context().values()))
    assert caller == Caller.from_context(caller.context())
    assert (key.tenant, key.role, key.allowed_models, key.limits) == (
        caller.tenant,
        caller.role,
        caller.allowed_models,
        caller.limits,
    )


def test_operator() -> None:
    """Whoever may invoke a function directly is the administrator of the default tenant."""
    assert ("default", Role.ADMIN, ()) == (OPERATOR.tenant, OPERATOR.role, OPERATOR.allowed_models)
