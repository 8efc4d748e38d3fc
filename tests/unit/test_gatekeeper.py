from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from authorize.gatekeeper import Gatekeeper
from llm_router.access.callers import OPERATOR, Caller
from llm_router.access.keys import Limits, Role, record_of
from llm_router.errors import StoreError
from tests.builders import make_key
from tests.fakes import NOW_MS, FakeKeyStore, SettableClock

SECRET = "llmr_Zk3Vb1sQm8Xw5Tn0Rd7Lp2Yc9Hf4Gj6Ka-Ue_oBiSqE"
EXPIRED, REVOKED, UNKNOWN = (f"llmr_{letter * 43}" for letter in "ERU")


def gatekeeper(secret: str = SECRET, **fields: Any) -> Gatekeeper:
    """Return a gatekeeper that knows one valid key, an expired one and a revoked one."""
    store = FakeKeyStore()
    store.write(record_of(make_key("key_1", **fields), secret))
    store.write(record_of(make_key("key_2", expires_at_ms=NOW_MS), EXPIRED))
    store.write(record_of(make_key("key_3", revoked_at_ms=NOW_MS - 1), REVOKED))
    return Gatekeeper(store, SettableClock())


def test_valid_key() -> None:
    """The holder of a valid key is who the key says, with all that the key says."""
    fields: dict[str, Any] = {
        "tenant": "acme",
        "role": Role.ADMIN,
        "allowed_models": ("ollama/tinyllama",),
        "limits": Limits(requests_per_minute=5),
    }

    assert Caller(key_id="key_1", **fields) == gatekeeper(**fields).caller(f"Bearer {SECRET}")


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_scheme(scheme: str) -> None:
    """The name of the scheme may be written in any case, as RFC 9110 has it."""
    assert gatekeeper().caller(f"{scheme} {SECRET}") is not None


@pytest.mark.parametrize("secret", [EXPIRED, REVOKED, UNKNOWN])
def test_key_that_does_not_hold(secret: str) -> None:
    """A key that has expired, was revoked, or never was, lets nobody in."""
    assert gatekeeper().caller(f"Bearer {secret}") is None


@pytest.mark.parametrize(
    "authorization",
    [
        "",
        "Bearer",
        "Bearer ",
        SECRET,
        f"Basic {SECRET}",
        f"Bearer  {SECRET}",
        f" Bearer {SECRET}",
        f"Bearer {SECRET} ",
        f"Bearer {SECRET}\n",
        f"Bearer\t{SECRET}",
        f"Bearer {SECRET[:-1]}",
        f"Bearer {SECRET}A",
        f"Bearer {SECRET.swapcase()}",
        f"Bearer {SECRET.upper()}",
        f"Bearer {SECRET},Bearer {SECRET}",
        f"Bearer {UNKNOWN},Bearer {SECRET}",
        f"Bearer {SECRET.replace('-', '+').replace('_', '/')}",
        f"Bearer \N{FULLWIDTH LATIN SMALL LETTER L}{SECRET[1:]}",
        f"Bearer {SECRET[:5]}",
        f"Bearer {SECRET}" * 1000,
    ],
)
def test_nearly_the_key(authorization: str) -> None:
    """Another case, a part, white space, two headers in one, look-alikes: none of them is the key."""
    assert gatekeeper().caller(authorization) is None


@st.composite
def edited(draw: st.DrawFn) -> str:
    """Return the right header after a few edits."""
    text = list(f"Bearer {SECRET}")
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, len(text)))
        text[place : place + draw(st.integers(0, 2))] = draw(st.text(max_size=2))
    return "".join(text)


@given(st.text() | edited() | st.from_regex(r"(?i)bearer llmr_[A-Za-z0-9_-]{43}", fullmatch=True))
@example(f"bEARER {SECRET}")
def test_nobody_else_is_let_in(authorization: str) -> None:
    """Whatever is sent: only the scheme and the very key let anybody in."""
    is_the_key = authorization[:7].lower() == "bearer " and authorization[7:] == SECRET

    assert is_the_key is (gatekeeper().caller(authorization) is not None)


def test_outage() -> None:
    """A store that fails is an error and no answer, so that it looks like neither a right nor a wrong key."""
    keeper = gatekeeper()
    assert isinstance(keeper.keys, FakeKeyStore)
    keeper.keys.broken = True
    with pytest.raises(StoreError):
        keeper.caller(f"Bearer {SECRET}")

    assert keeper.caller("Bearer nonsense") is None


def test_without_keys() -> None:
    """Where there are no keys everybody is an administrator of the default tenant, and no table is asked."""
    store = FakeKeyStore()
    store.broken = True

    assert OPERATOR == Gatekeeper(store, SettableClock(), is_open=True).caller("anything")
