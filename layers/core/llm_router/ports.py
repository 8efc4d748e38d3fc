"""What the policy needs from the outside world; `adapters/` provides it, tests fake it."""

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from typing import Final, Protocol

from llm_router.access.keys import ApiKey, KeyRecord, Limits
from llm_router.access.limits import Balance, Minute, Reservation
from llm_router.accounting.box_hours import BoxHour, BoxMinute
from llm_router.accounting.usage import Rollup, RowKey, UsageEvent, UsageRecord
from llm_router.batching.batches import Batch, LineError, LineResult, PromptMessage
from llm_router.batching.input_files import InputFile
from llm_router.box import BoxSighting, BoxState
from llm_router.cache_entries import CacheEntry, Candidate, Census
from llm_router.classification import Classification
from llm_router.estimates import Pace
from llm_router.feedback import EntryChange, Feedback
from llm_router.models import Conversation, Failure, Generation, Job, JobInLine, Lane, ModelCall

Clock = Callable[[], int]
"""Milliseconds since the epoch."""

Dispatch = Callable[[str], object]
"""Sees to it that the job with this id is run."""

PromptSender = Callable[[Sequence[PromptMessage]], object]
"""Hands prompts over to be routed, perhaps more than once each; raises StoreError where it cannot."""


class Embedder(Protocol):
    """Turns a canonical prompt into a unit vector."""

    @property
    def version(self) -> str:
        """Short identifier of weights, tokenizer and graph; vectors of two versions are never compared."""

    def sees(self, text: str) -> bool:
        """Whether the vector of `text` is about all of it; texts it is not about may differ and have equal vectors.

        Raises:
            EmbeddingError: the model is missing or broken.
        """

    def embed(self, text: str) -> Sequence[float]:
        """Return the L2-normalised embedding of `text`.

        Raises:
            EmbeddingError: the model is missing or broken.
        """


class Classifier(Protocol):
    """Grades how hard a prompt is."""

    def classify(self, prompt: str) -> Classification:
        """Return the tier of a canonical prompt, how sure the grader is, and why.

        Equal questions must get equal grades: the grade leads to the model, and the model is part of the namespace.
        """


class LanguageModel(Protocol):
    """A server that answers prompts."""

    def generate(self, call: ModelCall, *, deadline_ms: int) -> Generator[str | Generation, None, None]:
        """Yield pieces of text as they come and, last, the whole generation.

        Closing the generator closes the connection, which stops the box.

        Args:
            call: What to ask.
            deadline_ms: Epoch milliseconds after which no byte is waited for.

        Raises:
            ModelError: one of its subclasses says what went wrong.
        """


class Box(Protocol):
    """The machine that runs the models."""

    def state(self) -> BoxState:
        """Return what it has installed and what is in memory.

        Raises:
            ModelUnavailableError: it cannot be reached.
        """

    def load(self, model: str, *, deadline_ms: int) -> None:
        """Bring a model into memory, where it stays, and return when it is there.

        Args:
            model: Name with its provider, e.g. `ollama/tinyllama`.
            deadline_ms: Epoch milliseconds after which it is given up.

        Raises:
            ModelError: one of its subclasses says what went wrong.
        """


class CacheStore(Protocol):
    """Keeps answers by exact key and by vector. Every method raises StoreError when the store fails."""

    def generation(self, tenant: str) -> int:
        """Return the number that clearing the tenant's cache, or everybody's, increases; 0 at first."""

    def get(self, namespace: str, entry_id: str) -> CacheEntry | None:
        """Return the entry with this exact key as last written, expired or not."""

    def nearest(self, namespace: str, embedding: Sequence[float], limit: int) -> Sequence[Candidate]:
        """Return up to `limit` entries of the namespace, most similar first, expired or not.

        They may be as they were some seconds ago.
        """

    def put(self, entry: CacheEntry, embedding: Sequence[float] | None) -> bool:
        """Store an entry; without an embedding it is found by its exact key only.

        It takes the place of an older one with the same key and keeps that one's similarity floor, which is about the
        question; complaints, which are about the answer, begin anew. Returns False when the stored one is not older, or
        was evicted since this one's generation began.
        """

    def evict(self, tenant: str, namespace: str, entry_id: str, now_ms: int) -> bool:
        """Remove a tenant's entry, so that no answer of a generation begun before comes in its place.

        Returns False when the tenant has no such entry.
        """

    def is_refused(self, tenant: str, asked: str, answered: str) -> bool:
        """Whether a complaint of the tenant's keeps two prompts, by their entry ids in any order, from sharing answers.

        It holds in every namespace, so that clearing the cache forgets none.
        """

    def clear(self, tenant: str, now_ms: int) -> int:
        """Increase the number that is part of the tenant's namespaces, and return it; of everybody's for `all`."""

    def census(self, tenant: str, now_ms: int) -> Census:
        """Count the entries stored since the tenant's cache was last cleared that have not expired."""


