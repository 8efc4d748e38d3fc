"""Asks a Lambda authorizer about requests, as an HTTP API does, and remembers what it said."""

import json
import time
from collections.abc import Callable, Mapping
from http import HTTPStatus
from threading import Lock
from typing import Any, Final

from infra.local.functions import InvokeResult
from infra.local.resources import Authorizer, Route, arn

AUTHORIZER_TIMEOUT_SECONDS: Final = 10.0
_LEFT_OUT: Final = {"body", "isBase64Encoded"}


class RefusedError(Exception):
    """The request goes no further."""

    def __init__(self, status: HTTPStatus) -> None:
        super().__init__(status.phrase)
        self.status = status


class Gate:
    """Lets requests through, with what the authorizer said of their callers.

    Args:
        invoke: Invokes a function by logical id; it blocks.
        ttl_seconds: How long an answer is remembered, instead of what the authorizer is declared with.
        clock: Seconds that never go back.
    """

    def __init__(
        self,
        invoke: Callable[[str, Any], InvokeResult],
        *,
        ttl_seconds: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._invoke = invoke
        self._ttl_seconds = ttl_seconds
        self._clock = clock
        self._lock = Lock()
        self._known: dict[tuple[str, ...], tuple[float, Mapping[str, Any]]] = {}

    def identity(self, authorizer: Authorizer, event: Mapping[str, Any]) -> tuple[str, ...]:
        """Return what the authorizer is asked about.

        Raises:
            RefusedError: 401, a header is missing or empty; the authorizer is not asked.
        """
        values = tuple(event["headers"].get(header, "") for header in authorizer.headers)
        if not all(values):
            raise RefusedError(HTTPStatus.UNAUTHORIZED)
        return values

    def admit(
        self, authorizer: Authorizer, route: Route, identity: tuple[str, ...], event: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Return the event with what the authorizer says of its caller.

        Raises:
            RefusedError: 403, it says no; 500, it failed.
        """
        answer = self._answer(authorizer, route, identity, event)
        if not answer["isAuthorized"]:
            raise RefusedError(HTTPStatus.FORBIDDEN)
        context = {**event["requestContext"], "authorizer": {"lambda": answer.get("context")}}
        return {**event, "requestContext": context}

    def _answer(
        self, authorizer: Authorizer, route: Route, identity: tuple[str, ...], event: Mapping[str, Any]
    ) -> Mapping[str, Any]:
        """Return what the authorizer says, or said of the same identity, whatever the route was."""
        place = (authorizer.function, *identity)
        with self._lock:
            until, answer = self._known.get(place, (0.0, {}))
        if self._clock() < until:
            return answer
        result = self._invoke(authorizer.function, _question(route, identity, event))
        answer = json.loads(result.payload)
        if result.is_error or not isinstance(answer, dict) or not isinstance(answer.get("isAuthorized"), bool):
            raise RefusedError(HTTPStatus.INTERNAL_SERVER_ERROR)
        ttl_seconds = authorizer.result_ttl_seconds if self._ttl_seconds is None else self._ttl_seconds
        if identity and ttl_seconds:
            with self._lock:
                self._known[place] = (self._clock() + ttl_seconds, answer)
        return answer


def _question(route: Route, identity: tuple[str, ...], event: Mapping[str, Any]) -> dict[str, Any]:
    """Shape a request as an authorizer sees it: everything but the body."""
    context = event["requestContext"]
    path = f"{context['apiId']}/{context['stage']}/{context['http']['method']}{context['http']['path']}"
    return {
        **{name: value for name, value in event.items() if name not in _LEFT_OUT},
        "type": "REQUEST",
        "routeArn": arn("execute-api", path),
        "identitySource": list(identity),
        "routeKey": route.key,
    }
