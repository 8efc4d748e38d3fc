"""Builds the scheduler and the runner, and runs jobs with them."""

import time
from functools import lru_cache

from infer.scheduling import Scheduler
from llm_router import bootstrap
from llm_router.errors import NotFoundError
from llm_router.inference import InferenceRunner
from llm_router.observability import count, logger
from llm_router.settings import InferSettings, environment


@lru_cache
def runner() -> InferenceRunner:
    """Build the runner once per environment."""
    return bootstrap.inference_runner(InferSettings.from_env(environment()))


@lru_cache
def scheduler() -> Scheduler:
    """Build the scheduler once per environment."""
    return Scheduler(
        jobs=runner().jobs,
        box=bootstrap.ollama(InferSettings.from_env(environment()).ollama_base_url),
        run_job=run_job,
        clock=bootstrap.now_ms,
        sleep=time.sleep,
        on_error=lambda error: logger().warning("a job was not passed over", exc_info=error),
    )


def handle(job_id: str, deadline_ms: int, *, is_last: bool) -> None:
    """Run the job of a message; one that has expired is forgotten."""
    try:
        scheduler().run(job_id, deadline_ms=deadline_ms, is_last=is_last)
    except NotFoundError:
        logger().warning("job has expired", extra={"job_id": job_id})


def run_job(job_id: str, deadline_ms: int, *, is_last: bool = False) -> None:
    """Run one job, and count what it came to where that is no answer."""
    job = runner().run(job_id, deadline_ms=deadline_ms, is_last=is_last)
    if job.escalated:
        logger().warning("job is left to the cloud", extra={"job_id": job_id})
        count("JobEscalated")
    if job.failure is not None:
        logger().warning("job failed", extra={"job_id": job_id, "code": job.failure.code})
        count("JobFailed", code=job.failure.code)
