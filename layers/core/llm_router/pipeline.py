"""The way of every prompt: grade it, look it up, and dispatch what the cache cannot answer."""

from collections.abc import Callable
from contextlib import suppress
from functools import partial

from msgspec import Struct
from msgspec.structs import replace

from llm_router.arms import unit_of
from llm_router.box import answer_limit_tokens
from llm_router.breaker import Breaker
from llm_router.conversations import Conversations, fitting
from llm_router.costs import Costs
from llm_router.errors import ConflictError, ModelUnavailableError, StoreError
from llm_router.fallback import cloud_target, is_cloud
from llm_router.jobs import answer_from_cache, failed, settle, succeeded, usage_record
from llm_router.models import CacheBypass, ChatRequest, Failure, Job, JobStatus, Source, Target
from llm_router.ports import Classifier, Clock, Conversation, Dispatch, JobStore, StatusStore
from llm_router.prompt import canonicalise, sha256_hex
from llm_router.requests import Requests
from llm_router.routing import Route, Router
from llm_router.semantic_cache import Hit, Lookup, SemanticCache


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

    def submit(self, request: ChatRequest, *, tenant: str, source: Source, job_id: str | None = None) -> Job:
        """Accept a request and return its job as it stands now; the job gets `job_id`, or a new one.

        Raises:
            ConflictError: there is a job of this id, or another request of the conversation is on its way.
            InvalidRequestError: the forced model is not configured.
            ModelUnavailableError: the cache has no answer, the box is known to be down, and there is no cloud.
            StoreError: the job could not be stored or dispatched; nothing was started.
        """
        created_at_ms = self.clock()
        job_id = job_id or self.new_id()
        canonical = canonicalise(request.message)
        graded = self.classifier.classify(canonical)
        unit = unit_of(tenant, request.conversation_id)
        route = self.router.route(graded.complexity, request.chars, request.force_model, unit=unit)
        model = route.model
        conversation = self.conversations.read(tenant, request.conversation_id, job_id)
        history = fitting(conversation.turns, model, request) if conversation else ()
        lookup = self.cache.lookup(
            tenant, request, model, canonical=canonical, history=history, read=not request.skip_cache
        )
        no_store = request.no_store or lookup.bypass is CacheBypass.TIME_DEPENDENT
        job = Job(
            job_id=job_id,
            tenant=tenant,
            status=JobStatus.QUEUED,
            source=source,
            created_at_ms=created_at_ms,
            complexity=graded.complexity,
            model=model,
            arm=route.arm,
            prompt=request.message,
            system_prompt=request.system_prompt,
            history=history,
            max_tokens=request.max_tokens or answer_limit_tokens(model),
            temperature=request.temperature,
            namespace=lookup.namespace,
            entry_id=lookup.entry_id,
            embedding=tuple(lookup.embedding) if lookup.embedding is not None else None,
            flight=None if request.skip_cache else _flight(lookup, route, no_store=no_store),
            fallbacks=tuple(self._fallback(each, lookup, request) for each in route.fallbacks),
            cache_bypass=lookup.bypass,
            no_store=no_store,
            cache_ttl_hours=request.cache_ttl_hours,
            degraded=(*lookup.degraded, *graded.missing_parts),
            refusal=lookup.refusal,
        )
        if lookup.hit is not None:
            return self._record(self._with_stored_answer(job, lookup.hit), conversation)
        send = self.dispatch
        if is_cloud(model) or self._is_box_down(job):
            if (hit := self._answer_of_the_cloud(job, request, canonical)) is not None:
                return self._record(hit, conversation)
            send = partial(self._escalate, job)
        else:
            expected_ms, load_ms = self._expectation(job)
            job = replace(job, expected_ms=expected_ms, expected_load_ms=load_ms)
        with self.conversations.claimed(conversation, job_id):
            leads = self.jobs.open(job)
        if leads:
            return self._lead(job, lookup, send)
        with suppress(StoreError):  # its leader may have ended, and its worker died before telling who joined
            return Requests(self.jobs, self.dispatch, self.clock).revive(job)
        return job

    def _fallback(self, model: str, lookup: Lookup, request: ChatRequest) -> Target:
        history = fitting(lookup.scope.history, model, request)
        return Target(
            model=model,
            namespace=replace(lookup.scope, model=model, history=history).namespace(),
            max_tokens=request.max_tokens or answer_limit_tokens(model),
            turns=len(history),
        )

    def _is_box_down(self, job: Job) -> bool:
        """Tell whether the cloud is to be asked at once.

        Raises:
            ModelUnavailableError: the box is known to be down, and the job has nobody else.
        """
        retry_after_ms = None
        with suppress(StoreError):  # a breaker that cannot be read guards nothing
            retry_after_ms = self.breaker.retry_after_ms()
        if retry_after_ms is not None and cloud_target(job) is None:
            error = ModelUnavailableError("the model server is down; it is tried again from time to time")
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

    def _expectation(self, job: Job) -> tuple[int | None, int]:
        """Return how long the model will take once it is begun, and how much of that is loading it."""
        with suppress(StoreError):  # without figures the caller waits as long as it said
            pace = self.statuses.pace(job.model)
            if pace is not None:
                resident = self._is_resident(job.model, used_at_ms=pace.learned_at_ms)
                work = {"prompt_chars": job.prompt_chars, "max_tokens": job.max_tokens}
                ready_ms = pace.expected_ms(**work, resident=True)
                expected_ms = pace.expected_ms(**work, resident=resident)
                return expected_ms, (expected_ms or 0) - (ready_ms or 0)
        return None, 0

    def _is_resident(self, model: str, *, used_at_ms: int) -> bool:
        sighting = self.statuses.box()
        if sighting is None or sighting.checked_at_ms < used_at_ms:
            return True  # who answered since the last look has stayed in memory
        return sighting.state is not None and sighting.state.is_resident(model)

    def _lead(self, job: Job, lookup: Lookup, send: Dispatch) -> Job:
        """Run a claimed job, unless the flight before it stored the answer between our look and our claim."""
        if job.cache_bypass is None and "cache" not in job.degraded and (hit := self.cache.again(lookup)):
            return self._finish(self._with_stored_answer(job, hit))
        try:
            send(job.job_id)
        except StoreError:
            failure = Failure(code=StoreError.code, message="the request could not be queued")
            ended = self._finish(failed(job, failure, self.clock()))
            if ended.answer is None:
                raise
            return ended  # inline inference answered it, and only what comes after the answer failed
        return job

    def _with_stored_answer(self, job: Job, hit: Hit, *, fallback: str | None = None) -> Job:
        return succeeded(job, answer_from_cache(hit, self.costs, fallback=fallback), self.clock())

    def _record(self, finished: Job, conversation: Conversation | None) -> Job:
        with self.conversations.claimed(conversation, finished.job_id):
            self.jobs.record(finished, usage_record(finished))
        return finished

    def _finish(self, job: Job) -> Job:
        ended = job if self.jobs.finish(job, usage_record(job)) else self.jobs.get(job.job_id)
        settle(self.jobs, ended, self.clock)
        return ended


def _flight(lookup: Lookup, route: Route, *, no_store: bool) -> str:
    """Return the fingerprint of equal requests.

    Those that must leave no entry join only each other, and so do those that the same fallbacks may answer.
    """
    return sha256_hex(f"{lookup.namespace}/{lookup.entry_id}/{no_store}/{route.fallbacks}".encode())
