"""Builds the runner of the cloud, and runs one job with it."""

from functools import lru_cache

from llm_router import bootstrap
from llm_router.errors import ConflictError, NotFoundError
from llm_router.inference import InferenceRunner
from llm_router.observability import logger, note_failed_job
from llm_router.settings import InferCloudSettings, environment


@lru_cache
def runner() -> InferenceRunner:
    """Build the runner once per environment."""
    return bootstrap.cloud_runner(InferCloudSettings.from_env(environment()))


def run_job(job_id: str, deadline_ms: int) -> None:
    """Run a job; one that has expired, or that somebody else runs, is left alone."""
    try:
        with bootstrap.tally().running():
            job = runner().run(job_id, deadline_ms=deadline_ms)
    except (ConflictError, NotFoundError) as error:
        logger().info("job is not to be run", extra={"job_id": job_id, "code": error.code})
        return
    if job.failure is not None:
        note_failed_job(job_id, job.failure.code)
