"""In-memory stand-ins for the ports; the same behavioural tests run against them and against the real adapters."""

import math
import re
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from threading import Lock
from typing import TYPE_CHECKING, Final
from zlib import crc32

from msgspec.structs import replace

from llm_router.access.keys import ALL_TENANTS, ApiKey, KeyRecord, Limits
from llm_router.access.limits import MINUTE_MS, Balance, Minute, Reservation
from llm_router.accounting.box_hours import BoxHour, BoxMinute
from llm_router.accounting.rollups import by_row
from llm_router.accounting.usage import (
    BatchKey,
    BudgetKey,
    MonthKey,
    Rollup,
    RollupKey,
    RowKey,
    UsageEvent,
    UsageRecord,
)
from llm_router.batching.batches import Batch, LineError, LineResult, line_job_id
from llm_router.batching.input_files import InputFile
from llm_router.box import BoxSighting, BoxState
from llm_router.breaker import Admission
from llm_router.cache_entries import CacheEntry, Candidate, Census
from llm_router.errors import ConflictError, EmbeddingError, NotFoundError, RouterError, StoreError
from llm_router.estimates import Pace
from llm_router.feedback import EntryChange, Feedback
from llm_router.jobs import is_set_aside, utc_day
from llm_router.models import Conversation, Failure, Generation, Job, JobInLine, JobStatus, Lane, ModelCall
from llm_router.ports import (
    TRANSACTION_ACTIONS,
    AllowanceStore,
    BatchStore,
    Box,
    BoxHours,
    CacheStore,
    Clock,
    ConversationStore,
    Embedder,
    FeedbackStore,
    IdempotencyStore,
    InputFiles,
    JobStore,
    KeyStore,
    LanguageModel,
    LimitStore,
    RollupStore,
    StatusStore,
)

NOW_MS: Final = 1_700_000_000_000
TODAY: Final = "2023-11-14"
"""2023-11-14 22:13:20 UTC."""
DIMENSIONS: Final = 384
FLIGHT_LEASE_MS: Final = 60 * 60 * 1000
JOB_LIFE_MS: Final = 24 * 3600 * 1000
_NOBODYS: Final = {"worker": None, "lease_until_ms": 0}
_FILLERS: Final = frozenset({"a", "an", "is", "of", "please", "s", "tell", "the", "me", "what"})


class SettableClock:
    """A clock that moves when it is told to, or by `step_ms` at every look."""

    def __init__(self, now_ms: int = NOW_MS, *, step_ms: int = 0) -> None:
        self.now_ms = now_ms
        self.step_ms = step_ms

    def __call__(self) -> int:
        """Return the time, then let `step_ms` pass."""
        now_ms = self.now_ms
        self.now_ms += self.step_ms
        return now_ms

    def advance(self, by_ms: int) -> None:
        """Let time pass."""
        self.now_ms += by_ms


class FakeEmbedder:
    """Counts words into buckets, so that prompts of mostly the same words are near; fillers weigh little."""

    def __init__(self, *, version: str = "words-1", broken: bool = False) -> None:
        self.version = version
        self.broken = broken
        self.embedded: list[str] = []

    def sees(self, text: str) -> bool:
        """See everything but emoji, like a vocabulary without them."""
        if self.broken:
            raise EmbeddingError("the embedder is broken")
        return all(ord(char) < 0x1F000 for char in text)

    def embed(self, text: str) -> Sequence[float]:
        """Return a unit vector of `DIMENSIONS` numbers."""
        if self.broken:
            raise EmbeddingError("the embedding model is broken")
        self.embedded.append(text)
        numbers = [0.0] * DIMENSIONS
        for word in re.findall(r"\w+", text.lower()) or [""]:
            numbers[crc32(word.encode()) % DIMENSIONS] += 0.1 if word in _FILLERS else 1.0
        length = math.hypot(*numbers)
        return [number / length for number in numbers]


