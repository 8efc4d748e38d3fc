"""Which answers the cache keeps, and for how long."""

from typing import Final

from llm_router.cache_entries import CacheEntry
from llm_router.fallback import home
from llm_router.models import Answer, Job
from llm_router.prompt import canonicalise

MS_PER_HOUR: Final = 3_600_000


def entry_of(job: Job, ttl_hours: float) -> CacheEntry | None:
    """Return the cache entry of a finished job's answer, to be served for `ttl_hours`, or less as its caller wants it.

    None when its caller forbids it, it came from the cache, or it is cut or empty and must not be given twice.
    """
    answer = job.answer
    if answer is None or job.finished_at_ms is None or job.no_store or not _is_new_and_whole(answer):
        return None
    namespace = home(job, answer)
    if namespace is None:
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


def _is_new_and_whole(answer: Answer) -> bool:
    return answer.tier is None and answer.done_reason == "stop" and bool(answer.text.strip())