class FeedbackStore(Protocol):
    """Keeps what was said of answers. Every method raises StoreError when the store fails."""

    def get(self, tenant: str, request_id: str) -> Feedback | None:
        """Return what was said of a request's answer, if anything."""

    def record(self, feedback: Feedback, usage: UsageRecord, change: EntryChange | None) -> bool:
        """Store what was said, the record that counts it, and what follows for the cache, in one transaction.

        Returns False when nothing was written, because something was said before, or the entry is not as it was seen.
        """


class JobStore(Protocol):
    """Keeps requests while they are on their way, and the usage records they leave."""

    def open(self, job: Job) -> bool:
        """Store a queued job; return True when it is to be run, False when it joined an equal one."""

    def record(self, job: Job, usage: UsageRecord) -> None:
        """Store a job that is finished from the start, and its usage record, in one transaction."""

    def get(self, job_id: str) -> Job:
        """Return a job as last written.

        Raises:
            NotFoundError: no such job, or it has expired.
        """

    def open_shadow(self, job: Job, *, daily_limit: int) -> bool:
        """Store a queued shadow and count it, in one transaction.

        Returns False when there is one of this id already, or its UTC day has had as many as it may.
        """

    def line(self, *, limit: int, lane: Lane = Lane.INTERACTIVE) -> Sequence[JobInLine]:
        """Return up to `limit` jobs of a lane that are to be run, or are run, oldest first.

        It may be a moment behind, in both directions: whoever acts on it reads the job first, and starts it.
        """

    def start(self, job_id: str, *, worker: str, lease_until_ms: int, in_cloud: bool = False) -> Job:
        """Mark a job running for one worker, of the box or of the cloud, and count the attempt.

        The box takes up again what was set aside.

        Raises:
            NotFoundError: no such job, or it has expired.
            ConflictError: it is finished, another worker's lease on it still holds, or it is not the box's any more.
        """

    def escalate(self, job: Job) -> None:
        """Leave a job to the cloud, with what it has cost so far; the box cannot begin it any more.

        May be repeated while nobody has begun it there, which passes it on again.

        Raises:
            ConflictError: it is finished, or another worker's lease on it still holds.
        """

    def give_back(self, job: Job) -> None:
        """Let a running job wait for the next worker; the attempt of this one, which is alive, does not count.

        Raises:
            ConflictError: the job is not this worker's any more.
        """

    def set_aside(self, job: Job, failure: Failure) -> None:
        """End a job for now, without a usage record, and keep it until its message is redriven or given up.

        Raises:
            ConflictError: it is finished, or in other hands.
        """

    def renew(self, job: Job, *, lease_until_ms: int, partial_text: str | None = None) -> Job:
        """Keep a running job for its worker, show the text so far if there is any new, and return the job as it is.

        Raises:
            ConflictError: the job is not this worker's any more.
        """

    def request_cancel(self, job_id: str) -> Job:
        """Ask the worker of a running job to stop, and return the job as it is; other jobs are left alone."""

    def claim_redispatch(self, job_id: str, *, not_since_ms: int) -> bool:
        """Note that a job is dispatched again; return False when somebody did so after `not_since_ms`."""

    def leader(self, job: Job) -> str | None:
        """Return the id of the job whose answer this one waits for, perhaps itself; None when the flight is over."""

    def hand_over(self, job: Job) -> str | None:
        """Make the first unfinished request that joined this one the leader; return its id, or None."""

    def finish(self, job: Job, usage: UsageRecord) -> bool:
        """Write a finished job and its usage record in one transaction.

        Returns False when it was finished before, or is held by another worker than the job's.
        """

    def followers(self, job: Job) -> Sequence[str]:
        """Return the ids of jobs that joined this one."""

    def close_flight(self, job: Job, *, followers: Sequence[str]) -> bool:
        """End the joining of this job; return False when others than `followers` have joined meanwhile."""