class FakeCacheStore:
    """CacheStore in a dictionary; `broken` names the methods that fail."""

    def __init__(self) -> None:
        self.broken: set[str] = set()
        self.generations: dict[str, int] = {}
        self.entries: dict[tuple[str, str], tuple[CacheEntry, Sequence[float] | None]] = {}
        self.refused: set[tuple[str, frozenset[str]]] = set()
        self._evicted: dict[tuple[str, str], tuple[int, float]] = {}
        self._cleared: dict[str, int] = {}

    def generation(self, tenant: str) -> int:
        """Return the number of the tenant's cache."""
        self._check("generation")
        return self.generations.get(tenant, 0) + self.generations.get(ALL_TENANTS, 0)

    def get(self, namespace: str, entry_id: str) -> CacheEntry | None:
        """Return the entry with this key."""
        self._check("get")
        stored = self.entries.get((namespace, entry_id))
        return stored[0] if stored else None

    def nearest(self, namespace: str, embedding: Sequence[float], limit: int) -> Sequence[Candidate]:
        """Return the entries of the namespace with the largest cosine similarity."""
        self._check("nearest")
        candidates = [
            Candidate(entry, cosine(embedding, vector))
            for (partition, _), (entry, vector) in self.entries.items()
            if partition == namespace and vector is not None
        ]
        return sorted(candidates, key=lambda candidate: -candidate.similarity)[:limit]

    def put(self, entry: CacheEntry, embedding: Sequence[float] | None) -> bool:
        """Store an entry over an older one."""
        self._check("put")
        key = entry.namespace, entry.entry_id
        older, vector = self.entries.get(key, (None, None))
        newest_ms, floor = (older.created_at_ms, older.similarity_floor) if older else self._evicted.get(key, (0, None))
        if newest_ms >= entry.created_at_ms:
            return False
        kept = entry if floor is None else replace(entry, similarity_floor=floor)
        self.entries[key] = (kept, embedding if embedding is not None else vector)
        return True

    def evict(self, tenant: str, namespace: str, entry_id: str, now_ms: int) -> bool:
        """Remove a tenant's entry."""
        self._check("evict")
        entry, _ = self.entries.get((namespace, entry_id), (None, None))
        if entry is None or entry.tenant != tenant:
            return False
        self.bury(namespace, entry_id, entry.similarity_floor, now_ms)
        return True

    def bury(self, namespace: str, entry_id: str, floor: float, now_ms: int) -> None:
        """Remove an entry, and keep answers out that were begun before."""
        self.entries.pop((namespace, entry_id), None)
        self._evicted[namespace, entry_id] = now_ms, floor

    def raise_floor(self, entry: CacheEntry, floor: float) -> None:
        """Let an entry ask for more similarity."""
        stored, vector = self.entries[entry.namespace, entry.entry_id]
        self.entries[entry.namespace, entry.entry_id] = replace(stored, similarity_floor=floor), vector

    def is_refused(self, tenant: str, asked: str, answered: str) -> bool:
        """Whether a complaint keeps two prompts apart."""
        self._check("is_refused")
        return (tenant, frozenset((asked, answered))) in self.refused

    def clear(self, tenant: str, now_ms: int) -> int:
        """Increase the tenant's number."""
        self._check("clear")
        self._cleared[tenant] = now_ms
        self.generations[tenant] = self.generations.get(tenant, 0) + 1
        return self.generations[tenant] if tenant == ALL_TENANTS else self.generation(tenant)

    def census(self, tenant: str, now_ms: int) -> Census:
        """Count the tenant's live entries."""
        self._check("census")
        ages = [
            entry.created_at_ms
            for entry, _ in self.entries.values()
            if entry.tenant == tenant
            and entry.expires_at > now_ms // 1000
            and entry.created_at_ms > max(self._cleared.get(tenant, 0), self._cleared.get(ALL_TENANTS, 0))
        ]
        return Census(entries=len(ages), complete=True, oldest_created_at_ms=min(ages, default=None))

    def _check(self, method: str) -> None:
        if method in self.broken:
            raise StoreError(f"{method} failed")


class FakeFeedbackStore:
    """FeedbackStore in a dictionary, beside the cache and the usage records it changes."""

    def __init__(self, cache: FakeCacheStore, usage: dict[str, UsageRecord]) -> None:
        self.said: dict[tuple[str, str], Feedback] = {}
        self._cache = cache
        self._usage = usage

    def get(self, tenant: str, request_id: str) -> Feedback | None:
        """Return what was said of a request's answer."""
        return self.said.get((tenant, request_id))

    def record(self, feedback: Feedback, usage: UsageRecord, change: EntryChange | None) -> bool:
        """Write everything, or nothing when the entry is not as it was seen."""
        key = feedback.tenant, feedback.request_id
        if key in self.said or (change is not None and not self._apply(change, feedback)):
            return False
        self.said[key] = feedback
        self._usage[usage.request_id] = usage
        return True

    def _apply(self, change: EntryChange, feedback: Feedback) -> bool:
        place = change.namespace, change.entry_id
        entry, vector = self._cache.entries.get(place, (None, None))
        changes_entry = change.evict or change.similarity_floor is not None
        if changes_entry and entry != change.seen:
            return False
        if change.refused is not None:
            self._cache.refused.add((feedback.tenant, frozenset((change.refused, change.entry_id))))
        if change.evict:
            floor = change.similarity_floor or (entry.similarity_floor if entry else 0.0)
            self._cache.bury(*place, floor, feedback.recorded_at_ms)
        elif entry is not None and change.similarity_floor is not None:
            marked = replace(entry, similarity_floor=change.similarity_floor, complaints=change.complaints)
            self._cache.entries[place] = marked, vector
        return True


