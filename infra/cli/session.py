"""What a command works with: the router, the two streams, and time."""

import re
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Final

import httpx
import typer

from infra.cli.attempts import Attempts
from infra.cli.client import RouterClient
from infra.cli.errors import WrongUseError
from infra.cli.screen import Screen

KEY_VARIABLE: Final = "ROUTER_KEY"
ASK_AGAIN_SECONDS: Final = 2.0
LONGEST_WAIT_SECONDS: Final = 60.0
_TIMEOUT: Final = httpx.Timeout(40, connect=5)
"""The gateway itself gives up after 30 seconds."""
_KEY: Final = re.compile(r"[!-~]+")


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """What a command finds where it is started."""

    environ: Mapping[str, str] = field(repr=False)
    sleep: Callable[[float], object] = time.sleep
    transport: httpx.BaseTransport | None = None


@dataclass(kw_only=True)
class Session:
    """One run of a command; the router is spoken to only by those that need it."""

    surroundings: Surroundings
    url: str
    key_file: Path | None

    @cached_property
    def screen(self) -> Screen:
        """The two streams."""
        return Screen()

    @cached_property
    def client(self) -> RouterClient:
        """The router.

        Raises:
            WrongUseError: its address is none, or there is no key.
        """
        http = httpx.Client(
            base_url=_checked(self.url),
            headers={"Authorization": f"Bearer {self._key()}"},
            timeout=_TIMEOUT,
            transport=self.surroundings.transport,
        )
        return RouterClient(Attempts(http, self.surroundings.sleep, self.screen.say))

    def sleep(self, retry_after_seconds: float | None, estimated_ms: int | None) -> None:
        """Wait before asking again: as long as the router says, else until it is expected, 1 to 60 seconds."""
        wished = retry_after_seconds
        if wished is None:
            wished = ASK_AGAIN_SECONDS if estimated_ms is None else estimated_ms / 1000
        self.surroundings.sleep(max(1.0, min(LONGEST_WAIT_SECONDS, wished)))

    def _key(self) -> str:
        """Return the key, which is never shown, not even where it is none."""
        try:
            text = (
                self.key_file.read_text("utf-8") if self.key_file else self.surroundings.environ.get(KEY_VARIABLE, "")
            )
        except ValueError:
            text = "\0"
        key = text.strip()
        if not key:
            raise WrongUseError(f"there is no key: set {KEY_VARIABLE}, or name a file that holds it with --key-file")
        if not _KEY.fullmatch(key):
            raise WrongUseError("the key is none: it must be one line of visible ASCII characters")
        return key


def session_of(context: typer.Context) -> Session:
    """Return the session of a command."""
    session: Session = context.obj
    return session


def stdin_bytes() -> bytes:
    """Return what is piped in.

    Raises:
        WrongUseError: nothing is; a person at a terminal would wait for nothing.
    """
    if sys.stdin.isatty():
        raise WrongUseError("there is nothing to read: give it as an argument, or pipe it in")
    return sys.stdin.buffer.read()


def _checked(url: str) -> httpx.URL:
    try:
        address = httpx.URL(url)
    except httpx.InvalidURL as error:
        raise WrongUseError(f"the address {url!r} is none: {error}") from error
    if address.scheme not in {"http", "https"} or not address.host:
        raise WrongUseError(f"the address {url!r} is none: it begins with http:// or https://")
    return address
