import logging

import pytest

from llm_router.observability import TALKATIVE


@pytest.mark.parametrize("name", [*TALKATIVE, "botocore.endpoint", "botocore.parsers", "httpcore.http11"])
def test_debugging_shows_no_prompt(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Who has everything logged is still not shown what the clients of tables and models send and receive."""
    monkeypatch.setattr(logging.getLogger(), "level", logging.DEBUG)

    assert logging.getLogger("llm_router").getEffectiveLevel() == logging.DEBUG
    assert logging.getLogger(name).getEffectiveLevel() > logging.DEBUG