class FakeJobStore:
    """JobStore in dictionaries; `broken` names the methods that fail."""

    def __init__(self, clock: Clock) -> None:
        self.broken: set[str] = set()
        self.jobs: dict[str, Job] = {}
        self.usage: dict[str, UsageRecord] = {}
        self.refusals: dict[str, LineResult] = {}
        """What stands in a job's place: lines that no request was made of."""
        self.progress: list[str] = []
        self.escalations: list[str] = []
        self._clock = clock
        self._expires_at_ms: dict[str, int] = {}
        self._dispatched_at_ms: dict[str, int] = {}
        self._flights: dict[str, _Flight] = {}
        self._joined: set[str] = set()
        self._shadows: Counter[str] = Counter()

    def open(self, job: Job) -> bool:
        """Store a queued job; claim its flight or join it."""
        self._check("open")
        self._store(job)
        if job.flight is None:
            return True
        flight = self._flights.setdefault(job.flight, _Flight())
        if flight.leader in {None, job.job_id} or flight.lease_until_ms < self._clock():
            flight.leader, flight.lease_until_ms = job.job_id, self._clock() + FLIGHT_LEASE_MS
            return True
        flight.followers.add(job.job_id)
        self._joined.add(job.job_id)
        return False

    def record(self, job: Job, usage: UsageRecord) -> None:
        """Store a job that is finished from the start."""
        self._check("record")
        self._store(job)
        self.usage[job.job_id] = usage

    def get(self, job_id: str) -> Job:
        """Return a job as last written."""
        self._check("get")
        if job_id not in self.jobs or self._expires_at_ms[job_id] <= self._clock():
            raise NotFoundError("no such request")
        return self.jobs[job_id]

    def open_shadow(self, job: Job, *, daily_limit: int) -> bool:
        """Store a queued shadow, up to so many of its day."""
        self._check("open_shadow")
        day = utc_day(job.created_at_ms)
        if job.job_id in self.jobs or self._shadows[day] >= daily_limit:
            return False
        self._shadows[day] += 1
        self._store(job)
        return True

    def line(self, *, limit: int, lane: Lane = Lane.INTERACTIVE) -> Sequence[JobInLine]:
        """Return jobs of a lane that are to be run, or are run, oldest first."""
        self._check("line")
        in_line = [
            JobInLine(
                job_id=job.job_id,
                model=job.model,
                created_at_ms=job.created_at_ms,
                expected_ms=None if job.expected_ms is None else job.expected_ms - job.expected_load_ms,
                started_at_ms=job.started_at_ms,
            )
            for job in self.jobs.values()
            if job.status in {JobStatus.QUEUED, JobStatus.RUNNING}
            and job.job_id not in self._joined
            and job.lane is lane
            and job.created_at_ms > self._clock() - _life_ms(lane)
        ]
        return sorted(in_line, key=lambda job: job.created_at_ms)[:limit]

    def start(self, job_id: str, *, worker: str, lease_until_ms: int, in_cloud: bool = False) -> Job:
        """Mark a job running for one worker."""
        self._check("start")
        job = self.get(job_id)
        is_mine = job.status is JobStatus.RUNNING and job.worker == worker
        is_free = (is_mine or self._is_abandoned(job)) and job.escalated == in_cloud
        waits = job.status is JobStatus.QUEUED or (job.status is JobStatus.ESCALATED if in_cloud else is_set_aside(job))
        if not waits and not is_free:
            raise ConflictError("the request is finished or in other hands")
        return self._change(
            job,
            status=JobStatus.RUNNING,
            worker=worker,
            lease_until_ms=lease_until_ms,
            started_at_ms=self._clock(),
            escalated=in_cloud,
            attempts=job.attempts + (job.worker != worker),
            failure=None,
            finished_at_ms=None,
        )

    def escalate(self, job: Job) -> None:
        """Leave a job to the cloud."""
        self._check("escalate")
        stored = self.get(job.job_id)
        is_held = stored.status is JobStatus.RUNNING and stored.worker != job.worker and not self._is_abandoned(stored)
        if stored.status.finished or is_held:
            raise ConflictError("the request is finished or in other hands")
        self.escalations.append(job.job_id)
        self._change(
            stored,
            status=JobStatus.ESCALATED,
            escalated=True,
            spent=job.spent,
            worker=None,
            lease_until_ms=0,
            partial_text="",
        )

    def give_back(self, job: Job) -> None:
        """Let a running job wait for the next worker."""
        self._check("give_back")
        stored = self.get(job.job_id)
        if stored.status is not JobStatus.RUNNING or stored.worker != job.worker:
            raise ConflictError("the request is finished or in other hands")
        attempts = stored.attempts - 1
        if stored.escalated:
            self._change(stored, attempts=attempts, lease_until_ms=0)
            return
        self._change(stored, status=JobStatus.QUEUED, attempts=attempts, **_NOBODYS, started_at_ms=None)

    def set_aside(self, job: Job, failure: Failure) -> None:
        """End a job for now, and keep it for two weeks."""
        self._check("set_aside")
        stored = self.get(job.job_id)
        is_mine = stored.status is JobStatus.RUNNING and stored.worker == job.worker
        is_free = (is_mine or self._is_abandoned(stored)) and not stored.escalated
        if stored.status is not JobStatus.QUEUED and not is_free:
            raise ConflictError("the request is finished or in other hands")
        now_ms = self._clock()
        self._change(stored, status=JobStatus.FAILED, failure=failure, finished_at_ms=now_ms, attempts=0, **_NOBODYS)
        self._expires_at_ms[job.job_id] = now_ms + 14 * JOB_LIFE_MS

    def renew(self, job: Job, *, lease_until_ms: int, partial_text: str | None = None) -> Job:
        """Keep a running job for its worker."""
        self._check("renew")
        stored = self.jobs.get(job.job_id)
        if stored is None or stored.status is not JobStatus.RUNNING or stored.worker != job.worker:
            raise ConflictError("the request is finished or in other hands")
        if partial_text is not None:
            self.progress.append(partial_text)
            stored = self._change(stored, partial_text=partial_text)
        return self._change(stored, lease_until_ms=lease_until_ms)

    def request_cancel(self, job_id: str) -> Job:
        """Ask the worker of a running job to stop."""
        self._check("request_cancel")
        job = self.get(job_id)
        return self._change(job, cancel_requested=True) if job.status is JobStatus.RUNNING else job

    def claim_redispatch(self, job_id: str, *, not_since_ms: int) -> bool:
        """Note that a job is dispatched again."""
        self._check("claim_redispatch")
        if job_id not in self.jobs or self._dispatched_at_ms.get(job_id, -1) > not_since_ms:
            return False
        self._dispatched_at_ms[job_id] = self._clock()
        return True

    def finish(self, job: Job, usage: UsageRecord) -> bool:
        """Write a finished job and its usage record, once."""
        self._check("finish")
        stored = self.jobs.get(job.job_id)
        if stored is None or stored.status.finished:
            return False
        in_other_hands = stored.worker != job.worker if job.worker else not self._is_abandoned(stored)
        if stored.status is JobStatus.RUNNING and in_other_hands:
            return False
        partial_text = "" if job.answer else job.partial_text or stored.partial_text
        asked = stored.cancel_requested
        self.jobs[job.job_id] = replace(
            job, partial_text=partial_text, worker=None, lease_until_ms=0, cancel_requested=asked
        )
        self.usage[job.job_id] = usage
        return True

    def leader(self, job: Job) -> str | None:
        """Return the id of the job whose answer this one waits for."""
        self._check("leader")
        flight = self._flights.get(job.flight) if job.flight else None
        return flight.leader if flight else None

    def hand_over(self, job: Job) -> str | None:
        """Make the first unfinished request that joined this one the leader."""
        self._check("hand_over")
        flight = self._flight_of(job)
        heirs = [name for name in sorted(flight.followers) if not self.jobs[name].status.finished] if flight else []
        if flight is None or not heirs:
            return None
        flight.leader, flight.lease_until_ms = heirs[0], self._clock() + FLIGHT_LEASE_MS
        flight.followers.discard(heirs[0])
        return heirs[0]

    def followers(self, job: Job) -> Sequence[str]:
        """Return the ids of jobs that joined this one."""
        self._check("followers")
        flight = self._flight_of(job)
        return sorted(flight.followers) if flight else []

    def close_flight(self, job: Job, *, followers: Sequence[str]) -> bool:
        """End the joining of this job, unless others have joined."""
        self._check("close_flight")
        flight = self._flight_of(job)
        if flight is None or job.flight is None:
            return True
        if len(flight.followers) != len(followers):
            return False
        del self._flights[job.flight]
        return True

    def _flight_of(self, job: Job) -> "_Flight | None":
        flight = self._flights.get(job.flight) if job.flight else None
        return flight if flight and flight.leader == job.job_id else None

    def _is_abandoned(self, job: Job) -> bool:
        return job.status is JobStatus.RUNNING and job.lease_until_ms < self._clock()

    def _change(self, job: Job, **changes: object) -> Job:
        self.jobs[job.job_id] = replace(job, **changes)
        return self.jobs[job.job_id]

    def _store(self, job: Job) -> None:
        repeated = job.status is JobStatus.QUEUED and self.jobs.get(job.job_id) == job
        if job.job_id in self.refusals or (job.job_id in self.jobs and not repeated):
            raise ConflictError("a request with this id exists")
        self.jobs[job.job_id] = job
        self._expires_at_ms[job.job_id] = self._clock() + _life_ms(job.lane)

    def _check(self, method: str) -> None:
        if method in self.broken:
            raise StoreError(f"{method} failed")


