"""Reads a secret from Secrets Manager."""

from typing import TYPE_CHECKING

from llm_router.adapters.dynamodb import store_errors
from llm_router.errors import StoreError

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient


class Secret:
    """A secret string, read when it is first asked for and remembered as long as the environment lives.

    Args:
        client: Secrets Manager.
        secret_id: Name or ARN of the secret.
    """

    def __init__(self, client: "SecretsManagerClient", secret_id: str) -> None:
        self._client = client
        self._secret_id = secret_id
        self._value: str | None = None

    def __call__(self, *, fresh: bool = False) -> str:
        """Return the secret, without the blanks and line ends around it; `fresh` reads it anew.

        Raises:
            StoreError: it cannot be read, or is no text; the next call tries again.
        """
        if fresh or self._value is None:
            with store_errors("reading a secret"):
                answer = self._client.get_secret_value(SecretId=self._secret_id)
            if "SecretString" not in answer:
                raise StoreError("the secret is no text")
            self._value = answer["SecretString"].strip()
        return self._value
