"""What the cache keeps, and what a search finds in it."""

from msgspec import Struct


class CacheEntry(Struct, frozen=True, kw_only=True):
    """A stored answer."""

    tenant: str
    namespace: str
    entry_id: str
    prompt: str
    """Canonical form of the prompt that was answered."""
    answer: str
    model: str
    input_tokens: int
    output_tokens: int
    similarity_floor: float = 0.0
    """A semantic hit on this entry needs at least this cosine similarity."""
    complaints: int = 0
    """How many callers found the answer wrong for their question; searches do not bring it."""
    created_at_ms: int
    """When its generation began."""
    expires_at: int
    """Epoch seconds."""

    @property
    def public_id(self) -> str:
        """Return the id that callers see: an entry's key alone would not tell its namespace."""
        return f"{self.namespace}.{self.entry_id}"

    def is_live(self, now_ms: int) -> bool:
        """Tell whether it may still be served; DynamoDB deletes expired items only after hours."""
        return self.expires_at * 1000 > now_ms


class Census(Struct, frozen=True, kw_only=True):
    """What a tenant's cache holds."""

    entries: int
    """Stored answers that could be served now."""
    complete: bool
    """False when there were too many to count them all."""
    oldest_created_at_ms: int | None


class Candidate(Struct, frozen=True):
    """An entry near a question, with its cosine similarity."""

    entry: CacheEntry
    similarity: float
