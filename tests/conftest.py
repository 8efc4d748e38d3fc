"""What tests of every kind share: a clean environment."""

import os
from collections.abc import Iterator
from dataclasses import fields

import pytest
from hypothesis import settings

from llm_router.settings import Settings

settings.register_profile("untimed", deadline=None)  # a busy machine is no failure
settings.load_profile("untimed")


def setting_names() -> set[str]:
    """Return every environment variable that one of the functions reads."""

    def below(kind: type[Settings]) -> Iterator[type[Settings]]:
        yield kind
        for derived in kind.__subclasses__():
            yield from below(derived)

    return {field.name.upper() for kind in below(Settings) for field in fields(kind)}


@pytest.fixture
def clean_environ(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide the developer's AWS account and settings."""
    for name in [name for name in os.environ if name.startswith("AWS_") or name in setting_names()]:
        monkeypatch.delenv(name)
