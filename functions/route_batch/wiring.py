"""Builds what routes prompts that come through queues."""

from functools import lru_cache, partial

from llm_router import bootstrap
from llm_router.adapters.sqs_prompts import SqsSetAside, send_reply_to
from llm_router.models import Lane
from llm_router.observability import Metric, count, logger
from llm_router.settings import RouteBatchSettings, environment
from route_batch.routing import Prompts, Received, Refusal


@lru_cache
def prompts() -> Prompts:
    """Build the router of messages once per environment."""
    settings = RouteBatchSettings.from_env(environment())
    keep = SqsSetAside(bootstrap.sqs(), settings.prompt_dead_letter_queue_url)

    def set_aside(message: Received, error: Refusal) -> None:
        reason = f"{error.field}: {error}" if error.field else str(error)
        # The reason names fields as their sender did, so it stays with the message.
        logger().warning("prompt is set aside", extra={"message_id": message.message_id, "code": error.code})
        count(Metric.PROMPT_SET_ASIDE)
        keep(message.body, message_id=message.message_id, code=error.code, reason=reason)

    dispatch = bootstrap.inference_queue(settings.batch_job_queue_url)
    return Prompts(
        pipeline=bootstrap.pipeline(settings, dispatch, lane=Lane.BATCH),
        batches=bootstrap.batch_store(settings.job_table),
        batch_queue_arn=settings.batch_queue_arn,
        trusted_senders=frozenset(filter(None, map(str.strip, settings.trusted_sender_ids.split(",")))),
        reply_prefix=settings.reply_queue_prefix,
        set_aside=set_aside,
        reply=partial(send_reply_to, bootstrap.sqs()),
    )
