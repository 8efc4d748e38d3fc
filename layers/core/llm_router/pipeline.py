"""The way of every prompt: grade it, look it up, and dispatch what the cache cannot answer."""

from collections.abc import Callable
from contextlib import suppress
from functools import partial

from msgspec import Struct, field
from msgspec.structs import replace

from llm_router.access.allowances import BUDGET, Allowances, LowBudgetError
from llm_router.access.callers import OPERATOR, Caller
from llm_router.accounting.quantities import Quantities
from llm_router.accounting.tally import Tally, unmetered
from llm_router.breaker import Breaker
from llm_router.conversations import Conversations
from llm_router.costs import Costs
from llm_router.errors import ConflictError, ModelUnavailableError, StoreError
from llm_router.fallback import cloud_target, is_cloud
from llm_router.jobs import answer_from_cache, failed, succeeded, usage_record
from llm_router.models import Conversation, Delivery, Failure, Job, Lane, Source, WaitingFunction
from llm_router.outlook import with_expectation
from llm_router.planning import Planner, new_job
from llm_router.ports import Classifier, Clock, Dispatch, JobStore, StatusStore
from llm_router.request_bodies import ChatRequest
from llm_router.requests import Requests
from llm_router.routing import Router
from llm_router.semantic_cache import Lookup, SemanticCache
from llm_router.stored_answers import Hit


