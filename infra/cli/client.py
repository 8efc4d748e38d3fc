"""The routes of the API, as methods."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final, TypeVar
from urllib.parse import quote

import httpx
import msgspec

from infra.cli.answers import BatchState, Costs, Key, Keys, NewSecret, Reply, Request, ResultsPage, Summary, TakenIn
from infra.cli.attempts import Attempts, retry_after_seconds
from infra.cli.errors import UnreachableError, error_of

T = TypeVar("T")
Query = Mapping[str, str | int]

_NEXT: Final = re.compile(r';\s*rel="?next"?')


class RouterClient:
    """A router over HTTP.

    Every method raises RefusedError where the router refuses, UnreachableError where it cannot be reached, fails or
    answers something that is no router's, and CommandError where a request ended without an answer.

    Args:
        attempts: Sends requests, with the key.
    """

    def __init__(self, attempts: Attempts) -> None:
        self._attempts = attempts

    def ask(self, question: Mapping[str, Any], key: str) -> Reply[Request]:
        """Send a prompt; the same key and question, sent again, are the same request."""
        return self._json(Request, "POST", "/api/v1/chat", json=dict(question), headers={"Idempotency-Key": key})

    def request(self, request_id: str) -> Reply[Request]:
        """Look at a request."""
        return self._json(Request, "GET", f"/api/v1/requests/{quote(request_id, safe='')}")

    def submit(self, body: bytes, media_type: str, key: str) -> Reply[TakenIn]:
        """Hand a batch over; the same key and body, sent again, are the same batch."""
        headers = {"Content-Type": media_type, "Idempotency-Key": key}
        return self._json(TakenIn, "POST", "/api/v1/batches", content=body, headers=headers)

    def batch(self, batch_id: str) -> Reply[BatchState]:
        """Look at a batch."""
        return self._json(BatchState, "GET", _batch(batch_id))

    def cancel_batch(self, batch_id: str) -> Reply[BatchState]:
        """Have nothing more of a batch begun."""
        return self._json(BatchState, "DELETE", _batch(batch_id))

    def results(self, batch_id: str, *, after: int) -> ResultsPage:
        """Return the results of the lines after a line, up to the first that is not finished, or a page full."""
        return self._results(batch_id, {"after": after})

    def result(self, batch_id: str, line: int) -> bytes:
        """Return what is known of one line, finished or not; nothing of a line that there is not."""
        return self._results(batch_id, {"after": line - 1, "limit": 1, "unfinished": "true"}).body

    def summary(self, period: Query) -> Reply[Summary]:
        """Return the figures of a period."""
        return self._json(Summary, "GET", "/api/v1/analytics/summary", params=period)

    def costs(self, period: Query) -> Reply[Costs]:
        """Return the costs of a period by model."""
        return self._json(Costs, "GET", "/api/v1/analytics/costs", params=period)

    def savings_csv(self, period: Query) -> bytes:
        """Return the days of a period as a table for spreadsheets."""
        path, accept = "/api/v1/analytics/savings-report", {"Accept": "text/csv"}
        return self._send("GET", path, params=period, headers=accept).content

    def create_key(self, wanted: Mapping[str, Any]) -> Reply[NewSecret]:
        """Make a key."""
        return self._json(NewSecret, "POST", "/api/v1/keys", repeatable=False, json=dict(wanted))

    def keys(self) -> Iterator[Reply[Keys]]:
        """Yield all keys, page by page."""
        query: Query = {}
        while True:
            page = self._json(Keys, "GET", "/api/v1/keys", params=query)
            yield page
            if page.shown.next_after is None:
                return
            query = {"after": page.shown.next_after}

    def rotate_key(self, key_id: str, *, grace_seconds: int) -> Reply[NewSecret]:
        """Give a key another secret."""
        body = {"grace_seconds": grace_seconds}
        return self._json(NewSecret, "POST", f"{_key(key_id)}/rotate", repeatable=False, json=body)

    def revoke_key(self, key_id: str) -> Reply[Key]:
        """Let a key work no more."""
        return self._json(Key, "DELETE", _key(key_id))

    def _results(self, batch_id: str, query: Query) -> ResultsPage:
        response = self._send("GET", f"{_batch(batch_id)}/results", params=query)
        if response.content and not response.content.endswith(b"\n"):
            raise UnreachableError("the answer is no page of results; is the address a router's?")
        return ResultsPage(response.content, not _NEXT.search(response.headers.get("Link", "")))

    def _json(self, kind: type[T], method: str, path: str, **how: Any) -> Reply[T]:
        response = self._send(method, path, **how)
        try:
            shown = msgspec.json.decode(response.content, type=kind)
        except msgspec.DecodeError as error:
            raise UnreachableError(f"the answer is none of a router ({error}); is the address right?") from error
        return Reply(shown, response.content, retry_after_seconds(response))

    def _send(self, method: str, path: str, *, repeatable: bool = True, **how: Any) -> httpx.Response:
        request = self._attempts.http.build_request(method, path, **how)
        response = self._attempts.send(request, repeatable=repeatable)
        if not response.is_success:
            raise error_of(response)
        return response


def _batch(batch_id: str) -> str:
    return f"/api/v1/batches/{quote(batch_id, safe='')}"


def _key(key_id: str) -> str:
    return f"/api/v1/keys/{quote(key_id, safe='')}"
