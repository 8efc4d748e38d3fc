"""Builds the pipeline, and sends a prompt through it."""

import time
from contextlib import suppress
from functools import lru_cache

from aws_lambda_powertools.event_handler.api_gateway import BaseRouter
from msgspec.structs import replace

from chat.waiting import Waiter
from llm_router import api, bootstrap, idempotency
from llm_router.access.callers import Caller
from llm_router.access.rate_limiting import RateLimiter, tokens_wanted
from llm_router.errors import ModelUnavailableError, RateLimitedError, StoreError
from llm_router.idempotency import KeyedRequests
from llm_router.models import Job, Source
from llm_router.observability import count_degraded
from llm_router.outlook import Outlook, outlook
from llm_router.pipeline import Pipeline
from llm_router.request_bodies import ChatRequest
from llm_router.requests import Requests
from llm_router.settings import ChatSettings, environment


@lru_cache
def settings() -> ChatSettings:
    """Parse the settings once per environment."""
    return ChatSettings.from_env(environment())


@lru_cache
def pipeline() -> Pipeline:
    """Build the pipeline once per environment."""
    return bootstrap.pipeline(
        settings(), bootstrap.chat_dispatch(settings()), is_inline=settings().inference_mode == "inline"
    )


def requests() -> Requests:
    """Return what looks after requests on their way."""
    return pipeline().requests


@lru_cache
def keyed_requests() -> KeyedRequests:
    """Build what remembers idempotency keys, once per environment."""
    return KeyedRequests(bootstrap.idempotency_store(settings().job_table), pipeline())


@lru_cache
def limiter() -> RateLimiter:
    """Build what counts the requests of keys, once per environment."""
    return bootstrap.rate_limiter(settings().limit_table)


def ask_over_http(router: BaseRouter, request: ChatRequest, wait_seconds: float) -> Job:
    """Ask for the caller of the current HTTP request, within the limits of his key; see `ask`."""
    event = router.current_event.raw_event
    caller, key = api.caller_of(event), idempotency.key_of(event["headers"])
    admission = api.admit(router, limiter(), tokens_wanted(request))
    try:
        job = ask(request, caller=caller, source=Source.HTTP, wait_seconds=wait_seconds, key=key)
    except (RateLimitedError, ModelUnavailableError):  # nothing was started
        limiter().settle(caller, admission, None)
        raise
    limiter().settle(caller, admission, job)
    return job


def ask(request: ChatRequest, *, caller: Caller, source: Source, wait_seconds: float, key: str | None = None) -> Job:
    """Submit a prompt, once per idempotency key, count what had to be done without, and wait for its job.

    Nobody waits for an answer that is not expected within `wait_seconds` from now.
    """
    arrived_ms = bootstrap.now_ms()
    limited = pipeline().limited_to(caller)
    tenant = caller.tenant
    with bootstrap.tally().running():  # the waiting is known to whoever ends the job
        if key is None:
            job = limited.submit(request, tenant=tenant, source=source, wait_seconds=wait_seconds)
        else:
            keyed = replace(keyed_requests(), pipeline=limited)
            job = keyed.submit(request, tenant=tenant, source=source, key=key, wait_seconds=wait_seconds)
    count_degraded(job.degraded)
    waited = Waiter(pipeline().jobs, bootstrap.now_ms, time.sleep).wait(job, wait_seconds, since_ms=arrived_ms)
    with suppress(StoreError):  # who waited in vain sees to it that somebody is at work; the answer comes either way
        return requests().revive(waited)
    return waited


def outlook_of(job: Job) -> Outlook:
    """Return when a request may be answered."""
    return outlook(pipeline().jobs, job, bootstrap.now_ms())
