"""POST /api/v1/cache/lookup and GET /api/v1/cache/stats: the semantic cache by itself."""

from functools import lru_cache
from typing import Any

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.utilities.typing import LambdaContext

from cache_lookup.inspection import Inspector
from llm_router import api, bootstrap
from llm_router.classification import RuleClassifier
from llm_router.models import CacheQuestion
from llm_router.observability import count_degraded
from llm_router.routing import Router
from llm_router.settings import CacheLookupSettings, environment, on_lambda

app = api.create_api()


@lru_cache
def inspector() -> Inspector:
    """Build the inspector once per environment."""
    settings = CacheLookupSettings.from_env(environment())
    return Inspector(
        cache=bootstrap.semantic_cache(settings),
        conversations=bootstrap.conversations(settings.job_table),
        classifier=RuleClassifier(),
        router=Router.from_settings(settings),
        threshold=settings.cache_similarity_threshold,
        ttl_hours=settings.cache_ttl_hours,
    )


@app.post("/api/v1/cache/lookup")
def lookup() -> Response[str]:
    """Tell what the cache would answer, without asking a model and without a trace in the bill."""
    event = app.current_event.raw_event
    found = inspector().lookup(api.tenant_of(event), api.parse_body(event, CacheQuestion))
    count_degraded(found.degraded)
    return api.respond(found)


@app.get("/api/v1/cache/stats")
def stats() -> Response[str]:
    """Tell how the cache is set up for the caller's tenant and whether its parts work."""
    return api.respond(inspector().stats(api.tenant_of(app.current_event.raw_event)))


def lambda_handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Serve an HTTP API event."""
    return app.resolve(event, context)


if on_lambda(environment()):
    inspector()
