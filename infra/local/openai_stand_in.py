"""A server that speaks OpenAI's chat completions without a model, and misbehaves on demand.

`python -m infra.local.openai_stand_in` runs it by itself.
"""

import argparse
import contextlib
import hmac
import signal
from collections import deque

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from infra.local.ollama_answers import count_prompt_tokens
from infra.local.openai_exchange import Behaviour, Exchange, Fault, Question
from infra.local.server_thread import ServerThread


class OpenAIStandIn(ServerThread):
    """The server in a thread of its own; a context manager.

    `behaviour` treats every question that nothing in `next_behaviours` is left for. `calls` are the questions that
    came with the right key, refused ones included, and `aborted` those the client left, each in order.

    Args:
        api_key: What a caller has to show.
        model: Name of its one model.
        context_tokens: How many tokens of prompt the model takes.
        port: Where to listen; 0 for any free port.
        behaviour: How to treat questions.
    """

    def __init__(
        self,
        *,
        api_key: str,
        model: str,
        context_tokens: int = 8192,
        port: int = 0,
        behaviour: Behaviour | None = None,
    ) -> None:
        self.behaviour = behaviour or Behaviour()
        self.next_behaviours: deque[Behaviour] = deque()
        self.calls: list[Question] = []
        self.aborted: list[Question] = []
        self._authorization = f"Bearer {api_key}"
        self._model = model
        self._context_tokens = context_tokens
        app = Starlette(routes=[Route("/v1/chat/completions", self._ask, methods=["POST"])])
        super().__init__(app, name="openai-stand-in", port=port)

    @property
    def base_url(self) -> str:
        """Where it listens, up to the version."""
        return f"{super().base_url}/v1"

    async def _ask(self, request: Request) -> Response:
        if not hmac.compare_digest(request.headers.get("authorization", "").encode(), self._authorization.encode()):
            return _refuse(401, "invalid_api_key", "Incorrect API key provided.")
        try:
            question = msgspec.json.decode(await request.body(), type=Question)
        except ValueError as exc:
            return _refuse(400, "invalid_request_error", str(exc))
        self.calls.append(question)
        behaviour = self.next_behaviours.popleft() if self.next_behaviours else self.behaviour
        return self._refusal(question, behaviour) or Exchange(question, behaviour, self.aborted.append)

    def _refusal(self, question: Question, behaviour: Behaviour) -> Response | None:
        if behaviour.fault is Fault.RATE_LIMITED:
            return _refuse(429, "rate_limit_exceeded", "Rate limit reached.", {"retry-after": "1"})
        if behaviour.fault is Fault.FAILURE:
            return _refuse(500, "server_error", "The server had an error.")
        if question.model != self._model:
            return _refuse(404, "model_not_found", "The model does not exist.")
        if not question.stream:
            return _refuse(400, "invalid_request_error", "The stand-in only streams.")
        if count_prompt_tokens(question.contents) > self._context_tokens:
            return _refuse(400, "context_length_exceeded", f"The context has {self._context_tokens} tokens.")
        return None


def _refuse(status: int, code: str, words: str, headers: dict[str, str] | None = None) -> Response:
    return JSONResponse({"error": {"message": words, "type": code, "code": code}}, status, headers)


def main() -> None:
    """Serve until interrupted or terminated."""
    parser = argparse.ArgumentParser(prog="openai_stand_in", description=__doc__)
    parser.add_argument("--port", type=int, default=11436)
    parser.add_argument("--model", default="gpt-4o-mini", help="its one model (default: %(default)s)")
    parser.add_argument("--key", default="sk-local", help="what a caller has to show (default: %(default)s)")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with OpenAIStandIn(api_key=arguments.key, model=arguments.model, port=arguments.port) as server:
        print(f"The stand-in for a cloud API answers at {server.base_url}", flush=True)  # noqa: T201  # a command line tool
        with contextlib.suppress(KeyboardInterrupt):
            server.wait()


if __name__ == "__main__":
    main()
