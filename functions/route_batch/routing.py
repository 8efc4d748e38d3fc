"""What becomes of a prompt that came through a queue.

There are two. Whoever may send to PromptQueue may ask, and no more: whose prompt it is, and which line of which batch,
is believed of senders that are listed, by the id of their role, which SQS and not the sender writes on the message.
BatchQueue takes messages from the router's own functions alone, so that what they say is true.

A message may come any number of times, whole or after a crash at any point: its request has an id that follows from the
message, so that there is one of it, and what is overdue is dispatched again. One that can never be a request, whoever
tries, is put aside at once: the line of a batch as refused, anything else as a copy in the dead-letter queue.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final

from msgspec import Struct

from llm_router.access.callers import Caller
from llm_router.batching.batches import Batch, LineError, PromptMessage, derived_job_id, line_job_id
from llm_router.batching.replies import Reply, check_reply_to
from llm_router.errors import BudgetExceededError, ConflictError, ForbiddenError, InvalidRequestError, NotFoundError
from llm_router.jobs import leader_of
from llm_router.models import DEFAULT_TENANT, Job, JobStatus, Source
from llm_router.pipeline import Pipeline
from llm_router.ports import BatchStore
from llm_router.prompt import sha256_hex
from llm_router.requests import OVERDUE_MS
from llm_router.validation import parse_json

REFUSED: Final = "refused"
_NOT_TRUSTED: Final = "is not for this sender to say"

Refusal = InvalidRequestError | ForbiddenError | BudgetExceededError
"""Why a message is no request, and never will be."""


class Received(Struct, frozen=True, kw_only=True):
    """A message as a queue delivers it."""

    message_id: str
    queue_arn: str
    sender_id: str
    """Id of the role that sent it, and the name of its session, as SQS knows them: `AROA...:name`."""
    body: str


class Outcome(Struct, frozen=True, kw_only=True):
    """What became of a message."""

    what: str
    """Status of its request, or `refused`."""
    job_id: str | None = None
    degraded: Sequence[str] = ()


class Prompts(Struct, frozen=True, kw_only=True):
    """Routes messages, one at a time."""

    pipeline: Pipeline
    batches: BatchStore
    batch_queue_arn: str
    """Messages of this queue are the router's own."""
    trusted_senders: frozenset[str]
    """Ids of roles that may speak for any tenant."""
    reply_prefix: str
    """How the URLs of the queues begin that answers may be sent to; none when empty."""
    set_aside: Callable[[Received, Refusal], object]
    """Keeps a message that can never be a request, with the reason."""
    reply: Callable[[str, Reply], object]
    """Sends an answer to a queue, by its URL."""

    def route(self, message: Received) -> Outcome:
        """Make a message a request, and return what became of it.

        Raises:
            StoreError: a table or a queue failed; the message has to come again.
        """
        prompt = None
        try:
            prompt = parse_json(message.body.encode("utf-8", "surrogatepass"), PromptMessage)
            return self._accept(message, prompt)
        except (InvalidRequestError, ForbiddenError, BudgetExceededError) as error:
            return self._refuse(message, prompt, error)

    def _accept(self, message: Received, prompt: PromptMessage) -> Outcome:
        check_reply_to(prompt.reply_to, self.reply_prefix)
        tenant = self._tenant(message, prompt)
        batch = self._batch(prompt, tenant)
        job_id = _job_id(message, prompt)
        try:
            job = self.pipeline.limited_to(batch.caller if batch else Caller(tenant=tenant)).submit(
                prompt,
                tenant=tenant,
                source=Source.BATCH if batch else Source.SQS,
                job_id=job_id,
                delivery=prompt.delivery,
            )
        except ConflictError:
            return self._again(job_id)
        except BudgetExceededError:
            with suppress(NotFoundError):  # it came before, and what it held itself leaves no room for it
                return self._known(job_id)
            raise
        if batch is not None and batch.cancelled_at_ms is not None:
            job = self.pipeline.requests.cancel(job_id, tenant)
        return _outcome(job)

    def _again(self, job_id: str) -> Outcome:
        """Return what became of a message that came before; whoever took it may have died before it was sent on."""
        try:
            return self._known(job_id)
        except NotFoundError:  # what has its id is a refusal, or has expired
            return Outcome(what=REFUSED, job_id=job_id)

    def _known(self, job_id: str) -> Outcome:
        job = self.pipeline.requests.revive(self.pipeline.jobs.get(job_id))
        if self._is_orphan(job):
            self.pipeline.dispatch(job_id)
        return _outcome(job)

    def _is_orphan(self, job: Job) -> bool:
        """Whether a job waits for another that knows nothing of it: who stored it died before it joined."""
        jobs = self.pipeline.jobs
        if job.status is not JobStatus.QUEUED or self.pipeline.clock() - job.created_at_ms < OVERDUE_MS:
            return False
        leader = leader_of(jobs, job)
        return leader.job_id != job.job_id and job.job_id not in jobs.followers(leader)

    def _tenant(self, message: Received, prompt: PromptMessage) -> str:
        """Return whose prompt it is.

        Raises:
            InvalidRequestError: its sender says more than it may.
        """
        role_id = message.sender_id.partition(":")[0]
        if message.queue_arn == self.batch_queue_arn or role_id in self.trusted_senders:
            return prompt.tenant or DEFAULT_TENANT
        for field in ("tenant", "batch_id"):
            if getattr(prompt, field) is not None:
                raise InvalidRequestError(_NOT_TRUSTED, field=field)
        return DEFAULT_TENANT

    def _batch(self, prompt: PromptMessage, tenant: str) -> Batch | None:
        """Return the batch that a prompt is of, if it is of one.

        Raises:
            InvalidRequestError: the tenant has no such batch.
        """
        if prompt.batch_id is None:
            return None
        try:
            batch = self.batches.get(prompt.batch_id)
        except NotFoundError:
            batch = None
        if batch is None or batch.tenant != tenant:
            raise InvalidRequestError("is no batch of the tenant's", field="batch_id")
        return batch

    def _refuse(self, message: Received, prompt: PromptMessage | None, error: Refusal) -> Outcome:
        reason = LineError(code=error.code, message=str(error), field=error.field)
        custom_id = prompt.custom_id if prompt else None
        if (place := self._place(message, prompt)) is not None:
            self.batches.refuse_line(*place, custom_id, reason, sent=True)
        else:
            self.set_aside(message, error)
        if prompt is not None and prompt.reply_to is not None and self._may_reply(prompt):
            refusal = Reply(message_id=message.message_id, custom_id=custom_id, status=REFUSED, error=reason)
            self.reply(prompt.reply_to, refusal)
        return Outcome(what=REFUSED)

    def _may_reply(self, prompt: PromptMessage) -> bool:
        with suppress(InvalidRequestError):
            check_reply_to(prompt.reply_to, self.reply_prefix)
            return True
        return False

    def _place(self, message: Received, prompt: PromptMessage | None) -> tuple[str, int] | None:
        """Return batch and line of a prompt that is truly of a batch."""
        if prompt is None or prompt.batch_id is None or prompt.line is None:
            return None
        try:
            self._batch(prompt, self._tenant(message, prompt))
        except InvalidRequestError:
            return None
        return prompt.batch_id, prompt.line


def _job_id(message: Received, prompt: PromptMessage) -> str:
    if prompt.batch_id is not None and prompt.line is not None:
        return line_job_id(prompt.batch_id, prompt.line)
    return derived_job_id(message.message_id, sha256_hex(message.body.encode("utf-8", "surrogatepass")))


def _outcome(job: Job) -> Outcome:
    return Outcome(what=job.status, job_id=job.job_id, degraded=job.degraded)
