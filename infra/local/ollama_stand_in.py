"""A server that speaks Ollama's protocol without a model, and misbehaves on demand.

`python -m infra.local.ollama_stand_in --port 11435` runs it by itself.
"""

import argparse
import asyncio
import contextlib
import signal
from collections import deque
from collections.abc import Sequence
from typing import Final

import msgspec
from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from infra.local.exchange import SUFFIX
from infra.local.ollama_exchange import Behaviour, Exchange
from infra.local.ollama_memory import Memory, card
from infra.local.ollama_shapes import Question, Shape, now
from infra.local.server_thread import ServerThread

VERSION: Final = f"0.31.0{SUFFIX}"
MODELS: Final = ("tinyllama", "llama3.2")


class OllamaStandIn(ServerThread):
    """The server in a thread of its own; a context manager.

    `behaviour` treats every question that nothing in `next_behaviours` is left for. `calls` are the questions that
    came, refused ones included, `aborted` those the client left, `loads` the models loaded, each in order. `secrets`
    are what a proxy before it would let in; without any, everybody is.

    Args:
        models: Names of the models that are installed.
        port: Where to listen; 0 for any free port.
        behaviour: How to treat questions.
        parallel: How many answers are made at once, as OLLAMA_NUM_PARALLEL.
        max_loaded: How many models are resident, as OLLAMA_MAX_LOADED_MODELS.
    """

    def __init__(
        self,
        *,
        models: Sequence[str] = MODELS,
        port: int = 0,
        behaviour: Behaviour | None = None,
        parallel: int = 1,
        max_loaded: int = 2,
    ) -> None:
        self.behaviour = behaviour or Behaviour()
        self.next_behaviours: deque[Behaviour] = deque()
        self.calls: list[Question] = []
        self.aborted: list[Question] = []
        self.secrets: set[str] = set()
        self._cards = {each.tag: each for each in map(card, models)}
        self._memory = Memory(max_loaded)
        self._parallel = parallel
        self._slots = asyncio.Semaphore(parallel)
        self._installed_at = now()
        app = Starlette(
            routes=[
                Route("/", self._root),
                Route("/api/version", self._version),
                Route("/api/tags", self._tags),
                Route("/api/ps", self._ps),
                Route("/api/chat", self._chat, methods=["POST"]),
                Route("/api/generate", self._generate, methods=["POST"]),
            ]
        )
        super().__init__(self._guarded(app), name="ollama-stand-in", port=port)

    @property
    def loads(self) -> Sequence[str]:
        """Names of the models that were loaded, in order, repeated when loaded anew."""
        return self._memory.loads

    def _start(self) -> None:
        self._slots = asyncio.Semaphore(self._parallel)  # it belongs to the new thread's event loop
        super()._start()

    def _guarded(self, app: ASGIApp) -> ASGIApp:
        async def proxy(scope: Scope, receive: Receive, send: Send) -> None:
            known = {f"Bearer {secret}" for secret in self.secrets}
            if known and scope["type"] == "http" and Headers(scope=scope).get("authorization") not in known:
                await PlainTextResponse("401 Authorization Required", 401)(scope, receive, send)
            else:
                await app(scope, receive, send)

        return proxy

    async def _root(self, _: Request) -> Response:
        return PlainTextResponse("Ollama is running")

    async def _version(self, _: Request) -> Response:
        return JSONResponse({"version": VERSION})

    async def _ps(self, _: Request) -> Response:
        return JSONResponse({"models": self._memory.describe()})

    async def _tags(self, _: Request) -> Response:
        models = [each.describe() | {"modified_at": self._installed_at} for each in self._cards.values()]
        return JSONResponse({"models": models})

    async def _chat(self, request: Request) -> Response:
        return await self._ask(request, "chat")

    async def _generate(self, request: Request) -> Response:
        return await self._ask(request, "generate")

    async def _ask(self, request: Request, shape: Shape) -> Response:
        try:
            question = msgspec.json.decode(await request.body(), type=Question)
        except ValueError as exc:
            return JSONResponse({"error": str(exc)}, status_code=400)
        self.calls.append(question)
        behaviour = self.next_behaviours.popleft() if self.next_behaviours else self.behaviour
        if not question.model:
            return JSONResponse({"error": "model is required"}, status_code=400)
        found = self._cards.get(card(question.model).tag)
        if found is None:
            return JSONResponse({"error": f"model '{question.model}' not found"}, status_code=404)
        return Exchange(
            question,
            shape=shape,
            card=found,
            behaviour=behaviour,
            memory=self._memory,
            slots=self._slots,
            on_abort=self.aborted.append,
        )


def main() -> None:
    """Serve until interrupted or terminated."""
    parser = argparse.ArgumentParser(prog="ollama_stand_in", description=__doc__)
    parser.add_argument("--port", type=int, default=11435)
    parser.add_argument("--model", action="append", help=f"an installed model; may be repeated (default: {MODELS})")
    parser.add_argument("--realtime", type=float, default=0.0, help="1.0 answers at the speed of a small machine")
    arguments = parser.parse_args()
    behaviour = Behaviour(realtime=arguments.realtime)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with OllamaStandIn(models=arguments.model or MODELS, port=arguments.port, behaviour=behaviour) as server:
        print(f"The stand-in for Ollama answers at {server.base_url}", flush=True)  # noqa: T201  # a command line tool
        with contextlib.suppress(KeyboardInterrupt):
            server.wait()


if __name__ == "__main__":
    main()