def _life_ms(lane: Lane) -> int:
    return 14 * JOB_LIFE_MS if lane is Lane.BATCH else JOB_LIFE_MS


class _Flight:
    """Who generates an answer, and who waits for it."""

    def __init__(self) -> None:
        self.leader: str | None = None
        self.lease_until_ms = 0
        self.followers: set[str] = set()


class FakeBatchStore:
    """BatchStore in a dictionary, beside the jobs that lines become; `broken` names the methods that fail."""

    def __init__(self, jobs: FakeJobStore, clock: Clock) -> None:
        self.broken: set[str] = set()
        self.batches: dict[str, Batch] = {}
        self._jobs = jobs
        self._clock = clock

    def open(self, batch: Batch) -> bool:
        """Store a new batch."""
        self._check("open")
        return self.batches.setdefault(batch.batch_id, batch) is batch

    def get(self, batch_id: str) -> Batch:
        """Return a batch."""
        self._check("get")
        batch = self.batches.get(batch_id)
        if batch is None or batch.expires_at * 1000 <= self._clock():
            raise NotFoundError("no such batch")
        return batch

    def note_input(self, batch_id: str, *, lines: int, invalid: int, complete: bool, error: str | None = None) -> Batch:
        """Note how far the input is read, unless more is known."""
        self._check("note_input")
        batch = self.get(batch_id)
        if lines < batch.lines or (batch.input_complete and not complete):
            return batch
        input_error = batch.input_error if error is None else error
        return self._put(batch, lines=lines, invalid=invalid, input_complete=complete, input_error=input_error)

    def cancel(self, batch_id: str, at_ms: int) -> Batch:
        """Have nothing more begun."""
        self._check("cancel")
        batch = self.get(batch_id)
        return batch if batch.cancelled_at_ms is not None else self._put(batch, cancelled_at_ms=at_ms)

    def announced(self, batch_id: str, at_ms: int) -> Batch:
        """Note that everybody was told."""
        self._check("announced")
        batch = self.get(batch_id)
        return batch if batch.announced_at_ms is not None else self._put(batch, announced_at_ms=at_ms)

    def refuse_line(
        self, batch_id: str, line: int, custom_id: str | None, error: LineError, *, sent: bool = False
    ) -> bool:
        """Note why no request was made of a line, once."""
        self._check("refuse_line")
        job_id = line_job_id(batch_id, line)
        if job_id in self._jobs.refusals or job_id in self._jobs.jobs or (sent and batch_id not in self.batches):
            return False
        self._jobs.refusals[job_id] = LineResult(line=line, custom_id=custom_id, error=error)
        if sent:
            self._put(self.batches[batch_id], refused=self.batches[batch_id].refused + 1)
        return True

    def results(self, batch_id: str, *, first_line: int, count: int) -> Sequence[LineResult]:
        """Return what became of lines, in their order."""
        self._check("results")
        return [self._result(batch_id, line) for line in range(first_line, first_line + count)]

    def _result(self, batch_id: str, line: int) -> LineResult:
        job_id = line_job_id(batch_id, line)
        try:
            job = self._jobs.get(job_id)
        except NotFoundError:
            return self._jobs.refusals.get(job_id, LineResult(line=line))
        return LineResult(line=line, custom_id=job.delivery.custom_id, job=job)

    def _put(self, batch: Batch, **changes: object) -> Batch:
        self.batches[batch.batch_id] = replace(batch, **changes)
        return self.batches[batch.batch_id]

    def _check(self, method: str) -> None:
        if method in self.broken:
            raise StoreError(f"{method} failed")


