"""Reading a secret, against moto."""

from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from moto import mock_aws

from llm_router.adapters.secrets import Secret
from llm_router.errors import StoreError

VALUE = "sk-do-not-tell"


@pytest.fixture(name="manager")
def secrets_manager() -> Iterator[Any]:
    with mock_aws():
        yield boto3.client("secretsmanager", region_name="us-east-1")


def test_secret_is_read_once_and_without_its_line_end(manager: Any) -> None:
    """The value is remembered: a later change of the secret is not seen."""
    manager.create_secret(Name="cloud-key", SecretString=f"{VALUE}\n")
    secret = Secret(manager, "cloud-key")
    first = secret()
    manager.update_secret(SecretId="cloud-key", SecretString="another")

    assert [first, secret()] == [VALUE, VALUE]


def test_secret_is_read_anew_on_demand(manager: Any) -> None:
    """Who asks for a fresh value gets it, and it is what is remembered from then on."""
    manager.create_secret(Name="cloud-key", SecretString=VALUE)
    secret = Secret(manager, "cloud-key")
    first = secret()
    manager.update_secret(SecretId="cloud-key", SecretString="another")

    assert [VALUE, "another", "another"] == [first, secret(fresh=True), secret()]


def test_secret_that_is_missing_at_first_is_read_later(manager: Any) -> None:
    """A failure is not remembered."""
    secret = Secret(manager, "cloud-key")
    with pytest.raises(StoreError, match="reading a secret failed"):
        secret()
    manager.create_secret(Name="cloud-key", SecretString=VALUE)

    assert secret() == VALUE


def test_binary_secret_is_no_text(manager: Any) -> None:
    """A secret stored as bytes is an error, and the error does not show it."""
    manager.create_secret(Name="cloud-key", SecretBinary=VALUE.encode())

    with pytest.raises(StoreError) as caught:
        Secret(manager, "cloud-key")()

    assert VALUE not in str(caught.value)


def test_secret_is_not_shown(manager: Any) -> None:
    """Printing the object does not print the value."""
    manager.create_secret(Name="cloud-key", SecretString=VALUE)
    secret = Secret(manager, "cloud-key")
    secret()

    assert VALUE not in f"{secret} {secret!r}"
