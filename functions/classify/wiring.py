"""Builds the graders, and what counts the requests of keys."""

from functools import lru_cache

from classify.grading import Grading
from llm_router import bootstrap
from llm_router.access.rate_limiting import RateLimiter
from llm_router.classification import Grader, LearnedClassifier, RuleClassifier
from llm_router.routing import Router
from llm_router.settings import ClassifySettings, environment


@lru_cache
def settings() -> ClassifySettings:
    """Parse the settings once per environment."""
    return ClassifySettings.from_env(environment())


@lru_cache
def limiter() -> RateLimiter:
    """Build what counts the requests of keys, once per environment."""
    return bootstrap.rate_limiter(settings().limit_table)


@lru_cache
def grading() -> Grading:
    """Build the graders and the router once per environment."""
    return Grading(
        {
            Grader.RULES: RuleClassifier(),
            Grader.LEARNED: LearnedClassifier(bootstrap.embedder(settings()).embed, bias=settings().routing_bias),
        },
        Grader(settings().classifier),
        Router.from_settings(settings(), bootstrap.today()),
    )