class FakeInputFiles:
    """InputFiles in a dictionary."""

    def __init__(self) -> None:
        self.files: dict[tuple[str, str], bytes] = {}

    def put(self, bucket: str, key: str, content: bytes) -> None:
        """Write a file."""
        self.files[bucket, key] = content

    def find(self, bucket: str, key: str) -> InputFile:
        """Return what is known of a file."""
        content = self._content(bucket, key)
        return InputFile(bucket=bucket, key=key, etag=f"{crc32(content):x}", size_bytes=len(content))

    def read(self, file: InputFile, *, offset_bytes: int, count_bytes: int) -> bytes:
        """Return a piece of the file that was found."""
        if self.find(file.bucket, file.key) != file:
            raise ConflictError("was changed while it was read")
        return self._content(file.bucket, file.key)[offset_bytes : offset_bytes + count_bytes]

    def _content(self, bucket: str, key: str) -> bytes:
        try:
            return self.files[bucket, key]
        except KeyError as error:
            raise NotFoundError("does not exist, or may not be read") from error


class FakeIdempotencyStore:
    """IdempotencyStore in a dictionary."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._claims: dict[tuple[str, str], tuple[str, str, int]] = {}

    def claim(self, tenant: str, key: str, body_sha256: str, job_id: str) -> str:
        """Give the key to a job, unless it has one."""
        now_s = self._clock() // 1000
        owner, body, expires_at = self._claims.get((tenant, key), (job_id, body_sha256, now_s))
        if expires_at <= now_s:
            owner, body, expires_at = job_id, body_sha256, now_s + JOB_LIFE_MS // 1000
        if body != body_sha256:
            raise ConflictError("was used with another body", field="idempotency-key")
        self._claims[tenant, key] = owner, body, expires_at
        return owner


class FakeKeyStore:
    """KeyStore in dictionaries; `broken` makes every method fail."""

    def __init__(self) -> None:
        self.broken = False
        self._keys: dict[str, ApiKey] = {}
        self._records: dict[str, KeyRecord] = {}

    def find(self, key_hash: str) -> ApiKey | None:
        """Return the key that a secret with this hash stands for, valid or not."""
        self._check()
        return self._keys.get(key_hash)

    def get(self, key_id: str) -> KeyRecord:
        """Return what is known of a key."""
        self._check()
        if key_id not in self._records:
            raise NotFoundError("no such key")
        return self._records[key_id]

    def records(self, after: str | None, limit: int) -> Sequence[KeyRecord]:
        """Return the first keys after an id."""
        self._check()
        return [self._records[key_id] for key_id in sorted(self._records) if key_id > (after or "")][:limit]

    def write(self, record: KeyRecord, before: KeyRecord | None = None) -> bool:
        """Write a key and its secrets, and remove the secrets that it had before."""
        self._check()
        stored = self._records.get(record.key.key_id)
        if (stored and stored.version) != (before and before.version):
            return False
        for key_hash in before.holders() if before else ():
            self._keys.pop(key_hash, None)
        self._keys |= record.holders()
        self._records[record.key.key_id] = record
        return True

    def _check(self) -> None:
        if self.broken:
            raise StoreError("reading a key failed")


class FakeLimitStore:
    """LimitStore in a dictionary; `broken` makes every method fail."""

    def __init__(self) -> None:
        self.broken = False
        self._minutes: dict[str, Minute] = {}
        self._lock = Lock()

    def take(self, key_id: str, limits: Limits, tokens: int, now_ms: int) -> tuple[bool, Minute]:
        """Take one request and some tokens of a key's minute, or nothing where either exceeds its limit."""
        self._check()
        with self._lock:
            minute = self._minutes.get(key_id, Minute(ends_at_ms=0))
            if minute.is_over(now_ms):
                minute = Minute(ends_at_ms=now_ms + MINUTE_MS)
            taken = replace(minute, requests=minute.requests + 1, tokens=minute.tokens + tokens)
            bounds = (limits.requests_per_minute, taken.requests), (limits.tokens_per_minute, taken.tokens)
            fits = all(limit is None or amount <= limit for limit, amount in bounds)
            self._minutes[key_id] = taken if fits else minute
            return fits, self._minutes[key_id]

    def settle(self, key_id: str, ends_at_ms: int, tokens: int) -> None:
        """Add tokens to what was taken in the minute with this end; nothing once it is over."""
        self._check()
        minute = self._minutes.get(key_id)
        if minute is not None and minute.ends_at_ms == ends_at_ms:
            self._minutes[key_id] = replace(minute, tokens=minute.tokens + tokens)

    def _check(self) -> None:
        if self.broken:
            raise StoreError("counting a request failed")


