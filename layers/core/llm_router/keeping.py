"""Which answers the cache keeps, where, and for how long."""

from typing import Final

from llm_router.cache_entries import CacheEntry
from llm_router.fallback import is_cloud, targets
from llm_router.models import Answer, Job
from llm_router.prompt import canonicalise

MS_PER_HOUR: Final = 3_600_000


def home(job: Job, answer: Answer) -> str | None:
    """Return the partition of the cache that takes a job's answer; None where none does.

    That is when its caller forbids it, when the answer came from there, when it is cut or empty and must not be given
    twice, or when the fallback of a request that was cancelled answered one that had joined it, and has no such.
    """
    if job.no_store or answer.tier is not None or answer.done_reason != "stop" or not answer.text.strip():
        return None
    asked = answer.fallback or job.model
    if is_cloud(asked) != is_cloud(answer.model):
        return None
    return {target.model: target.namespace for target in targets(job)}.get(asked)


def entry_of(job: Job, ttl_hours: float) -> CacheEntry | None:
    """Return the cache entry of a finished job's answer, to be served for `ttl_hours`, or less as its caller wants it.

    None when there is no answer that the cache takes.
    """
    answer = job.answer
    namespace = home(job, answer) if answer else None
    if answer is None or namespace is None or job.finished_at_ms is None:
        return None
    ttl_hours = min(ttl_hours, job.cache_ttl_hours or ttl_hours)
    return CacheEntry(
        tenant=job.tenant,
        namespace=namespace,
        entry_id=job.entry_id,
        prompt=canonicalise(job.prompt),
        answer=answer.text,
        model=answer.model,
        input_tokens=answer.input_tokens,
        output_tokens=answer.output_tokens,
        # By its beginning: of two generations for one question the later one knows more, however long it took.
        created_at_ms=job.created_at_ms if job.started_at_ms is None else job.started_at_ms,
        expires_at=int((job.finished_at_ms + ttl_hours * MS_PER_HOUR) // 1000),
    )
