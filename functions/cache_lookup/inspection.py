"""Looks into the cache on a caller's behalf, counts what is in it, and takes things out."""

import re
from collections.abc import Mapping
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from llm_router.access.callers import Caller
from llm_router.accounting.rollups import REFUSED, recent, total
from llm_router.cache_entries import Census
from llm_router.cache_responses import CacheStatusResponse, CacheUse, ClearedResponse, EvictedResponse, LookupResponse
from llm_router.costs import usd
from llm_router.errors import NotFoundError, StoreError
from llm_router.planning import Planner
from llm_router.ports import CacheStore, Clock, RollupStore
from llm_router.request_bodies import CacheQuestion
from llm_router.semantic_cache import SemanticCache

_PROBE = CacheQuestion(message="Does the semantic tier work?")
STATS_DAYS: Final = 7
_PUBLIC_ID: Final = re.compile(r"([0-9a-f]{64})\.([0-9a-f]{64})")
_REPORTED: Final = ("exact", "semantic", "generated")


class Inspector(Struct, frozen=True, kw_only=True):
    """Asks the cache what the chat function would ask it."""

    cache: SemanticCache
    planner: Planner
    store: CacheStore
    rollups: RollupStore
    clock: Clock
    threshold: float
    ttl_hours: float

    def lookup(self, caller: Caller, question: CacheQuestion) -> LookupResponse:
        """Return what the cache would answer, and the candidates it weighed.

        Raises:
            InvalidRequestError: the forced model is not configured.
            ForbiddenError: the caller may not have the model.
            ConflictError: a request of the conversation is on its way.
            StoreError: the conversation could not be read.
        """
        planner = replace(self.planner, router=self.planner.router.limited_to(caller.allowed_models))
        plan = planner.plan(caller.tenant, question)
        found = self.cache.lookup(
            caller.tenant, question, plan.route.model, canonical=plan.canonical, history=plan.history
        )
        hit = found.hit
        return LookupResponse(
            hit=hit is not None,
            cache_tier=hit.tier if hit else None,
            cache_similarity=round(hit.similarity, 6) if hit else None,
            cache_bypass=found.bypass,
            cache_entry_id=hit.entry.public_id if hit else None,
            response=hit.entry.answer if hit else None,
            model_used=hit.entry.model if hit else None,
            candidates=found.verdicts,
            degraded=(*found.degraded, *plan.graded.missing_parts),
        )

    def stats(self, tenant: str) -> CacheStatusResponse:
        """Return the cache's settings, its size, what it did of late, and whether a search works right now.

        Raises:
            StoreError: the counters cannot be read.
        """
        probe = self.cache.lookup(tenant, _PROBE, "none", canonical=_PROBE.message)
        census = self._census(tenant)
        oldest_ms = census.oldest_created_at_ms if census else None
        return CacheStatusResponse(
            similarity_threshold=self.threshold,
            ttl_hours=self.ttl_hours,
            embedder_version=self.cache.embedder_version,
            generation=probe.scope.generation,
            entries=census.entries if census else None,
            entries_complete=census is not None and census.complete,
            oldest_entry_age_seconds=None if oldest_ms is None else (self.clock() - oldest_ms) // 1000,
            use=self._use(tenant),
            degraded=probe.degraded,
        )

    def clear(self, tenant: str) -> ClearedResponse:
        """Let no question of the tenant's find an answer that is stored now."""
        generation = self.store.clear(tenant, self.clock())
        effect = "No answer stored before is found any more; each is deleted when its time to live ends."
        return ClearedResponse(generation=generation, effect=effect)

    def evict(self, tenant: str, public_id: str) -> EvictedResponse:
        """Remove one entry.

        Raises:
            NotFoundError: there is no such entry, or no more, or it is another tenant's.
        """
        parts = _PUBLIC_ID.fullmatch(public_id)
        if parts is None or not self.store.evict(tenant, parts[1], parts[2], self.clock()):
            raise NotFoundError("no such entry")
        return EvictedResponse(entry_id=public_id)

    def _census(self, tenant: str) -> Census | None:
        try:
            return self.store.census(tenant, self.clock())
        except StoreError:
            return None  # `entries` says so

    def _use(self, tenant: str) -> CacheUse:
        days, rows = recent(self.rollups, tenant, STATS_DAYS, self.clock())
        sums = total(row.counters for row in rows)
        return CacheUse(
            first_day=days[0],
            last_day=days[-1],
            exact_hits=sums["exact_hits"],
            semantic_hits=sums["semantic_hits"],
            joined_requests=sums["joined_requests"],
            misses=sums["generated_requests"],
            refusals={name.removeprefix(REFUSED): sums[name] for name in sorted(sums) if name.startswith(REFUSED)},
            wrong_reports=_reports(sums, "wrong"),
            right_reports=_reports(sums, "right"),
            estimated_savings=usd(sums["hit_baseline_nano_usd"]),
        )


def _reports(sums: Mapping[str, int], verdict: str) -> dict[str, int]:
    return {origin: sums[f"{verdict}_{origin}_reports"] for origin in _REPORTED}