class BatchStore(Protocol):
    """Keeps batches for two weeks, and what became of their lines. Every method raises StoreError when it fails."""

    def open(self, batch: Batch) -> bool:
        """Store a new batch; return False when there is one of this id."""

    def get(self, batch_id: str) -> Batch:
        """Return a batch as last written.

        Raises:
            NotFoundError: no such batch, or it has expired.
        """

    def note_input(self, batch_id: str, *, lines: int, invalid: int, complete: bool, error: str | None = None) -> Batch:
        """Note how many lines have been read in all, and whether those were all; return the batch as it stands.

        May be repeated, and come late: totals only grow, and what is complete stays so.

        Raises:
            NotFoundError: no such batch.
        """

    def cancel(self, batch_id: str, at_ms: int) -> Batch:
        """Have nothing more of a batch begun; return it with the time when that was first wanted.

        Raises:
            NotFoundError: no such batch.
        """

    def announced(self, batch_id: str, at_ms: int) -> Batch:
        """Note that everybody was told of a batch's end; return it with the time when that was first so.

        Raises:
            NotFoundError: no such batch.
        """

    def refuse_line(
        self, batch_id: str, line: int, custom_id: str | None, error: LineError, *, sent: bool = False
    ) -> bool:
        """Note why no request was made of a line; return False when it is a request, or was refused before.

        One that was `sent` on before it was refused is counted in the batch, once; the others are in its `invalid`.
        """

    def results(self, batch_id: str, *, first_line: int, count: int) -> Sequence[LineResult]:
        """Return what became of `count` lines from `first_line` on, in their order, each as last written.

        A line that has expired, or is not there, is one of which nothing is known.
        """


class InputFiles(Protocol):
    """Files that batches are read from. Every method raises StoreError when the store fails."""

    def find(self, bucket: str, key: str) -> InputFile:
        """Return what is known of a file.

        Raises:
            NotFoundError: it is not there, or may not be read.
        """

    def read(self, file: InputFile, *, offset_bytes: int, count_bytes: int) -> bytes:
        """Return a piece of a file, less than `count_bytes` at its end.

        Raises:
            ConflictError: there is another file under its name by now.
            NotFoundError: it is gone, or may not be read.
        """


class IdempotencyStore(Protocol):
    """Keeps which request a caller's key belongs to, for a day."""

    def claim(self, tenant: str, key: str, body_sha256: str, job_id: str) -> str:
        """Give the key to a job, unless it has one; return the id of the key's job.

        Raises:
            ConflictError: the key was used with another body.
        """


class ConversationStore(Protocol):
    """Keeps conversations for a day after their last request. Every method raises StoreError when the store fails."""

    def get(self, tenant: str, conversation_id: str) -> Conversation:
        """Return a conversation as last written."""

    def claim(self, conversation: Conversation, job_id: str) -> bool:
        """Write the turns of a conversation, and a job as its last.

        Returns False when another job has claimed it since it was read; for the same job it may be repeated.
        """

    def release(self, conversation: Conversation, job_id: str) -> None:
        """Forget that a job is the last, where it is."""


TRANSACTION_ACTIONS: Final = 100
"""How many items DynamoDB writes in one transaction."""


class RollupStore(Protocol):
    """Keeps counters by day, half hour, month and batch. Every method raises StoreError when the store fails."""

    def add(self, events: Sequence[UsageEvent]) -> int:
        """Add the events that were not counted before to their rows, all or none; return how many those were.

        The events are of different requests, and they and their rows together are at most `TRANSACTION_ACTIONS`. One
        counts once, however often it is added: after a StoreError, which also comes when the answer to a write was
        lost, all of them can be added again.
        """

    def day(self, tenant: str, day: str) -> Sequence[Rollup]:
        """Return all rollups of one tenant and UTC day."""

    def slots(self, tenant: str, day: str, first: str = "00:00", end: str = "24:00") -> Sequence[Rollup]:
        """Return a tenant's rollups of the half hours of a UTC day that start at `first` or later and before `end`."""

    def month(self, month: str) -> Mapping[str, Mapping[str, int]]:
        """Return the counters of a UTC month, `YYYY-MM`, of every tenant that has any."""

    def month_of(self, tenant: str, month: str) -> Mapping[str, int]:
        """Return a tenant's counters of a UTC month with every event that was added before the call; none are empty."""

    def batch(self, batch_id: str) -> Mapping[str, int]:
        """Return a batch's counters with every event that was added before the call; none are empty.

        They follow what is done by about a second: a record is counted when the stream brings it.
        """

    def replace(self, key: RowKey, counters: Mapping[str, int]) -> None:
        """Let a row have these counters and no others, and be gone where there are none.

        What is added at the same moment may be lost: only for rows that nothing is added to any more.
        """

    def adjust(self, key: RowKey, changes: Mapping[str, int]) -> None:
        """Add to the counters of a row, of which some may be negative; what is added at the same moment is kept."""


