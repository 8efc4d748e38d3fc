"""Builds the scheduler and the runner, and runs jobs with them."""

import time
from functools import lru_cache
from typing import Final

from msgspec.structs import replace

from infer.batch_lines import BatchLines, SecondLook
from infer.scheduling import Scheduler
from infer.shadowing import BEFORE_SHADOWS, Shadows
from infer.spare_time import SpareTime, is_wanted
from llm_router import bootstrap
from llm_router.errors import NotFoundError
from llm_router.inference import InferenceRunner
from llm_router.models import Job, Lane
from llm_router.observability import Metric, count, logger, note_failed_job
from llm_router.settings import InferSettings, environment

QUEUE_REQUESTS: Final = 3
"""What a message costs: to send, to receive and to delete."""


@lru_cache
def settings() -> InferSettings:
    """Parse the settings once per environment."""
    return InferSettings.from_env(environment())


@lru_cache
def runner() -> InferenceRunner:
    """Build the runner once per environment."""
    built = bootstrap.inference_runner(settings())
    second_look = SecondLook(
        bootstrap.stored_answers(settings().cache_table, settings().cache_similarity_threshold), bootstrap.now_ms
    )

    def gives_way(job: Job) -> bool:
        return job.lane is Lane.SHADOW and is_wanted(built.jobs, bootstrap.now_ms(), *BEFORE_SHADOWS)

    return replace(built, gives_way=gives_way, look_again=second_look)


@lru_cache
def scheduler() -> Scheduler:
    """Build the scheduler once per environment."""
    return Scheduler(
        jobs=runner().jobs,
        box=bootstrap.ollama(settings()),
        run_job=run_job,
        spare_time=SpareTime(
            jobs=runner().jobs,
            circuit=bootstrap.box_breaker(settings().status_table, settings().box_hours),
            clock=bootstrap.now_ms,
        ),
        clock=bootstrap.now_ms,
        sleep=time.sleep,
        on_error=lambda error: logger().warning("a job was not passed over", exc_info=error),
    )


@lru_cache
def lines() -> BatchLines:
    """Build what knows of cancelled batches, once per environment."""
    return BatchLines(runner().jobs, bootstrap.batch_store(settings().job_table), bootstrap.now_ms)


@lru_cache
def shadows() -> Shadows | None:
    """Build what runs shadows once per environment; None where there are none."""
    if not settings().shadow_model:
        return None
    return Shadows(
        jobs=runner().jobs,
        model=settings().shadow_model,
        daily_limit=settings().shadow_daily_limit,
        run_job=lambda job_id, deadline_ms: runner().run(job_id, deadline_ms=deadline_ms),
        clock=bootstrap.now_ms,
        on_error=lambda error: logger().warning("a shadow was left", exc_info=error),
    )


def handle(job_id: str, deadline_ms: int, *, is_last: bool) -> None:
    """Run the job of a message, then shadows; a job that has expired is forgotten."""
    with bootstrap.tally().running(queue_requests=QUEUE_REQUESTS):
        try:
            scheduler().run(job_id, deadline_ms=deadline_ms, is_last=is_last)
        except NotFoundError:
            logger().warning("job has expired", extra={"job_id": job_id})
        if (shadowing := shadows()) is not None:
            shadowing.run_waiting(job_id, deadline_ms=deadline_ms)


def run_job(job_id: str, deadline_ms: int, *, is_last: bool = False) -> None:
    """Run one job, if it is still wanted, and count what it came to where that is no answer."""
    wanted = lines().wanted(job_id)
    if wanted is None:
        return
    job = runner().run(wanted, deadline_ms=deadline_ms, is_last=is_last)
    if (shadowing := shadows()) is not None:
        shadowing.follow(job)
    if job.escalated:
        logger().warning("job is left to the cloud", extra={"job_id": job_id})
        count(Metric.JOB_ESCALATED)
    if job.failure is not None:
        note_failed_job(job_id, job.failure.code)
