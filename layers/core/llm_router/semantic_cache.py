"""Answers a question that was answered before: by its exact words, else by its meaning.

WHO asks and WHAT must be equal are hashed into a namespace; only what the prompt MEANS is compared by vector.
"""

import re
from collections.abc import Sequence
from typing import Final, Protocol, Self

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from llm_router.cache_entries import CacheEntry, Candidate
from llm_router.errors import EmbeddingError, StoreError
from llm_router.freshness import is_time_dependent
from llm_router.models import CacheBypass, CacheTier, Turn
from llm_router.ports import CacheStore, Clock, Embedder
from llm_router.prompt import entry_id, sha256_hex
from llm_router.request_bodies import CacheQuestion
from llm_router.sampling import Sampling

CANDIDATES: Final = 5
_BELOW_FLOOR: Final = "below the floor of the entry"
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

    @classmethod
    def of(cls, candidate: Candidate, refusal: str | None) -> Self:
        """Return what became of a candidate that was refused for a reason, or for none."""
        return cls(
            entry_id=candidate.entry.public_id,
            similarity=candidate.similarity,
            served=refusal is None,
            reason=refusal or "accepted",
        )


class Hit(Struct, frozen=True):
    """A stored answer that may be served."""

    entry: CacheEntry
    tier: CacheTier
    similarity: float


def exact_hit(entry: CacheEntry | None, now_ms: int) -> Hit | None:
    """Return what is stored for the very words of a question; None when it may not be served any more."""
    return Hit(entry, CacheTier.EXACT, 1.0) if entry is not None and entry.is_live(now_ms) else None


class Lookup(Struct, frozen=True, kw_only=True):
    """Outcome of asking the cache, and where an answer to the question belongs."""

    scope: Scope
    namespace: str
    entry_id: str
    bypass: CacheBypass | None = None
    hit: Hit | None = None
    embedding: Sequence[float] | None = None
    verdicts: tuple[Verdict, ...] = ()
    degraded: tuple[str, ...] = ()
    """Parts that failed and made this a miss: `cache`, `embedder`, `cache_index`."""

    @property
    def is_open(self) -> bool:
        """Whether a stored answer is still looked for."""
        return self.hit is None and self.bypass is None and "cache" not in self.degraded

    def without(self, part: str) -> Self:
        """Return the lookup after a part has failed."""
        return replace(self, degraded=(*self.degraded, part))

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
        generation, degraded = self._generation(tenant)
        version = self._embedder.version
        scope = Scope.of(
            question, model, tenant=tenant, generation=generation, embedder_version=version, history=history
        )
        place = Lookup(
            scope=scope,
            namespace=scope.namespace(),
            entry_id=entry_id(canonical),
            bypass=_bypass(canonical, read=read),
            degraded=degraded,
        )
        if place.is_open:
            place = self._exact(place)
        if place.hit is None and place.bypass is not CacheBypass.TIME_DEPENDENT:
            place = self._embed(place, canonical)
        if place.is_open and place.embedding is not None:
            least = max(self._threshold, question.min_similarity or 0.0)
            return self._semantic(place, canonical, place.embedding, least)
        return place

    def again(self, lookup: Lookup) -> Hit | None:
        """Look once more for the exact words of a question that was looked up before."""
        return self._exact(lookup).hit

    def _generation(self, tenant: str) -> tuple[int, tuple[str, ...]]:
        """Return how often the tenant's cache has been cleared, and what failed in finding out."""
        try:
            return self._store.generation(tenant), ()
        except StoreError:
            return 0, ("cache",)

    def _exact(self, place: Lookup) -> Lookup:
        try:
            entry = self._store.get(place.namespace, place.entry_id)
        except StoreError:
            return place.without("cache")
        return replace(place, hit=exact_hit(entry, self._clock()))

    def _embed(self, place: Lookup, canonical: str) -> Lookup:
        """Add the embedding; none where no model is at hand, or where it would not be about all of the text."""
        try:
            seen = self._embedder.sees(canonical)
            return replace(place, embedding=self._embedder.embed(canonical) if seen else None)
        except EmbeddingError:
            return place.without("embedder")

    def _semantic(self, place: Lookup, canonical: str, embedding: Sequence[float], least: float) -> Lookup:
        try:
            candidates = self._store.nearest(place.namespace, embedding, CANDIDATES)
        except StoreError:
            return place.without("cache_index")
        if any(each.entry.entry_id == place.entry_id for each in candidates):  # stored since the exact tier was asked?
            place = self._exact(place)
            if not place.is_open:
                return place
        for candidate in candidates:
            try:
                reason = self._refusal(canonical, candidate, least) or self._objection(place, candidate)
            except StoreError:
                return place.without("cache")
            place = replace(place, verdicts=(*place.verdicts, Verdict.of(candidate, reason)))
            if reason is None:
                return replace(place, hit=Hit(candidate.entry, CacheTier.SEMANTIC, candidate.similarity))
        return place

    def _refusal(self, canonical: str, candidate: Candidate, least: float) -> str | None:
        """Return why a candidate, as the index shows it, may not be served; the cheapest tests come first."""
        entry, similarity = candidate.entry, candidate.similarity
        if similarity < least:
            return "below the similarity threshold"
        if similarity < entry.similarity_floor:
            return _BELOW_FLOOR
        if not entry.is_live(self._clock()):
            return "expired"
        return self._verifier.refusal(canonical, entry.prompt, similarity)

    def _objection(self, place: Lookup, candidate: Candidate) -> str | None:
        """Return what the table, which the index follows by up to seconds, says against a candidate.

        Raises:
            StoreError: the table cannot be read.
        """
        shown = candidate.entry
        stored = self._store.get(shown.namespace, shown.entry_id)
        if stored is None or stored.created_at_ms != shown.created_at_ms:
            return "removed or replaced"
        if candidate.similarity < stored.similarity_floor:
            return _BELOW_FLOOR
        is_refused = self._store.is_refused(place.scope.tenant, place.entry_id, shown.entry_id)
        return "reported as wrong" if is_refused else None


def _bypass(canonical: str, *, read: bool) -> CacheBypass | None:
    if is_time_dependent(canonical):
        return CacheBypass.TIME_DEPENDENT
    return None if read else CacheBypass.SKIP_CACHE
