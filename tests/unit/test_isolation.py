"""The promises of this folder's conftest."""

import socket

import pytest

from llm_router.settings import environment
from tests.conftest import setting_names


@pytest.mark.parametrize("method", ["connect", "connect_ex"])
def test_no_network(method: str) -> None:
    """A unit test that reaches for the network fails."""
    with socket.socket() as one, pytest.raises(AssertionError, match="reached for the network"):
        getattr(one, method)(("127.0.0.1", 9))


def test_clean_environment() -> None:
    """A unit test sees neither an AWS account nor a setting of the developer's."""
    names = setting_names()

    assert {"CACHE_TABLE", "OLLAMA_BASE_URL", "INSTANCE_USD_PER_HOUR", "CLASSIFIER"} <= names
    assert set() == {name for name in environment() if name.startswith("AWS_") or name in names}