class Pipeline(Struct, frozen=True, kw_only=True):
    """Turns requests into jobs: finished ones where the cache answers, queued ones where a model must."""

    classifier: Classifier
    router: Router
    cache: SemanticCache
    conversations: Conversations
    jobs: JobStore
    costs: Costs
    dispatch: Dispatch
    breaker: Breaker
    statuses: StatusStore
    clock: Clock
    new_id: Callable[[], str]
    tally: Tally = field(default_factory=unmetered)
    """What this process uses of the platform."""
    is_inline: bool = False
    """Whether `dispatch` does the work itself, while the caller waits."""
    lane: Lane = Lane.INTERACTIVE
    """Whose jobs `dispatch` takes."""
    allowances: Allowances | None = None
    """What keys may still take; None where nobody has a limit."""
    holder: Caller = OPERATOR
    """Who asks."""

    @property
    def requests(self) -> Requests:
        """What looks after the requests that this pipeline has accepted."""
        return Requests(self.jobs, self.dispatch, self.clock, self.lane)

    def limited_to(self, caller: Caller) -> "Pipeline":
        """Return the way of the prompts of a caller, who may not have more than his key says."""
        return replace(self, router=self.router.limited_to(caller.allowed_models), holder=caller)

    def submit(
        self,
        request: ChatRequest,
        *,
        tenant: str,
        source: Source,
        job_id: str | None = None,
        wait_seconds: float = 0,
        delivery: Delivery = Delivery(),  # noqa: B008 - it is frozen
    ) -> Job:
        """Accept a request and return its job as it stands now; the job gets `job_id`, or a new one.

        `wait_seconds` is how long its caller will wait for the end of the job, at the expense of the function he calls.
        What nobody waits for is left to the box, however long that is down.

        Raises:
            ConflictError: there is a job of this id, or another request of the conversation is on its way.
            InvalidRequestError: the forced model is not configured.
            ForbiddenError: the caller may not have the model.
            ModelUnavailableError: the cache has no answer, the box is known to be down, and there is no cloud.
            RateLimitedError: as many requests of the key are on their way as may be, or its budget is used up.
            StoreError: the job could not be stored or dispatched; nothing was started.
        """
        submitted = partial(
            self._submit, tenant=tenant, source=source, job_id=job_id, wait_seconds=wait_seconds, delivery=delivery
        )
        try:
            return submitted(request)
        except LowBudgetError as low:  # nothing was started
            return submitted(replace(request, force_model=low.cheapest), without=(BUDGET,))

    def _submit(
        self,
        request: ChatRequest,
        *,
        tenant: str,
        source: Source,
        job_id: str | None,
        wait_seconds: float,
        delivery: Delivery,
        without: tuple[str, ...] = (),
    ) -> Job:
        created_at_ms = self.clock()
        job_id = job_id or self.new_id()
        plan = Planner(self.classifier, self.router, self.conversations).plan(tenant, request, job_id)
        lookup = self.cache.lookup(
            tenant,
            request,
            plan.route.model,
            canonical=plan.canonical,
            history=plan.history,
            read=not request.skip_cache,
        )
        job = new_job(
            request,
            plan,
            lookup,
            job_id=job_id,
            tenant=tenant,
            source=source,
            created_at_ms=created_at_ms,
            delivery=delivery,
        )
        job = replace(job, degraded=job.degraded + without)
        if lookup.hit is not None:
            return self._record(self._with_stored_answer(job, lookup.hit), plan.conversation)
        if wait_seconds > 0 and not self.is_inline:
            job = replace(job, waiter=self._waiter(created_at_ms + round(wait_seconds * 1000)))
        if not is_cloud(job.model) and (job.lane is Lane.BATCH or not self._is_box_down(job)):
            return self._start(with_expectation(job, self.statuses), lookup, plan.conversation, self.dispatch)
        answered = self._answer_of_the_cloud(job, request, plan.canonical)
        if answered is not None:
            return self._record(answered, plan.conversation)
        return self._start(job, lookup, plan.conversation, partial(self._escalate, job))

    def _start(self, job: Job, lookup: Lookup, conversation: Conversation | None, send: Dispatch) -> Job:
        """Store a job and have it run, unless an equal one is on its way: then it joins that one."""
        if self.allowances is not None:
            look = self.requests.look_again
            job = self.allowances.take(self.holder, job, look, cheaper=self.router.within_reach(job.prompt_chars))
        job = replace(job, used=self._used(job))
        try:
            with self.conversations.claimed(conversation, job.job_id):
                leads = self.jobs.open(job)
        except ConflictError:  # it was not stored; after a StoreError nobody can tell
            if self.allowances is not None:
                self.allowances.give_back(self.holder, job)
            raise
        if self.allowances is not None:
            self.allowances.note_opened(job)
        if leads:
            return self._lead(job, lookup, send)
        with suppress(StoreError):  # its leader may have ended, and its worker died before telling who joined
            return self.requests.revive(job)
        return job

    def _is_box_down(self, job: Job) -> bool:
        """Tell whether the cloud is to be asked at once.

        Raises:
            ModelUnavailableError: the box is known to be down, and the job has nobody else.
        """
        retry_after_ms = None
        with suppress(StoreError):  # a breaker that cannot be read guards nothing
            retry_after_ms = self.breaker.retry_after_ms()
        if retry_after_ms is not None and cloud_target(job) is None:
            error = ModelUnavailableError("the model server is down or asleep; it is asked again later")
            error.retry_after_ms = retry_after_ms
            raise error
        return retry_after_ms is not None

    def _answer_of_the_cloud(self, job: Job, request: ChatRequest, canonical: str) -> Job | None:
        """Return the job finished with what the cloud answered before in another model's place, if it did."""
        cloud = cloud_target(job)
        if cloud is None or cloud.model == job.model or job.cache_bypass is not None:
            return None
        history = job.history[len(job.history) - cloud.turns :]
        found = self.cache.lookup(job.tenant, request, cloud.model, canonical=canonical, history=history)
        return self._with_stored_answer(job, found.hit, fallback=cloud.model) if found.hit else None

    def _escalate(self, job: Job, _: str) -> None:
        with suppress(ConflictError):  # a worker of the box was looking for something to do
            self.jobs.escalate(job)

    def _lead(self, job: Job, lookup: Lookup, send: Dispatch) -> Job:
        """Run a claimed job, unless the flight before it stored the answer between our look and our claim."""
        if lookup.is_open and (hit := self.cache.again(lookup)) is not None:
            return self._finish(self._with_stored_answer(job, hit))
        try:
            send(job.job_id)
        except StoreError:
            if job.lane is Lane.BATCH:  # its message comes again, and has it dispatched
                raise
            failure = Failure(code=StoreError.code, message="the request could not be queued")
            lost = failed(job, failure, self.clock())
            if (kept := self._finish(lost)) is lost:
                raise
            return kept  # the message arrived all the same, or inline inference failed after the request's end
        return job

    def _with_stored_answer(self, job: Job, hit: Hit, *, fallback: str | None = None) -> Job:
        now_ms = self.clock()
        answer = answer_from_cache(hit, self.costs, now_ms, fallback=fallback)
        return succeeded(replace(job, waiter=None), answer, now_ms)  # nobody waits for what is there

    def _record(self, finished: Job, conversation: Conversation | None) -> Job:
        with self.conversations.claimed(conversation, finished.job_id):
            self.jobs.record(finished, usage_record(finished, used=self._used(finished)))
        return finished

    def _used(self, job: Job) -> Quantities:
        return self.tally.take() + Quantities(gateway_requests=int(job.source is Source.HTTP))

    def _waiter(self, until_ms: int) -> WaitingFunction:
        now_ms = self.clock()
        return WaitingFunction(since_ms=now_ms, waits_ms=max(0, until_ms - now_ms), memory_mb=self.tally.memory_mb)

    def _finish(self, job: Job) -> Job:
        """Write a job's end, and return it, or the job as a worker that was quicker has it."""
        usage = usage_record(replace(job, waiter=None), used=self.tally.take())
        stands = job if self.jobs.finish(job, usage) else self.jobs.get(job.job_id)
        if stands.status.finished:
            self.requests.pass_on(stands)
        return stands
