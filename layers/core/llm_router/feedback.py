"""What a caller says of an answer, and what follows from it for the cache."""

from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from llm_router.cache_entries import CacheEntry
from llm_router.keeping import home
from llm_router.models import Answer, CacheTier, FeedbackVerdict, Job

EVICTING_COMPLAINTS: Final = 3
"""So many requests that a semantic hit answered wrongly remove the entry; one is enough for its own question."""
FLOOR_STEP: Final = 0.001
"""How much nearer than a pair that was called wrong a question must be; a floor above 1 leaves the exact tier only."""


class Feedback(Struct, frozen=True, kw_only=True):
    """What was said of one request's answer, and what came of it."""

    request_id: str
    tenant: str
    verdict: FeedbackVerdict
    comment: str | None = None
    tier: CacheTier | None = None
    entry_id: str | None = None
    """Public id of the entry that answered, or that the generated answer was stored as."""
    pair_refused: bool = False
    similarity_floor: float | None = None
    """What the entry's floor was raised to."""
    evicted: bool = False
    recorded_at_ms: int


class EntryChange(Struct, frozen=True, kw_only=True):
    """What a complaint does to the cache, given an entry as it was seen."""

    namespace: str
    entry_id: str
    refused: str | None = None
    """The `entry_id` of a prompt that must never share an answer with this entry's again."""
    seen: CacheEntry | None
    """None when there is no such entry, or no more."""
    similarity_floor: float | None = None
    """The new floor; None leaves the entry alone, unless it is evicted."""
    complaints: int = 0
    """The new number of complaints."""
    evict: bool = False


def entry_key(job: Job, answer: Answer) -> tuple[str, str] | None:
    """Return namespace and key of the entry that answered, or that the answer is stored as; None when there is none."""
    if answer.cache_entry_id is not None:
        namespace, _, entry_id = answer.cache_entry_id.partition(".")
        return namespace, entry_id
    stored_in = home(job, answer)
    return None if stored_in is None else (stored_in, job.entry_id)


def change_for(job: Job, answer: Answer, key: tuple[str, str], seen: CacheEntry | None) -> EntryChange | None:
    """Return what follows from a wrong answer for its entry; None when nothing does.

    Args:
        job: The request that got the answer.
        answer: Its answer.
        key: Namespace and key of the entry.
        seen: The entry as it stands now; it may hold another answer by now, which nobody has complained of.
    """
    namespace, entry_id = key
    change = EntryChange(namespace=namespace, entry_id=entry_id, seen=seen)
    is_still_this_answer = seen is not None and seen.answer == answer.text
    if entry_id != job.entry_id:
        return _unlike_pair(replace(change, refused=job.entry_id), answer, counts=is_still_this_answer)
    # The answer is wrong for its own question. Where there is no entry it may be just about to be stored.
    return replace(change, evict=True) if seen is None or is_still_this_answer else None


def _unlike_pair(change: EntryChange, answer: Answer, *, counts: bool) -> EntryChange:
    if change.seen is None:
        return change
    complaints = change.seen.complaints + counts
    return replace(
        change,
        similarity_floor=max(change.seen.similarity_floor, (answer.similarity or 0.0) + FLOOR_STEP),
        complaints=complaints,
        evict=counts and complaints >= EVICTING_COMPLAINTS,
    )
