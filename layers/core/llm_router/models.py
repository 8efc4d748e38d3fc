"""The shapes that cross the router's seams: jobs, what models are asked for them, and what they answer."""

import re
import uuid
from enum import StrEnum
from typing import Final

from msgspec import Struct

from llm_router.access.limits import Reservation
from llm_router.accounting.quantities import Quantities
from llm_router.arms import DEFAULT_ARM, SHADOW_ARM
from llm_router.classification.complexity import Complexity
from llm_router.sampling import Sampling

DEFAULT_TENANT: Final = "default"
_REQUEST_ID = re.compile(r"req_[0-9a-f]{32}")


def new_request_id() -> str:
    """Return an id that cannot be guessed."""
    return f"req_{uuid.uuid4().hex}"


def is_request_id(text: str) -> bool:
    """Whether `new_request_id` could have made it."""
    return _REQUEST_ID.fullmatch(text) is not None


class CacheTier(StrEnum):
    """Which part of the cache answered."""

    EXACT = "exact"
    SEMANTIC = "semantic"


class CacheBypass(StrEnum):
    """Why no stored answer was looked for."""

    SKIP_CACHE = "skip_cache"
    """The caller wants a new one, which is stored."""
    TIME_DEPENDENT = "time_dependent"
    """The right answer depends on the moment of asking; it is not stored either."""


class JobStatus(StrEnum):
    """Where a request stands."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    ESCALATED = "escalated"

    @property
    def finished(self) -> bool:
        """Whether nobody is at work on it or will be by himself: of what failed, an operator may redrive some."""
        return self in {JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.CANCELLED}


class Lane(StrEnum):
    """Which line a job of the box stands in."""

    INTERACTIVE = "interactive"
    """A caller waits for it."""
    BATCH = "batch"
    """It came through a queue: its answer is wanted, and nobody holds a line for it."""
    SHADOW = "shadow"
    """Nobody wants it."""


class Source(StrEnum):
    """How a request came in."""

    HTTP = "http"
    SQS = "sqs"
    INVOKE = "invoke"
    BATCH = "batch"


def lane_of(source: Source) -> Lane:
    """Return the line that requests of a source stand in."""
    return Lane.BATCH if source in {Source.SQS, Source.BATCH} else Lane.INTERACTIVE


class FeedbackVerdict(StrEnum):
    """What a caller says of an answer."""

    WRONG = "wrong"
    RIGHT = "right"


class Turn(Struct, frozen=True, array_like=True):
    """What was asked before, and what the answer was; one that begins with an answer has an empty question."""

    question: str
    answer: str


class ModelCall(Struct, frozen=True, kw_only=True):
    """One question to a model."""

    model: str
    """Name with its provider, e.g. `ollama/tinyllama`."""
    prompt: str
    system_prompt: str | None = None
    history: tuple[Turn, ...] = ()
    """Earlier turns of the conversation, oldest first."""
    max_tokens: int
    temperature: float | None = None
    sampling: Sampling = Sampling()

    @property
    def prompt_chars(self) -> int:
        """Length of what the model has to read."""
        return _chars(self.system_prompt, self.history, self.prompt)


class Generation(Struct, frozen=True, kw_only=True):
    """What a model said and what it took; durations as Ollama measures them."""

    text: str
    model: str
    """Name with its provider, as an answer shows it."""
    done_reason: str
    """`stop` when the model ended by itself; anything else is a cut answer."""
    input_tokens: int
    output_tokens: int
    load_ns: int = 0
    prompt_ns: int = 0
    generation_ns: int = 0
    cached_input_tokens: int = 0
    """How many of the input tokens the cloud still knew from before, and bills at a lower price."""
    tokens_estimated: bool = False
    """Whether the server did not tell the tokens, and they were estimated from the length of the texts."""

    @property
    def busy_ns(self) -> int:
        """Time the box worked on this answer: load + prompt + generation, without waiting in a queue."""
        return self.load_ns + self.prompt_ns + self.generation_ns


class Spent(Struct, frozen=True, kw_only=True):
    """What models took for a request so far."""

    busy_ms: int = 0
    """Time of the box."""
    actual_nano_usd: int = 0
    used: Quantities = Quantities()
    """What it took of the platform to ask them."""

    def __add__(self, other: "Spent") -> "Spent":
        """Return both together."""
        return Spent(
            busy_ms=self.busy_ms + other.busy_ms,
            actual_nano_usd=self.actual_nano_usd + other.actual_nano_usd,
            used=self.used + other.used,
        )


class WaitingFunction(Struct, frozen=True, kw_only=True):
    """Who waits for a job that another function runs."""

    since_ms: int
    """Epoch milliseconds."""
    waits_ms: int
    """How long at most."""
    memory_mb: int
    """Of the function that looks for the job's end meanwhile."""


class Target(Struct, frozen=True, kw_only=True):
    """A model that may answer a job, and what goes with it."""

    model: str
    namespace: str
    """Partition of the cache that its answer belongs to."""
    max_tokens: int
    turns: int = 0
    """How many of the job's earlier turns it is sent: the newest, as many as fit its context."""


class Answer(Struct, frozen=True, kw_only=True):
    """A finished answer, from a model or from the cache."""

    text: str
    model: str
    input_tokens: int
    output_tokens: int
    cached_input_tokens: int = 0
    done_reason: str = "stop"
    tier: CacheTier | None = None
    similarity: float | None = None
    cache_entry_id: str | None = None
    """Public id of the cache entry it came from; None when a model gave it."""
    fallback: str | None = None
    """The configured model that was asked in place of the job's own, if any."""
    tokens_estimated: bool = False
    busy_ms: int = 0
    actual_nano_usd: int = 0
    baseline_nano_usd: int = 0