class FakeAllowanceStore:
    """AllowanceStore in dictionaries; `broken` makes every method fail."""

    def __init__(self) -> None:
        self.broken = False
        self.balances: dict[BudgetKey, Balance] = {}
        self._slots: dict[str, list[str]] = {}
        self._lock = Lock()

    def reserve(self, reservation: Reservation, ceiling_nano_usd: int, name: str) -> tuple[bool, Balance]:
        """Take a reservation of a budget, unless more than the ceiling would be committed then."""
        self._check()
        with self._lock:
            key = BudgetKey(reservation.month, reservation.key_id)
            fits = self.balances.get(key, Balance()).committed_nano_usd + reservation.nano_usd <= ceiling_nano_usd
            balance = self.charge(key, {"committed_nano_usd": reservation.nano_usd if fits else 0})
            self.balances[key] = replace(balance, opening=balance.opening | ({name} if fits else set()))
            return fits, self.balances[key]

    def release(self, reservation: Reservation, name: str) -> None:
        """Give a reservation back, whose request never came to be; nothing where its name is not kept any more."""
        self._check()
        key = BudgetKey(reservation.month, reservation.key_id)
        if name in self.balances[key].opening:
            self.charge(key, {"committed_nano_usd": -reservation.nano_usd})
            self.note_opened(reservation, name)

    def note_opened(self, reservation: Reservation, name: str) -> None:
        """Forget the name of a reservation, whose request is stored."""
        self._check()
        key = BudgetKey(reservation.month, reservation.key_id)
        self.balances[key] = replace(self.balances[key], opening=self.balances[key].opening - {name})

    def note_announced(self, reservation: Reservation) -> None:
        """Note that somebody was told that the budget runs low."""
        self._check()
        key = BudgetKey(reservation.month, reservation.key_id)
        self.balances[key] = replace(self.balances.get(key, Balance()), is_announced=True)

    def take_slot(self, key_id: str, slot: str, limit: int, now_ms: int) -> Sequence[str]:
        """Take a slot; return those that are taken where there are as many as the limit, and none when it was taken."""
        self._check()
        with self._lock:
            slots = self._slots.setdefault(key_id, [])
            if len(slots) >= limit:
                return tuple(slots)
            slots.append(slot)
        return ()

    def free_slots(self, key_id: str, slots: Sequence[str]) -> None:
        """Free slots; those that are free stay so."""
        self._check()
        self._slots[key_id] = [slot for slot in self._slots.get(key_id, []) if slot not in slots]

    def charge(self, key: BudgetKey, charges: Mapping[str, int]) -> Balance:
        """Add to a balance, as counting a record does."""
        before = self.balances.get(key, Balance())
        added = {name: getattr(before, name) + amount for name, amount in charges.items()}
        self.balances[key] = replace(before, **added)
        return self.balances[key]

    def _check(self) -> None:
        if self.broken:
            raise StoreError("reserving a budget failed")


