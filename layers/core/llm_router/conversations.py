"""Conversations: which earlier turns go with a question, and which request may be the next one."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from llm_router.box import answer_limit_tokens, context_tokens
from llm_router.errors import ConflictError, NotFoundError, PromptTooLongError, RouterError, StoreError
from llm_router.fallback import is_cloud
from llm_router.models import Conversation, Job, Turn
from llm_router.ports import Clock, ConversationStore
from llm_router.request_bodies import CacheQuestion

MAX_HISTORY_TOKENS: Final = 8192
"""Bound of what is kept of a conversation: about what the largest context holds beside a question and its answer."""
ASCII_CHARS_PER_TOKEN: Final = 3
"""Code and names; English has about four. Other scripts cost up to a token for every byte of UTF-8."""
MESSAGE_TOKENS: Final = 8
"""What a chat template adds to a message."""
CLAIM_HOLDS_MS: Final = 30_000
"""A request that has claimed its conversation, and is not stored after so long, never will be."""


def message_tokens(text: str) -> int:
    """Return how many tokens a message takes, rather too many than too few."""
    ascii_chars = len(text.encode("ascii", "ignore"))
    return MESSAGE_TOKENS + -(-ascii_chars // ASCII_CHARS_PER_TOKEN) + len(text.encode()) - ascii_chars


def newest(turns: tuple[Turn, ...], tokens: int) -> tuple[Turn, ...]:
    """Return the last turns that take at most so many tokens together, whole and in their order."""
    kept = len(turns)
    for turn in reversed(turns):
        tokens -= message_tokens(turn.question) + message_tokens(turn.answer)
        if tokens < 0:
            break
        kept -= 1
    return turns[kept:]


def fitting(turns: tuple[Turn, ...], model: str, question: CacheQuestion) -> tuple[Turn, ...]:
    """Return the last turns that fit a model's context beside a question, its instruction and a usual answer.

    What is kept of a conversation fits a cloud model. Turns that the caller brings are never cut: the model refuses
    what is too long for it.
    """
    if is_cloud(model) or question.history:
        return turns
    taken = message_tokens(question.message) + message_tokens(question.system_prompt or "")
    return newest(turns, context_tokens(model) - answer_limit_tokens(model) - taken)


def continued(turns: tuple[Turn, ...], last: Job) -> tuple[Turn, ...]:
    """Return the turns after a finished request: with its own where it has an answer, cut or not.

    Where the model could not read all it was sent, half of those turns go, so that the conversation gets unstuck.
    """
    if last.answer is not None and last.answer.text.strip():
        return newest((*turns, Turn(last.prompt, last.answer.text)), MAX_HISTORY_TOKENS)
    if last.failure is not None and last.failure.code == PromptTooLongError.code and last.history:
        return last.history[(len(last.history) + 1) // 2 :]
    return turns


class Conversations(Struct, frozen=True):
    """One request of a conversation at a time: the next one needs the answer of the one before.

    A turn is added by the next request, which reads how the last one ended. So nothing that ends a request, in
    whatever way, has to know of conversations.
    """

    store: ConversationStore
    look: Callable[[str], Job]
    """Returns a request as it stands; raises NotFoundError."""
    clock: Clock

    def read(self, tenant: str, conversation_id: str | None, job_id: str | None = None) -> Conversation | None:
        """Return a conversation with all its turns, as the request `job_id` finds it; None for a single question.

        Raises:
            ConflictError: another request of it is on its way.
            StoreError: it could not be read.
        """
        if conversation_id is None:
            return None
        conversation = self.store.get(tenant, conversation_id)
        if conversation.last_job is None or conversation.last_job == job_id:
            return conversation
        try:
            last = self.look(conversation.last_job)
        except NotFoundError:
            if self.clock() - conversation.claimed_at_ms < CLAIM_HOLDS_MS:
                raise _busy(conversation.last_job) from None
            return conversation  # who claimed it crashed
        if not last.status.finished:
            raise _busy(last.job_id)
        return replace(conversation, turns=continued(conversation.turns, last))

    @contextmanager
    def claimed(self, conversation: Conversation | None, job_id: str) -> Iterator[None]:
        """Make a request the conversation's last while the block stores it; the claim is given back where it fails.

        Raises:
            ConflictError: another request came first.
            StoreError: it could not be claimed.
        """
        if conversation is None:
            yield
            return
        if not self.store.claim(conversation, job_id):
            raise ConflictError("another request of it came first", field="conversation_id")
        try:
            yield
        except ConflictError:
            raise  # it is stored already, by somebody with the same idempotency key
        except RouterError:
            with suppress(StoreError):  # an unused claim ends by itself
                self._give_back(conversation, job_id)
            raise

    def _give_back(self, conversation: Conversation, job_id: str) -> None:
        """Let go of a conversation, unless its request was stored after all: a table may fail after it has written."""
        try:
            self.look(job_id)
        except NotFoundError:
            self.store.release(conversation, job_id)


def _busy(job_id: str) -> ConflictError:
    return ConflictError(f"must wait until its request {job_id} has ended", field="conversation_id")
