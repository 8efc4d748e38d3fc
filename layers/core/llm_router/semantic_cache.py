"""Answers a question that was answered before: by its exact words, else by its meaning.

WHO asks and WHAT must be equal are hashed into a namespace; only what the prompt MEANS is compared by vector.
"""

from typing import Self

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from llm_router.errors import EmbeddingError, StoreError
from llm_router.freshness import is_time_dependent
from llm_router.models import CacheBypass, Turn
from llm_router.ports import CacheStore, Clock, Embedder
from llm_router.prompt import entry_id, sha256_hex
from llm_router.request_bodies import CacheQuestion
from llm_router.sampling import Sampling
from llm_router.stored_answers import Hit, Place, StoredAnswers, Verifier


class Scope(Struct, frozen=True, kw_only=True, array_like=True):
    """Everything that must be equal before an answer may be shared."""

    tenant: str
    generation: int
    embedder_version: str
    model: str
    system_prompt: str | None
    conversation_id: str | None
    history: tuple[Turn, ...]
    temperature: float | None
    max_tokens: int | None
    sampling: Sampling

    @classmethod
    def of(
        cls,
        question: CacheQuestion,
        model: str,
        *,
        tenant: str,
        generation: int,
        embedder_version: str,
        history: tuple[Turn, ...],
    ) -> Self:
        """Return the scope of a question that `model` would be asked, with `history` before it."""
        return cls(
            tenant=tenant,
            generation=generation,
            embedder_version=embedder_version,
            model=model,
            system_prompt=question.system_prompt,
            conversation_id=question.conversation_id,
            history=history,
            # Adding zero makes -0.0 the same as 0.0.
            temperature=None if question.temperature is None else question.temperature + 0.0,
            max_tokens=question.max_tokens,
            sampling=question.sampling,
        )

    def namespace(self) -> str:
        """Return the partition of the cache for this scope, a hash that tells nothing about it."""
        return sha256_hex(msgspec.json.encode(self))


class Lookup(Place, frozen=True, kw_only=True):
    """Outcome of asking the cache, and where an answer to the question belongs."""

    scope: Scope


class SemanticCache(StoredAnswers):
    """Looks questions up; a failing store, index or embedder degrades to a miss, never to an error."""

    def __init__(
        self,
        store: CacheStore,
        embedder: Embedder,
        *,
        threshold: float,
        clock: Clock,
        verifier: Verifier | None = None,
    ) -> None:
        super().__init__(store, threshold=threshold, clock=clock, verifier=verifier)
        self._embedder = embedder

    @property
    def embedder_version(self) -> str:
        """Which vectors this cache compares."""
        return self._embedder.version

    def lookup(
        self,
        tenant: str,
        question: CacheQuestion,
        model: str,
        *,
        canonical: str,
        history: tuple[Turn, ...] = (),
        read: bool = True,
    ) -> Lookup:
        """Find a stored answer for a question that `model` would be asked.

        `canonical` is the canonical form of the question's message, `history` what the model would be sent before it.
        With `read` false nothing is answered, but the result still says where the answer is to be stored. An answer
        that depends on the time is neither given nor to be stored.
        """
        generation, degraded = self._generation(tenant)
        version = self._embedder.version
        scope = Scope.of(
            question, model, tenant=tenant, generation=generation, embedder_version=version, history=history
        )
        place = Lookup(
            tenant=tenant,
            scope=scope,
            namespace=scope.namespace(),
            entry_id=entry_id(canonical),
            bypass=_bypass(canonical, read=read),
            degraded=degraded,
        )
        if place.is_open:
            place = self.exact(place)
        if place.hit is None and place.bypass is not CacheBypass.TIME_DEPENDENT:
            place = self._embed(place, canonical)
        if place.is_open and place.embedding is not None:
            least = max(self._threshold, question.min_similarity or 0.0)
            return self.semantic(place, canonical, place.embedding, least)
        return place

    def again(self, lookup: Lookup) -> Hit | None:
        """Look once more for the exact words of a question that was looked up before."""
        return self.exact(lookup).hit

    def _generation(self, tenant: str) -> tuple[int, tuple[str, ...]]:
        """Return how often the tenant's cache has been cleared, and what failed in finding out."""
        try:
            return self._store.generation(tenant), ()
        except StoreError:
            return 0, ("cache",)

    def _embed(self, place: Lookup, canonical: str) -> Lookup:
        """Add the embedding; none where no model is at hand, or where it would not be about all of the text."""
        try:
            seen = self._embedder.sees(canonical)
            return replace(place, embedding=self._embedder.embed(canonical) if seen else None)
        except EmbeddingError:
            return place.without("embedder")


def _bypass(canonical: str, *, read: bool) -> CacheBypass | None:
    if is_time_dependent(canonical):
        return CacheBypass.TIME_DEPENDENT
    return None if read else CacheBypass.SKIP_CACHE