class FakeConversationStore:
    """ConversationStore in a dictionary; `broken` names the methods that fail."""

    def __init__(self, clock: Clock) -> None:
        self.broken: set[str] = set()
        self._clock = clock
        self.kept: dict[tuple[str, str], Conversation] = {}

    def get(self, tenant: str, conversation_id: str) -> Conversation:
        """Return a conversation as last written."""
        self._check("get")
        nothing = Conversation(tenant=tenant, conversation_id=conversation_id)
        kept = self.kept.get((tenant, conversation_id), nothing)
        return kept if self._clock() < kept.claimed_at_ms + JOB_LIFE_MS else nothing

    def claim(self, conversation: Conversation, job_id: str) -> bool:
        """Write the turns of a conversation, and a job as its last."""
        self._check("claim")
        kept = self.get(conversation.tenant, conversation.conversation_id)
        if kept.claims not in {0, conversation.claims} and kept.last_job != job_id:
            return False
        self.kept[kept.tenant, kept.conversation_id] = replace(
            conversation, last_job=job_id, claims=conversation.claims + 1, claimed_at_ms=self._clock()
        )
        return True

    def release(self, conversation: Conversation, job_id: str) -> None:
        """Forget that a job is the last."""
        self._check("release")
        kept = self.get(conversation.tenant, conversation.conversation_id)
        if kept.last_job == job_id:
            self.kept[kept.tenant, kept.conversation_id] = replace(kept, last_job=None)

    def _check(self, method: str) -> None:
        if method in self.broken:
            raise StoreError(f"{method} failed")


class FakeBreaker:
    """Breaker that is open for as long as the test says."""

    def __init__(self) -> None:
        self.open_for_ms: int | None = None
        self.broken = False

    def check(self) -> Admission:
        """Let every call through."""
        return Admission()

    def succeeded(self, admission: Admission) -> None:
        """Take note of nothing."""

    def failed(self, admission: Admission) -> None:
        """Take note of nothing."""

    def abandoned(self, admission: Admission) -> None:
        """Take note of nothing."""

    def retry_after_ms(self) -> int | None:
        """Return what the test set."""
        if self.broken:
            raise StoreError("reading the breaker failed")
        return self.open_for_ms


class FakeModel:
    """LanguageModel that plays a script: pieces of text, then a Generation, or an error in its place.

    A callable in the script is called when its turn comes, to let something happen meanwhile.
    """

    def __init__(self, *script: str | Generation | RouterError | Callable[[], object]) -> None:
        self.script = script
        self.calls: list[ModelCall] = []
        self.deadlines_ms: list[int] = []
        self.closed = False

    def generate(self, call: ModelCall, *, deadline_ms: int) -> Generator[str | Generation, None, None]:
        """Play the script; notes when it is left."""
        self.calls.append(call)
        self.deadlines_ms.append(deadline_ms)
        try:
            for step in self.script:
                if isinstance(step, RouterError):
                    raise step
                if isinstance(step, str | Generation):
                    yield step
                else:
                    step()
        finally:
            self.closed = True


class FakeRollupStore:
    """RollupStore in dictionaries; balances are charged where `allowances` keeps them."""

    def __init__(self, allowances: "FakeAllowanceStore | None" = None) -> None:
        self.allowances = allowances or FakeAllowanceStore()
        self.rows: dict[RowKey, dict[str, int]] = {}
        self._seen: set[str] = set()

    def add(self, events: Sequence[UsageEvent]) -> int:
        """Add each event once, and no more of them than a transaction takes."""
        request_ids = {event.request_id for event in events}
        rows = {key for event in events for key in event.written}
        if len(request_ids) < len(events) or len(events) + len(rows) > TRANSACTION_ACTIONS:
            raise StoreError("counting requests failed")
        new = [event for event in events if event.request_id not in self._seen]
        self._seen |= request_ids
        for key, added in by_row(new).items():
            if isinstance(key, BudgetKey):
                self.allowances.charge(key, added)
            else:
                self.adjust(key, added)
        return len(new)

    def day(self, tenant: str, day: str) -> Sequence[Rollup]:
        """Return the rows of one tenant and day."""
        return [row for row in self._rollups(tenant, day) if not row.key.slot]

    def slots(self, tenant: str, day: str, first: str = "00:00", end: str = "24:00") -> Sequence[Rollup]:
        """Return the rows of some half hours of one tenant and day."""
        return [row for row in self._rollups(tenant, day) if row.key.slot and first <= row.key.slot < end]

    def month(self, month: str) -> Mapping[str, Mapping[str, int]]:
        """Return the counters of every tenant of a month."""
        return {key.tenant: row for key, row in self.rows.items() if isinstance(key, MonthKey) and key.month == month}

    def month_of(self, tenant: str, month: str) -> Mapping[str, int]:
        """Return a tenant's counters of a month."""
        return self.rows.get(MonthKey(month, tenant), {})

    def batch(self, batch_id: str) -> Mapping[str, int]:
        """Return a batch's counters."""
        return self.rows.get(BatchKey(batch_id), {})

    def replace(self, key: RowKey, counters: Mapping[str, int]) -> None:
        """Let a row have these counters, or be gone."""
        self.rows.pop(key, None)
        if counters:
            self.rows[key] = dict(counters)

    def adjust(self, key: RowKey, changes: Mapping[str, int]) -> None:
        """Add to a row."""
        row = dict(self.rows.get(key, {}))
        self.rows[key] = row | {name: row.get(name, 0) + count for name, count in changes.items()}

    def _rollups(self, tenant: str, day: str) -> Sequence[Rollup]:
        rows = [(key, row) for key, row in self.rows.items() if isinstance(key, RollupKey)]
        return [Rollup(key, row) for key, row in sorted(rows) if (key.tenant, key.day) == (tenant, day)]


