"""The HTTP API in front of the functions: routing, limits, payload format 2.0."""

import asyncio
import errno
import re
import socket
import threading
import uuid
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import unquote

import uvicorn
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from infra.local.functions import InvokeResult, PayloadTooLargeError
from infra.local.gate import AUTHORIZER_TIMEOUT_SECONDS, Gate, RefusedError
from infra.local.http_event import MalformedAnswerError, build_event, build_response
from infra.local.resources import Route

INTEGRATION_TIMEOUT_SECONDS: Final = 30.0
MAX_BODY_BYTES: Final = 10 * 1024 * 1024
MAX_HEADER_BYTES: Final = 10_240

_CALLERS_AT_ONCE: Final = 256
_PARAMETER: Final = re.compile(r"\\\{(\w+)(\\\+)?\\\}")

InvokeFunction = Callable[[str, Any], InvokeResult]


class PortError(OSError):
    """This program may not listen on the port."""


class PortInUseError(PortError):
    """Another program listens on the port."""


def listen(port: int, *, host: str = "127.0.0.1") -> socket.socket:
    """Take a port, any free one for 0, before anything else is started.

    Raises:
        PortInUseError: The port is taken.
        PortError: The system refuses it for another reason.
    """
    # asyncio switches Nagle off only on sockets that say they are TCP; with it on, an answer takes 44 ms.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen()
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise PortInUseError(f"port {port} is in use; choose another with PORT=") from error
        raise PortError(f"cannot listen on port {port}: {error.strerror}; choose another with PORT=") from error
    return listener


class Router:
    """Finds the route of a request: fixed paths before parameters, parameters before `{name+}`, methods before ANY."""

    def __init__(self, routes: Iterable[Route]) -> None:
        ordered = sorted(
            routes, key=lambda route: (route.path.count("+}"), route.path.count("{"), route.method == "ANY")
        )
        self._routes = [(route, _pattern(route.path)) for route in ordered]

    def find(self, method: str, raw_path: str) -> tuple[Route, dict[str, str]] | None:
        """Give the route and the decoded path parameters of a path as it came over the wire."""
        for route, pattern in self._routes:
            if route.method in {method, "ANY"} and (match := pattern.fullmatch(raw_path)):
                return route, {name: unquote(value) for name, value in match.groupdict().items()}
        return None


def _pattern(path: str) -> re.Pattern[str]:
    return re.compile(_PARAMETER.sub(lambda match: f"(?P<{match[1]}>{'.+' if match[2] else '[^/]+'})", re.escape(path)))


class HttpApi:
    """An ASGI application that answers as an HTTP API with Lambda integrations does.

    Args:
        routes: The routes of the template.
        invoke: Invokes a function by logical id; it may block.
        integration_timeout_seconds: What a caller waits at most; the function itself goes on.
        authorizer_ttl_seconds: How long what authorizers say is remembered, instead of what they are declared with.
    """

    def __init__(
        self,
        routes: Iterable[Route],
        invoke: InvokeFunction,
        *,
        integration_timeout_seconds: float = INTEGRATION_TIMEOUT_SECONDS,
        authorizer_ttl_seconds: float | None = None,
    ) -> None:
        self._gate = Gate(invoke, ttl_seconds=authorizer_ttl_seconds)
        self._router = Router(routes)
        self._invoke = invoke
        self._timeout_seconds = integration_timeout_seconds
        self._executor = ThreadPoolExecutor(_CALLERS_AT_ONCE, thread_name_prefix="http-api")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        request = Request(scope, receive)
        request_id = str(uuid.uuid4())
        response = await self._respond(request, request_id)
        response.headers["apigw-requestid"] = request_id
        await response(scope, receive, send)

    def close(self) -> None:
        """Forget callers that wait for a free thread."""
        self._executor.shutdown(wait=False, cancel_futures=True)

    async def _respond(self, request: Request, request_id: str) -> Response:
        if _header_bytes(request) > MAX_HEADER_BYTES:
            return _error(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "Request Header Fields Too Large")
        body = await _read_body(request)
        if body is None:
            return _error(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "Request Entity Too Large")
        found = self._router.find(request.method, request.scope["raw_path"].decode("latin-1"))
        if found is None:
            return _error(HTTPStatus.NOT_FOUND, "Not Found")
        route, parameters = found
        event = build_event(
            request, body, route=route, path_parameters=parameters, request_id=request_id, now=datetime.now(UTC)
        )
        try:
            return await self._integrate(route.function, await self._admit(route, event))
        except RefusedError as error:
            return _error(error.status, error.status.phrase)

    async def _admit(self, route: Route, event: dict[str, Any]) -> dict[str, Any]:
        if route.authorizer is None:
            return event
        identity = self._gate.identity(route.authorizer, event)
        admission = asyncio.get_running_loop().run_in_executor(
            self._executor, self._gate.admit, route.authorizer, route, identity, event
        )
        try:
            return await asyncio.wait_for(asyncio.shield(admission), AUTHORIZER_TIMEOUT_SECONDS)
        except TimeoutError:
            raise RefusedError(HTTPStatus.INTERNAL_SERVER_ERROR) from None

    async def _integrate(self, function: str, event: dict[str, Any]) -> Response:
        loop = asyncio.get_running_loop()
        invocation = loop.run_in_executor(self._executor, self._invoke, function, event)
        try:
            result = await asyncio.wait_for(asyncio.shield(invocation), self._timeout_seconds)
            if result.is_error:
                return _error(HTTPStatus.INTERNAL_SERVER_ERROR, "Internal Server Error")
            return build_response(result.payload)
        except TimeoutError:
            return _error(HTTPStatus.SERVICE_UNAVAILABLE, "Service Unavailable")
        except PayloadTooLargeError:
            return _error(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "Request Entity Too Large")
        except MalformedAnswerError:
            return _error(HTTPStatus.INTERNAL_SERVER_ERROR, "Internal Server Error")


class HttpServer:
    """Serves an HTTP API in a thread, on a socket from `listen`."""

    def __init__(self, api: HttpApi, listener: socket.socket) -> None:
        self._api = api
        self._listener = listener
        self.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        config = uvicorn.Config(
            api, http="h11", ws="none", lifespan="off", access_log=False, log_config=None, timeout_graceful_shutdown=1
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [listener]}, name="http-api", daemon=True
        )

    def start(self) -> None:
        """Serve; the listener already queues connections, so callers need not wait for this."""
        self._thread.start()

    def close(self) -> None:
        """Finish what is under way for at most a second, then stop."""
        self._server.should_exit = True
        self._thread.join()
        self._listener.close()
        self._api.close()


def _header_bytes(request: Request) -> int:
    """Measure the request line and the headers as they came over the wire."""
    scope = request.scope
    line = len(scope["method"]) + len(scope["raw_path"]) + len(scope["query_string"]) + len("  HTTP/1.1\r\n")
    return line + sum(len(name) + len(value) + len(": \r\n") for name, value in scope["headers"])


async def _read_body(request: Request) -> bytes | None:
    """Read the body; None when it is too large, after reading it all, so that the client sees the answer."""
    chunks: list[bytes] = []
    size_bytes = 0
    async for chunk in request.stream():
        size_bytes += len(chunk)
        if size_bytes <= MAX_BODY_BYTES:
            chunks.append(chunk)
    return b"".join(chunks) if size_bytes <= MAX_BODY_BYTES else None


def _error(status: HTTPStatus, message: str) -> Response:
    return JSONResponse({"message": message}, status)
