"""Builds the runner, and runs one job with it."""

from functools import lru_cache

from llm_router import bootstrap
from llm_router.errors import ConflictError, NotFoundError
from llm_router.inference import InferenceRunner
from llm_router.observability import count, logger
from llm_router.settings import InferSettings, environment


@lru_cache
def runner() -> InferenceRunner:
    """Build the runner once per environment."""
    return bootstrap.inference_runner(InferSettings.from_env(environment()))


def run_job(job_id: str, deadline_ms: int) -> None:
    """Run a job; one that has expired is forgotten."""
    try:
        job = runner().run(job_id, deadline_ms=deadline_ms)
    except NotFoundError:
        logger().warning("job has expired", extra={"job_id": job_id})
        return
    except ConflictError:
        # Whoever holds it has a message of its own, which comes again should it die.
        logger().info("job is in other hands", extra={"job_id": job_id})
        return
    if job.failure is not None:
        logger().warning("job failed", extra={"job_id": job_id, "code": job.failure.code})
        count("JobFailed", code=job.failure.code)
