"""Unit tests start from a clean environment and reach no network."""

import socket
from typing import NoReturn

import pytest


@pytest.fixture(autouse=True)
def _clean(clean_environ: None) -> None:
    """Run every unit test in the clean environment."""


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: socket.socket, address: object) -> NoReturn:
        raise AssertionError(f"a unit test reached for the network: {address}")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket.socket, "connect_ex", refuse)