class Failure(Struct, frozen=True, kw_only=True):
    """Why a request has no answer."""

    code: str
    message: str
    busy_ms: int = 0
    """How long the box wrote before it came to nothing."""
    actual_nano_usd: int = 0


class Delivery(Struct, frozen=True, kw_only=True):
    """What a prompt that came through a queue brings along, for whoever takes its answer."""

    batch_id: str | None = None
    line: int | None = None
    """Its place in the batch, from 1."""
    custom_id: str | None = None
    """What its sender calls it."""
    reply_to: str | None = None
    """URL of the SQS queue that its end is sent to."""


class Job(Struct, frozen=True, kw_only=True):
    """A request on its way, as JobTable keeps it."""

    job_id: str
    tenant: str
    status: JobStatus
    source: Source
    created_at_ms: int
    complexity: Complexity
    model: str
    arm: str = DEFAULT_ARM
    prompt: str
    system_prompt: str | None = None
    history: tuple[Turn, ...] = ()
    """Earlier turns of its conversation that the model is sent, oldest first."""
    max_tokens: int
    temperature: float | None = None
    sampling: Sampling = Sampling()
    metadata: dict[str, str] = {}
    """The caller's own notes, for him to read again."""
    namespace: str
    """Partition of the cache the answer belongs to."""
    entry_id: str
    """Key of the cache entry within its namespace: the exact hash of the canonical prompt."""
    embedding: tuple[float, ...] | None = None
    """None when no embedder was at hand; the answer is then found by its exact words only."""
    fallbacks: tuple[Target, ...] = ()
    """Who may answer in place of `model`, in this order."""
    flight: str | None = None
    """Fingerprint under which equal requests join this one."""
    cache_bypass: CacheBypass | None = None
    min_similarity: float | None = None
    """Least similarity of a stored answer, as its caller wants it."""
    no_store: bool = False
    """Whether the answer must not go into the cache."""
    cache_ttl_hours: float | None = None
    """How long the answer may be served, as its caller wants it; None leaves that to the router."""
    expected_ms: int | None = None
    """How long the answer was expected to take once it is begun; None when the box's speed was not known."""
    expected_load_ms: int = 0
    """Share of `expected_ms` that loading the model takes; 0 when it was in memory."""
    degraded: tuple[str, ...] = ()
    refusal: str | None = None
    """Why the nearest stored answer was not served, as a short code; None when there was none near, or one was."""
    delivery: Delivery = Delivery()
    worker: str | None = None
    """Who runs it; nobody else may finish it while the lease holds."""
    lease_until_ms: int = 0
    attempts: int = 0
    """How often a worker has begun it and was not heard of again, the present one included."""
    cancel_requested: bool = False
    escalated: bool = False
    """Whether the cloud answers it, and the box is not asked any more."""
    spent: Spent = Spent()
    """What models took in vain before it was escalated."""
    used: Quantities = Quantities()
    """What it took of the platform until it was stored."""
    waiter: WaitingFunction | None = None
    """None where nobody waits for it."""
    reservation: Reservation | None = None
    """None where no budget is charged."""
    started_at_ms: int | None = None
    partial_text: str = ""
    answer: Answer | None = None
    failure: Failure | None = None
    finished_at_ms: int | None = None

    @property
    def lane(self) -> Lane:
        """Which line it stands in."""
        return Lane.SHADOW if self.arm == SHADOW_ARM else lane_of(self.source)

    @property
    def prompt_chars(self) -> int:
        """Length of what the model has to read."""
        return _chars(self.system_prompt, self.history, self.prompt)

    @property
    def latency_ms(self) -> int:
        """Time from the request's arrival to its end; 0 while it is on its way."""
        return max(0, self.finished_at_ms - self.created_at_ms) if self.finished_at_ms is not None else 0

    def is_abandoned(self, now_ms: int) -> bool:
        """Whether its worker has not been heard of for as long as its lease."""
        return self.status is JobStatus.RUNNING and self.lease_until_ms < now_ms


class JobInLine(Struct, frozen=True, kw_only=True):
    """What is known of a job that waits or runs, without reading the job."""

    job_id: str
    model: str
    created_at_ms: int
    expected_ms: int | None = None
    """How long its answer is expected to take, its model being in memory; None when nobody knows."""
    started_at_ms: int | None = None
    """None while nobody has begun it."""


class QueueDepth(Struct, frozen=True, kw_only=True):
    """How many messages the inference queue has, roughly, as SQS counts them."""

    waiting: int
    in_flight: int
    """With a worker, or hidden until they are tried again."""


class Conversation(Struct, frozen=True, kw_only=True):
    """What is kept of a conversation; before its first request, and a day after its last, nothing but its name."""

    tenant: str
    conversation_id: str
    turns: tuple[Turn, ...] = ()
    """Oldest first; the turn of `last_job` is not yet in it."""
    last_job: str | None = None
    """The request that came last, wherever it stands; None when it could not be stored."""
    claims: int = 0
    """How many requests there have been, which tells two states apart."""
    claimed_at_ms: int = 0


def _chars(system_prompt: str | None, history: tuple[Turn, ...], prompt: str) -> int:
    return len(system_prompt or "") + sum(len(turn.question) + len(turn.answer) for turn in history) + len(prompt)
