"""What the stand-ins' answers have in common: how they treat a question, and that they end when the client goes."""

import asyncio
from abc import abstractmethod
from collections.abc import Callable
from typing import Final, Generic, TypeVar

from msgspec import Struct
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

SUFFIX: Final = "+stand-in"
"""Added to the model's name in every answer, so that nobody takes it for a model's."""

QuestionT = TypeVar("QuestionT")


class Pace(Struct, frozen=True, kw_only=True):
    """How a stand-in speaks; without arguments, at once. What can go wrong is each stand-in's own."""

    after_tokens: int = 3
    """How much of the answer comes before the fault."""
    token_delay_s: float = 0.0
    """How long the caller waits for each token."""


class AbortableResponse(Response, Generic[QuestionT]):
    """Answers one question over ASGI, until the client goes away."""

    def __init__(self, question: QuestionT, on_abort: Callable[[QuestionT], None]) -> None:
        self.question = question
        self.on_abort = on_abort

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002  # ASGI's signature
        """Answer, and tell when the client leaves before the end."""
        work = asyncio.ensure_future(self.answer(send))
        gone = asyncio.ensure_future(receive())
        try:
            await asyncio.wait({work, gone}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            unfinished = work.cancel()
            gone.cancel()
        if unfinished:
            self.on_abort(self.question)
        else:
            work.result()

    @abstractmethod
    async def answer(self, send: Send) -> None:
        """Send the whole answer."""