class UsageStore(Protocol):
    """Reads usage records. Every method raises StoreError when the store fails."""

    def day(self, day: str) -> Iterator[UsageRecord]:
        """Yield the records of a UTC day, in any order; those of the last seconds may be missing.

        Raises:
            StoreError: also when a record cannot be read; it is named.
        """


class BoxHours(Protocol):
    """Keeps in which minutes the box ran. Every method raises StoreError when the store fails."""

    def note(self, at_ms: int, found: BoxMinute, nano_usd_per_hour: int) -> None:
        """Note how the box was found in the UTC minute of a moment, and its price; doing so again changes nothing."""

    def days(self, first_day: str, last_day: str) -> Sequence[BoxHour]:
        """Return the hours of some UTC days, `YYYY-MM-DD`, both included, in which it was looked at, oldest first."""


class StatusStore(Protocol):
    """Keeps what is known of the box. Every method raises StoreError when the store fails."""

    def put_box(self, sighting: BoxSighting) -> None:
        """Replace the last known state of the box."""

    def box(self) -> BoxSighting | None:
        """Return the last known state of the box; None before the first look."""

    def pace(self, model: str) -> Pace | None:
        """Return how fast a model was seen to be; None before its first answer."""

    def put_pace(self, pace: Pace) -> None:
        """Replace a model's figures.

        Of two workers who read, learn and write at once, one's generation is lost: rolling figures do without it.
        """


class KeyStore(Protocol):
    """Keeps API keys by the hash of their secret, and by their id. Every method raises StoreError when it fails."""

    def find(self, key_hash: str) -> ApiKey | None:
        """Return the key that a secret with this hash stands for, valid or not, as last written."""

    def get(self, key_id: str) -> KeyRecord:
        """Return what is known of a key, as last written.

        Raises:
            NotFoundError: there is no such key.
        """

    def records(self, after: str | None, limit: int) -> Sequence[KeyRecord]:
        """Return the first keys by their ids; what was written a moment ago may not be there yet.

        Args:
            after: The id that they come after; None for the very first.
            limit: How many there are at most.
        """

    def write(self, record: KeyRecord, before: KeyRecord | None = None) -> bool:
        """Write a key and its secrets in one transaction, and remove the secrets that it had before.

        Args:
            record: The key as it is to be.
            before: The key as it was read; None for a new one.

        Returns:
            False when nothing was written, because another writer was there first.
        """


class LimitStore(Protocol):
    """Counts what keys take. Every method raises StoreError when the store fails."""

    def take(self, key_id: str, limits: Limits, tokens: int, now_ms: int) -> tuple[bool, Minute]:
        """Take one request and some tokens of a key's minute, or nothing where either exceeds its limit.

        Returns:
            Whether they were taken, and the minute as it is now.
        """

    def settle(self, key_id: str, ends_at_ms: int, tokens: int) -> None:
        """Add tokens, or fewer than none, to what was taken in the minute with this end; nothing once it is over."""


class AllowanceStore(Protocol):
    """Keeps what requests on their way take of keys. Every method raises StoreError when the store fails."""

    def reserve(self, reservation: Reservation, ceiling_nano_usd: int, name: str) -> tuple[bool, Balance]:
        """Take a reservation of a budget, unless more than the ceiling would be committed then.

        Its name is kept until it is released, or its request is known to be stored.

        Returns:
            Whether it was taken, and the balance as it is now.
        """

    def release(self, reservation: Reservation, name: str) -> None:
        """Give a reservation back, whose request never came to be; nothing where its name is not kept any more."""

    def note_opened(self, reservation: Reservation, name: str) -> None:
        """Forget the name of a reservation, whose request is stored."""

    def note_announced(self, reservation: Reservation) -> None:
        """Note that somebody was told that the budget runs low."""

    def take_slot(self, key_id: str, slot: str, limit: int, now_ms: int) -> Sequence[str]:
        """Take a slot; return those that are taken where there are as many as the limit, and none when it was taken."""

    def free_slots(self, key_id: str, slots: Sequence[str]) -> None:
        """Free slots; those that are free stay so."""
