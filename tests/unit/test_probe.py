import pytest

from llm_router.box import BoxState
from llm_router.errors import ModelUnavailableError
from llm_router.ports import BoxSighting
from probe.app import look
from tests.fakes import NOW_MS, FakeBox

STATE = BoxState(version="0.31.0", installed=(), resident=())


def test_reachable() -> None:
    """What the box says is kept with the time of the look."""
    assert BoxSighting(checked_at_ms=NOW_MS, state=STATE) == look(FakeBox(STATE), NOW_MS)


def test_unreachable(capsys: pytest.CaptureFixture[str]) -> None:
    """A box that cannot be reached is a finding, and a metric."""
    sighting = look(FakeBox(ModelUnavailableError("connection refused")), NOW_MS)

    assert BoxSighting(checked_at_ms=NOW_MS, state=None, reason="connection refused") == sighting
    assert '"BoxUnreachable"' in capsys.readouterr().out
