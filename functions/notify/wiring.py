"""Builds what tells of ends."""

from functools import lru_cache

import msgspec

from llm_router import bootstrap
from llm_router.adapters.eventbridge import put_event
from llm_router.adapters.sqs_prompts import send_reply_to
from llm_router.batching.replies import reply_of
from llm_router.jobs import is_set_aside
from llm_router.models import Job
from llm_router.settings import NotifySettings, environment
from notify.completion import Completion


@lru_cache
def completion() -> Completion:
    """Build what announces the ends of batches, once per environment."""
    settings = NotifySettings.from_env(environment())
    return Completion(
        batches=bootstrap.batch_store(settings.job_table),
        rollups=bootstrap.rollup_store(settings.rollup_table),
        announce=lambda detail: put_event(bootstrap.events(), "Batch Completed", msgspec.json.encode(detail).decode()),
        clock=bootstrap.now_ms,
    )


def send_reply(job: Job) -> None:
    """Send the end of a request to the queue that waits for it; what is only set aside has not ended.

    Raises:
        StoreError: the queue did not take it.
    """
    if job.delivery.reply_to is not None and job.status.finished and not is_set_aside(job):
        send_reply_to(bootstrap.sqs(), job.delivery.reply_to, reply_of(job))
