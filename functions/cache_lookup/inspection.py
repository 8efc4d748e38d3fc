"""Looks into the cache on a caller's behalf."""

from msgspec import Struct

from llm_router.conversations import Conversations, fitting
from llm_router.models import CacheQuestion
from llm_router.ports import Classifier
from llm_router.prompt import canonicalise
from llm_router.responses import CacheStatusResponse, LookupResponse
from llm_router.routing import Router
from llm_router.semantic_cache import SemanticCache

_PROBE = CacheQuestion(message="Does the semantic tier work?")


class Inspector(Struct, frozen=True, kw_only=True):
    """Asks the cache what the chat function would ask it."""

    cache: SemanticCache
    conversations: Conversations
    classifier: Classifier
    router: Router
    threshold: float
    ttl_hours: float

    def lookup(self, tenant: str, question: CacheQuestion) -> LookupResponse:
        """Return what the cache would answer, and the candidates it weighed.

        Raises:
            InvalidRequestError: the forced model is not configured.
            ConflictError: a request of the conversation is on its way.
            StoreError: the conversation could not be read.
        """
        canonical = canonicalise(question.message)
        complexity = self.classifier.classify(canonical).complexity
        model = self.router.route(complexity, question.chars, question.force_model).model
        conversation = self.conversations.read(tenant, question.conversation_id)
        history = fitting(conversation, model, question)
        found = self.cache.lookup(tenant, question, model, canonical=canonical, history=history)
        hit = found.hit
        return LookupResponse(
            hit=hit is not None,
            cache_tier=hit.tier if hit else None,
            cache_similarity=round(hit.similarity, 6) if hit else None,
            cache_bypass=found.bypass,
            response=hit.entry.answer if hit else None,
            model_used=hit.entry.model if hit else None,
            candidates=found.verdicts,
            degraded=found.degraded,
        )

    def stats(self, tenant: str) -> CacheStatusResponse:
        """Return the cache's settings, and whether a search works right now."""
        probe = self.cache.lookup(tenant, _PROBE, "none", canonical=_PROBE.message)
        return CacheStatusResponse(
            similarity_threshold=self.threshold,
            ttl_hours=self.ttl_hours,
            embedder_version=self.cache.embedder_version,
            generation=probe.generation,
            degraded=probe.degraded,
        )
