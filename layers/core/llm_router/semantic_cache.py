"""Answers a question that was answered before: by its exact words, else by its meaning.

WHO asks and WHAT must be equal are hashed into a namespace; only what the prompt MEANS is compared by vector.
"""

import re
from collections.abc import Sequence
from typing import Final, Protocol

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from llm_router.errors import EmbeddingError, StoreError
from llm_router.freshness import is_time_dependent
from llm_router.models import CacheBypass, CacheQuestion, CacheTier, Turn
from llm_router.ports import CacheEntry, CacheStore, Candidate, Clock, Embedder
from llm_router.prompt import entry_id, sha256_hex

CANDIDATES: Final = 5
MS_PER_HOUR: Final = 3_600_000
_NOT_OF_A_CODE: Final = re.compile(r"[^a-z0-9]+")


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

    def namespace(self) -> str:
        """Return the partition of the cache for this scope, a hash that tells nothing about it."""
        return sha256_hex(msgspec.json.encode(self))


class Verifier(Protocol):
    """Decides whether two prompts that are near in meaning may share an answer."""

    def refusal(self, asked: str, answered: str, similarity: float) -> str | None:
        """Return why the stored answer must not be served, or None when it may."""


class ThresholdOnly:
    """The verifier that trusts the similarity threshold alone."""

    def refusal(self, asked: str, answered: str, similarity: float) -> str | None:  # noqa: ARG002 - the protocol's
        """Refuse nothing."""
        return None


class Verdict(Struct, frozen=True, kw_only=True):
    """What became of one candidate of the semantic tier."""

    entry_id: str
    """The entry as `DELETE /api/v1/cache/{entry_id}` names it."""
    similarity: float
    served: bool
    reason: str


class Hit(Struct, frozen=True):
    """A stored answer that may be served."""

    entry: CacheEntry
    tier: CacheTier
    similarity: float


class Lookup(Struct, frozen=True, kw_only=True):
    """Outcome of asking the cache, and where an answer to the question belongs."""

    scope: Scope
    namespace: str
    entry_id: str
    generation: int
    """How often the tenant's cache has been cleared."""
    bypass: CacheBypass | None = None
    hit: Hit | None = None
    embedding: Sequence[float] | None = None
    verdicts: tuple[Verdict, ...] = ()
    degraded: tuple[str, ...] = ()
    """Parts that failed and made this a miss: `cache`, `embedder`, `cache_index`."""

    @property
    def refusal(self) -> str | None:
        """Return, as a short code, why the nearest candidate was refused; None when one was served or none was near."""
        if self.hit is not None or not self.verdicts:
            return None
        return _NOT_OF_A_CODE.sub("_", self.verdicts[0].reason.lower())


class SemanticCache:
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
        self._store = store
        self._embedder = embedder
        self._threshold = threshold
        self._clock = clock
        self._verifier = verifier or ThresholdOnly()

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
        bypass = None if read else CacheBypass.SKIP_CACHE
        if is_time_dependent(canonical):
            bypass = CacheBypass.TIME_DEPENDENT
        degraded: list[str] = []
        generation = self._generation(tenant, degraded)
        scope = Scope(
            tenant=tenant,
            generation=generation,
            embedder_version=self._embedder.version,
            model=model,
            system_prompt=question.system_prompt,
            conversation_id=question.conversation_id,
            history=history,
            # Adding zero makes -0.0 the same as 0.0.
            temperature=None if question.temperature is None else question.temperature + 0.0,
            max_tokens=question.max_tokens,
        )
        place = Lookup(
            scope=scope,
            namespace=scope.namespace(),
            entry_id=entry_id(canonical),
            generation=generation,
            bypass=bypass,
        )
        if bypass is None and not degraded:
            place = self._exact(place, degraded)
        if place.hit is not None or bypass is CacheBypass.TIME_DEPENDENT:
            return replace(place, degraded=tuple(degraded))
        embedding = self._embed(canonical, degraded)
        missed = replace(place, embedding=embedding, degraded=tuple(degraded))
        if bypass is not None or embedding is None or "cache" in degraded:
            return missed
        return self._semantic(missed, canonical, embedding, question.min_similarity or 0.0)

    def again(self, lookup: Lookup) -> Hit | None:
        """Look once more for the exact words of a question that was looked up before."""
        return self._exact(lookup, [], consistent=True).hit

    def _exact(self, place: Lookup, degraded: list[str], *, consistent: bool = False) -> Lookup:
        try:
            entry = self._store.get(place.namespace, place.entry_id, consistent=consistent)
        except StoreError:
            degraded.append("cache")
            return place
        if entry is None or not self._live(entry):
            return place
        return replace(place, hit=Hit(entry, CacheTier.EXACT, 1.0))

    def _semantic(self, missed: Lookup, canonical: str, embedding: Sequence[float], min_similarity: float) -> Lookup:
        try:
            candidates = self._store.nearest(missed.namespace, embedding, CANDIDATES)
        except StoreError:
            return replace(missed, degraded=(*missed.degraded, "cache_index"))
        own = next((each.entry for each in candidates if each.entry.entry_id == missed.entry_id), None)
        if own is not None and self._live(own):  # stored since the exact tier was asked
            return replace(missed, hit=Hit(own, CacheTier.EXACT, 1.0))
        verdicts: list[Verdict] = []
        for candidate in candidates:
            try:
                reason = self._refusal(candidate, canonical, min_similarity)
                reason = reason or self._complaint(candidate, missed.entry_id)
            except StoreError:
                return replace(missed, verdicts=tuple(verdicts), degraded=(*missed.degraded, "cache"))
            verdicts.append(
                Verdict(
                    entry_id=candidate.entry.public_id,
                    similarity=candidate.similarity,
                    served=reason is None,
                    reason=reason or "accepted",
                )
            )
            if reason is None:
                hit = Hit(candidate.entry, CacheTier.SEMANTIC, candidate.similarity)
                return replace(missed, hit=hit, verdicts=tuple(verdicts))
        return replace(missed, verdicts=tuple(verdicts))

    def _refusal(self, candidate: Candidate, canonical: str, min_similarity: float) -> str | None:
        """Return why a candidate may not be served; the threshold comes first because it is the cheapest test."""
        entry, similarity = candidate.entry, candidate.similarity
        if similarity < max(self._threshold, min_similarity):
            return "below the similarity threshold"
        if similarity < entry.similarity_floor:
            return "below the floor of the entry"
        if not self._live(entry):
            return "expired"
        return self._verifier.refusal(canonical, entry.prompt, similarity)

    def _complaint(self, candidate: Candidate, asked: str) -> str | None:
        """Return that somebody called this pair wrong; the last test, because it is the only one that reads a table."""
        entry = candidate.entry
        return "reported as wrong" if self._store.is_refused(entry.namespace, asked, entry.entry_id) else None

    def _live(self, entry: CacheEntry) -> bool:
        """Tell whether an entry may still be served; DynamoDB deletes expired items only after hours."""
        return entry.expires_at * 1000 > self._clock()

    def _generation(self, tenant: str, degraded: list[str]) -> int:
        try:
            return self._store.generation(tenant)
        except StoreError:
            degraded.append("cache")
            return 0

    def _embed(self, canonical: str, degraded: list[str]) -> Sequence[float] | None:
        """Return the embedding; None where none is at hand, or where it would not be about all of the text."""
        try:
            return self._embedder.embed(canonical) if self._embedder.sees(canonical) else None
        except EmbeddingError:
            degraded.append("embedder")
            return None