class FakeUsageStore:
    """UsageStore in a list."""

    def __init__(self, records: Iterable[UsageRecord] = ()) -> None:
        self.records = list(records)

    def day(self, day: str) -> Iterator[UsageRecord]:
        """Yield the records of a day."""
        return (record for record in self.records if record.day == day)


class FakeBoxHours:
    """BoxHours in a dictionary."""

    def __init__(self) -> None:
        self.hours: dict[tuple[str, int], BoxHour] = {}

    def note(self, at_ms: int, found: BoxMinute, nano_usd_per_hour: int) -> None:
        """Note how the box was found in a minute."""
        day, (hour, minute) = utc_day(at_ms), divmod(at_ms // 60_000 % (24 * 60), 60)
        known = self.hours.get((day, hour)) or BoxHour(day=day, hour=hour, nano_usd_per_hour=nano_usd_per_hour)
        seen = {found.value: getattr(known, found) | {minute}}
        self.hours[day, hour] = replace(known, nano_usd_per_hour=nano_usd_per_hour, **seen)

    def days(self, first_day: str, last_day: str) -> Sequence[BoxHour]:
        """Return the hours of some days."""
        return [hour for (day, _), hour in sorted(self.hours.items()) if first_day <= day <= last_day]


class FakeStatusStore:
    """StatusStore in attributes; `broken` is one that fails to read and write figures."""

    def __init__(self, sighting: BoxSighting | None = None) -> None:
        self.sighting = sighting
        self.paces: dict[str, Pace] = {}
        self.broken = False

    def put_box(self, sighting: BoxSighting) -> None:
        """Replace the last known state."""
        self.sighting = sighting

    def box(self) -> BoxSighting | None:
        """Return the last known state."""
        return self.sighting

    def pace(self, model: str) -> Pace | None:
        """Return a model's figures."""
        if self.broken:
            raise StoreError("reading a model's pace failed")
        return self.paces.get(model)

    def put_pace(self, pace: Pace) -> None:
        """Replace a model's figures."""
        if self.broken:
            raise StoreError("writing a model's pace failed")
        self.paces[pace.model] = pace


class FakeSchedule:
    """A schedule by which the box sleeps for as long as the test says."""

    def __init__(self, wakes_in_ms: int | None) -> None:
        self.sleeps_for_ms = wakes_in_ms

    def wakes_in_ms(self, now_ms: int) -> int | None:
        """Return what the test set."""
        return self.sleeps_for_ms


class FakeSecret:
    """A `Key` that is another one, of those given, each time it is read anew; an error among them is raised."""

    def __init__(self, *values: str | StoreError) -> None:
        self._values = deque(values)
        self.times_read = 0

    def __call__(self, *, fresh: bool = False) -> str:
        """Return what was read last."""
        if self.times_read and fresh:
            self._values.rotate(-1)
        self.times_read += fresh or not self.times_read
        if isinstance(self._values[0], StoreError):
            raise self._values[0]
        return self._values[0]


class FakeBox:
    """Box that is in a given state, or cannot be reached; `unloadable` says why some models cannot be loaded."""

    def __init__(self, state: BoxState | RouterError) -> None:
        self._state = state
        self.unloadable: dict[str, RouterError] = {}
        self.loads: list[tuple[str, int]] = []

    def state(self) -> BoxState:
        """Return the state."""
        if isinstance(self._state, RouterError):
            raise self._state
        return self._state

    def load(self, model: str, *, deadline_ms: int) -> None:
        """Take note of the model and the deadline."""
        self.loads.append((model, deadline_ms))
        if model in self.unloadable:
            raise self.unloadable[model]


def cosine(one: Sequence[float], other: Sequence[float]) -> float:
    """Return the cosine similarity of two vectors."""
    product = sum(a * b for a, b in zip(one, other, strict=True))
    return product / (math.hypot(*one) * math.hypot(*other))


if TYPE_CHECKING:
    # The type checker holds every fake against its port.
    _PORTS: tuple[
        type[Embedder],
        type[CacheStore],
        type[FeedbackStore],
        type[JobStore],
        type[BatchStore],
        type[InputFiles],
        type[IdempotencyStore],
        type[KeyStore],
        type[LimitStore],
        type[AllowanceStore],
        type[ConversationStore],
        type[LanguageModel],
        type[RollupStore],
        type[BoxHours],
        type[StatusStore],
        type[Box],
    ] = (
        FakeEmbedder,
        FakeCacheStore,
        FakeFeedbackStore,
        FakeJobStore,
        FakeBatchStore,
        FakeInputFiles,
        FakeIdempotencyStore,
        FakeKeyStore,
        FakeLimitStore,
        FakeAllowanceStore,
        FakeConversationStore,
        FakeModel,
        FakeRollupStore,
        FakeBoxHours,
        FakeStatusStore,
        FakeBox,
    )
