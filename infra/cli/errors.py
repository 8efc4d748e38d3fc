"""Why a command ended early; every reason is an exit code.

CommandError, 1: the answer, or at least one line of a batch, failed
├── WrongUseError, 2: the command line, the environment or a file is wrong
├── RefusedError, 3: the router refused
├── UnreachableError, 4: the router does not answer, or failed
└── UnfinishedError, 5: not finished yet
"""

from http import HTTPStatus
from typing import ClassVar, Final

import httpx
import msgspec
from msgspec import Struct

INTERRUPTED: Final = 130
_OF_A_REQUEST: Final = "req_"
"""What the ids of requests that were taken in begin with; those of the gateway do not."""


class CommandError(Exception):
    """What was asked for failed."""

    exit_code: ClassVar[int] = 1


class WrongUseError(CommandError):
    """The command cannot be carried out as it was given."""

    exit_code = 2


class RefusedError(CommandError):
    """The router refused."""

    exit_code = 3


class UnreachableError(CommandError):
    """The router does not answer, answers nonsense, or failed."""

    exit_code = 4


class UnfinishedError(CommandError):
    """It is not finished, and nobody wanted to wait."""

    exit_code = 5


class Detail(Struct, frozen=True):
    """What the router says was wrong."""

    code: str
    message: str
    field: str | None = None
    request_id: str = ""

    def __str__(self) -> str:
        """Say it in one line, the field first."""
        return f"{self.field}: {self.message}" if self.field else self.message


class _Body(Struct, frozen=True):
    """The two shapes of an error: a function's, and that of the gateway before it."""

    error: Detail | None = None
    message: str | None = None


def ended_request(response: httpx.Response) -> bool:
    """Whether a request was taken in and ended without an answer, so that asking again changes nothing."""
    detail = _read(response).error
    return detail is not None and detail.request_id.startswith(_OF_A_REQUEST)


def error_of(response: httpx.Response) -> CommandError:
    """Return what a response that is no success means for the command."""
    body = _read(response)
    words = f"{body.error} ({response.status_code} {body.error.code})" if body.error else _gateway(response, body)
    if ended_request(response):
        return CommandError(words)
    kind = UnreachableError if response.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR else RefusedError
    return kind(words)


def _read(response: httpx.Response) -> _Body:
    try:
        return msgspec.json.decode(response.content, type=_Body)
    except msgspec.DecodeError:
        return _Body()


def _gateway(response: httpx.Response, body: _Body) -> str:
    words = f"{body.message or response.reason_phrase} ({response.status_code})"
    if response.status_code in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
        return f"{words}: the key is wrong, expired or revoked"
    return words
