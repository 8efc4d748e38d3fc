"""What a question leads to before anything is done for it: its grade, its model, and the job it becomes."""

from msgspec import Struct
from msgspec.structs import replace

from llm_router.arms import unit_of
from llm_router.box import answer_limit_tokens, fits
from llm_router.classification import Classification
from llm_router.conversations import Conversations, fitting
from llm_router.errors import PromptTooLongError
from llm_router.fallback import is_cloud
from llm_router.models import CacheBypass, Conversation, Delivery, Job, JobStatus, Lane, Source, Target, Turn, lane_of
from llm_router.ports import Classifier
from llm_router.prompt import canonicalise, sha256_hex
from llm_router.request_bodies import CacheQuestion, ChatRequest
from llm_router.routing import Route, Router
from llm_router.semantic_cache import Lookup


class Plan(Struct, frozen=True, kw_only=True):
    """A question with its grade, its route and its past."""

    canonical: str
    """Canonical form of the question's message."""
    graded: Classification
    route: Route
    conversation: Conversation | None
    """None for a single question."""
    history: tuple[Turn, ...]
    """Earlier turns that the route's model is sent, oldest first."""


class Planner(Struct, frozen=True):
    """Finds out which model a question is meant for, and what this model is to be sent."""

    classifier: Classifier
    router: Router
    conversations: Conversations

    def plan(self, tenant: str, question: CacheQuestion, job_id: str | None = None) -> Plan:
        """Return the plan of a question, as the request `job_id` finds its conversation.

        Raises:
            ConflictError: another request of the conversation is on its way.
            UnknownModelError: the forced model is not configured.
            PromptTooLongError: nobody who may answer is likely to hold the turns that the caller brings.
            ForbiddenError: the caller may not have the model.
            StoreError: the conversation could not be read.
        """
        canonical = canonicalise(question.message)
        graded = self.classifier.classify(canonical)
        unit = unit_of(tenant, question.conversation_id)
        if question.force_tier is not None:
            graded = replace(graded, complexity=question.force_tier)
        route = self.router.route(graded.complexity, question.chars, question.force_model, unit=unit)
        refuse_too_long(question, route)
        conversation = self.conversations.read(tenant, question.conversation_id, job_id)
        return Plan(
            canonical=canonical,
            graded=graded,
            route=route,
            conversation=conversation,
            history=fitting(conversation.turns, route.model, question) if conversation else question.history,
        )


def refuse_too_long(question: CacheQuestion, route: Route) -> None:
    """Refuse turns that the caller brings where nobody on the route is likely to hold them.

    A message alone is bounded, and the box says itself when it cannot hold one.

    Raises:
        PromptTooLongError: the turns are too long.
    """
    if question.history and not route.fallbacks and not is_cloud(route.model) and not fits(route.model, question.chars):
        raise PromptTooLongError("The messages are longer than the model's context.")


def new_job(
    request: ChatRequest,
    plan: Plan,
    lookup: Lookup,
    *,
    job_id: str,
    tenant: str,
    source: Source,
    created_at_ms: int,
    delivery: Delivery,
) -> Job:
    """Return the job of a request that was looked up in the cache; it waits, whatever was found."""
    model = plan.route.model
    no_store = request.no_store or lookup.bypass is CacheBypass.TIME_DEPENDENT
    return Job(
        job_id=job_id,
        tenant=tenant,
        status=JobStatus.QUEUED,
        source=source,
        created_at_ms=created_at_ms,
        complexity=plan.graded.complexity,
        model=model,
        arm=plan.route.arm,
        prompt=request.message,
        system_prompt=request.system_prompt,
        history=plan.history,
        max_tokens=request.max_tokens or answer_limit_tokens(model),
        temperature=request.temperature,
        sampling=request.sampling,
        metadata=request.metadata,
        namespace=lookup.namespace,
        entry_id=lookup.entry_id,
        embedding=tuple(lookup.embedding) if lookup.embedding is not None else None,
        flight=None if request.skip_cache else _flight(lookup, plan.route, lane_of(source), no_store=no_store),
        fallbacks=tuple(_fallback(each, lookup, request) for each in plan.route.fallbacks),
        cache_bypass=lookup.bypass,
        min_similarity=request.min_similarity,
        no_store=no_store,
        cache_ttl_hours=request.cache_ttl_hours,
        degraded=(*lookup.degraded, *plan.graded.missing_parts),
        refusal=lookup.refusal,
        delivery=delivery,
    )


def _fallback(model: str, lookup: Lookup, request: ChatRequest) -> Target:
    history = fitting(lookup.scope.history, model, request)
    return Target(
        model=model,
        namespace=replace(lookup.scope, model=model, history=history).namespace(),
        max_tokens=request.max_tokens or answer_limit_tokens(model),
        turns=len(history),
    )


def _flight(lookup: Lookup, route: Route, lane: Lane, *, no_store: bool) -> str:
    """Return the fingerprint of equal requests.

    Those that must leave no entry join only each other, and so do those that the same fallbacks may answer. Who waits
    does not join a request that gives way to him.
    """
    return sha256_hex(f"{lookup.namespace}/{lookup.entry_id}/{no_store}/{route.fallbacks}/{lane}".encode())
