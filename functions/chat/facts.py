"""Headers that tell a client of the OpenAI-compatible routes what the router did with its request."""

from typing import Final

from llm_router.models import CacheTier, Job

_NANO: Final = 1_000_000_000


def facts(job: Job) -> dict[str, str]:
    """Return the headers of a job, as far as it has come."""
    answer = job.answer
    headers = {
        "x-request-id": job.job_id,
        "x-router-request-id": job.job_id,
        "x-router-complexity": job.complexity.value,
    }
    if answer is None:
        return headers
    missed = "miss" if job.cache_bypass is None else "bypass"
    headers |= {
        "x-router-model": answer.model,
        "x-router-cache": answer.tier.value if answer.tier else missed,
        "x-router-cost-usd": f"{answer.actual_nano_usd // _NANO}.{answer.actual_nano_usd % _NANO:09}",
    }
    if answer.tier is CacheTier.SEMANTIC and answer.similarity is not None:
        headers["x-router-similarity"] = f"{answer.similarity:.6f}"
    return headers
