"""Builds what looks into the cache and what takes feedback, and counts feedback."""

from functools import lru_cache

from aws_lambda_powertools.event_handler.api_gateway import BaseRouter

from cache_lookup.complaints import Complaints
from cache_lookup.inspection import Inspector
from llm_router import api, bootstrap
from llm_router.access.rate_limiting import RateLimiter
from llm_router.cache_responses import FeedbackResponse, LookupResponse
from llm_router.observability import Metric, count, count_degraded
from llm_router.planning import Planner
from llm_router.remembering import RememberingEmbedder
from llm_router.request_bodies import CacheQuestion, FeedbackRequest
from llm_router.routing import Router
from llm_router.settings import CacheLookupSettings, environment


@lru_cache
def settings() -> CacheLookupSettings:
    """Parse the settings once per environment."""
    return CacheLookupSettings.from_env(environment())


@lru_cache
def inspector() -> Inspector:
    """Build the inspector once per environment."""
    vectors = RememberingEmbedder(bootstrap.embedder(settings()))
    return Inspector(
        cache=bootstrap.semantic_cache(settings(), vectors),
        planner=Planner(
            bootstrap.classifier(settings(), vectors),
            Router.from_settings(settings(), bootstrap.today()),
            bootstrap.conversations(settings().job_table),
        ),
        store=bootstrap.cache_store(settings().cache_table),
        rollups=bootstrap.rollup_store(settings().rollup_table),
        clock=bootstrap.now_ms,
        threshold=settings().cache_similarity_threshold,
        ttl_hours=settings().cache_ttl_hours,
    )


@lru_cache
def complaints() -> Complaints:
    """Build what takes feedback once per environment."""
    return Complaints(
        jobs=bootstrap.job_store(settings().job_table, settings().usage_table),
        cache=bootstrap.cache_store(settings().cache_table),
        store=bootstrap.feedback_store(settings().cache_table, settings().usage_table),
        clock=bootstrap.now_ms,
    )


@lru_cache
def limiter() -> RateLimiter:
    """Build what counts the requests of keys, once per environment."""
    return bootstrap.rate_limiter(settings().limit_table)


def look_up(app: BaseRouter) -> LookupResponse:
    """Tell what the cache would answer to the current HTTP request, and count what had to be done without."""
    event = app.current_event.raw_event
    question = api.parse_body(event, CacheQuestion)
    api.admit(app, limiter())
    found = inspector().lookup(api.caller_of(event), question)
    count_degraded(found.degraded)
    return found


def take_feedback(tenant: str, said: FeedbackRequest) -> FeedbackResponse:
    """Take what a caller says of an answer, and count it the first time it is said."""
    taken, is_new = complaints().take(tenant, said)
    if is_new:
        count(Metric.FEEDBACK, verdict=taken.verdict, tier=taken.tier or "generated")
    return FeedbackResponse.of(taken)
