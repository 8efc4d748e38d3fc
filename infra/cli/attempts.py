"""Sends requests, and sends them again where that can help."""

from collections.abc import Callable
from http import HTTPStatus
from typing import Final

import httpx
from msgspec import Struct

from infra.cli.errors import UnreachableError, ended_request

PAUSES_SECONDS: Final = (0.5, 1.0, 2.0, 4.0)
"""Before each further attempt, where the router does not say."""
LONGEST_PAUSE_SECONDS: Final = 120.0
"""A router that asks for more is not asked again."""
_NEVER_SENT: Final = (httpx.ConnectError, httpx.ConnectTimeout)


class Attempts(Struct, frozen=True):
    """Five attempts at a request."""

    http: httpx.Client
    sleep: Callable[[float], object]
    say: Callable[[str], object]

    def send(self, request: httpx.Request, *, repeatable: bool = True) -> httpx.Response:
        """Return the router's response, whatever its status.

        Args:
            request: What to send.
            repeatable: Whether it may arrive twice; if not, it is sent again only where it did nothing for certain.

        Raises:
            UnreachableError: there is no response.
        """
        pauses = iter(PAUSES_SECONDS)
        while True:
            pause_seconds = next(pauses, None)
            try:
                response = self.http.send(request)
            except httpx.RequestError as error:
                trouble = f"{self.http.base_url} does not answer ({type(error).__name__})"
                if pause_seconds is None or not (repeatable or isinstance(error, _NEVER_SENT)):
                    doubt = "" if repeatable else "; whether it was done is unknown"
                    raise UnreachableError(trouble + doubt) from error
            else:
                trouble = f"{response.status_code} {response.reason_phrase}"
                if pause_seconds is None or not _may_change(response, repeatable=repeatable):
                    return response
                pause_seconds = retry_after_seconds(response) or pause_seconds
                if pause_seconds > LONGEST_PAUSE_SECONDS:
                    return response
            self.say(f"{trouble}; again in {pause_seconds:g} s")
            self.sleep(pause_seconds)


def retry_after_seconds(response: httpx.Response) -> float | None:
    """Return how long the router asks to wait, None where it does not say."""
    text = response.headers.get("Retry-After", "")
    return float(text) if text.isdecimal() else None


def _may_change(response: httpx.Response, *, repeatable: bool) -> bool:
    """Whether the same request may be answered otherwise later."""
    if response.status_code == HTTPStatus.SERVICE_UNAVAILABLE:
        return repeatable and not ended_request(response)
    return response.status_code == HTTPStatus.TOO_MANY_REQUESTS
