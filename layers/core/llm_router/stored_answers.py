"""What is stored for a question: by its exact words, and by its meaning where the rules let two questions share."""

import re
from collections.abc import Sequence
from typing import Final, Protocol, Self, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from llm_router.cache_entries import CacheEntry, Candidate
from llm_router.errors import StoreError
from llm_router.models import CacheBypass, CacheTier, Job
from llm_router.ports import CacheStore, Clock
from llm_router.prompt import canonicalise

CANDIDATES: Final = 5
_BELOW_FLOOR: Final = "below the floor of the entry"
_NOT_OF_A_CODE: Final = re.compile(r"[^a-z0-9]+")


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


class Place(Struct, frozen=True, kw_only=True):
    """Where answers to a question are stored, and what is found there so far."""

    tenant: str
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
        """Return the place after a part has failed."""
        return replace(self, degraded=(*self.degraded, part))

    @property
    def refusal(self) -> str | None:
        """Return, as a short code, why the nearest candidate was refused; None when one was served or none was near."""
        if self.hit is not None or not self.verdicts:
            return None
        return _NOT_OF_A_CODE.sub("_", self.verdicts[0].reason.lower())


PlaceT = TypeVar("PlaceT", bound=Place)


class StoredAnswers:
    """Looks into places; a failing store or index degrades to nothing found, never to an error."""

    def __init__(self, store: CacheStore, *, threshold: float, clock: Clock, verifier: Verifier | None = None) -> None:
        self._store = store
        self._threshold = threshold
        self._clock = clock
        self._verifier = verifier or ThresholdOnly()

    def look_again(self, job: Job, *, by_meaning: bool) -> Place:
        """Look once more for what has been stored since a request was looked up; `by_meaning` searches the index."""
        place = Place(tenant=job.tenant, namespace=job.namespace, entry_id=job.entry_id, bypass=job.cache_bypass)
        if place.is_open:
            place = self.exact(place)
        if not by_meaning or job.embedding is None or not place.is_open:
            return place
        least = max(self._threshold, job.min_similarity or 0.0)
        return self.semantic(place, canonicalise(job.prompt), job.embedding, least)

    def exact(self, place: PlaceT) -> PlaceT:
        """Return a place with what is stored for the very words of its question."""
        try:
            entry = self._store.get(place.namespace, place.entry_id)
        except StoreError:
            return place.without("cache")
        return replace(place, hit=exact_hit(entry, self._clock()))

    def semantic(self, place: PlaceT, canonical: str, embedding: Sequence[float], least: float) -> PlaceT:
        """Return a place with what is stored for a question of the same meaning, at least so similar."""
        try:
            candidates = self._store.nearest(place.namespace, embedding, CANDIDATES)
        except StoreError:
            return place.without("cache_index")
        if any(each.entry.entry_id == place.entry_id for each in candidates):  # stored since the exact tier was asked?
            place = self.exact(place)
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

    def _objection(self, place: Place, candidate: Candidate) -> str | None:
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
        is_refused = self._store.is_refused(place.tenant, place.entry_id, shown.entry_id)
        return "reported as wrong" if is_refused else None
