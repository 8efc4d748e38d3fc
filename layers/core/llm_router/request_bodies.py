"""Bodies of requests over HTTP, with the rules of their fields; a direct invoke takes the same."""

from typing import Annotated, Final

from msgspec import Meta, Struct

from llm_router.classification.complexity import Complexity
from llm_router.errors import InvalidRequestError
from llm_router.models import FeedbackVerdict, Turn
from llm_router.sampling import Penalty, ResponseFormat, Sampling, Seed, StopSequences, TopP

MAX_MESSAGE_CHARS: Final = 32_000
MAX_WAIT_SECONDS: Final = 25

Message = Annotated[
    str, Meta(max_length=MAX_MESSAGE_CHARS, min_length=1, pattern=r"\S", description="What the user wrote; not blank.")
]
SystemPrompt = Annotated[
    str,
    Meta(max_length=MAX_MESSAGE_CHARS, min_length=1, pattern=r"\S", description="Instruction to the model; not blank."),
]
ConversationId = Annotated[
    str, Meta(pattern=r"^[A-Za-z0-9_.:-]{1,128}$(?!\n)", description="The model also gets the turns before this one.")
]
ModelName = Annotated[
    str, Meta(min_length=1, max_length=128, description="A configured model, instead of the one the grade leads to.")
]
MaxTokens = Annotated[int, Meta(ge=1, le=4096, description="Upper bound of the answer's length in tokens.")]
Temperature = Annotated[float, Meta(ge=0, le=2, description="Randomness of the answer.")]
MinSimilarity = Annotated[
    float, Meta(ge=0, le=1, description="Least cosine similarity of a hit; less than the router's own has no effect.")
]
CacheTtlHours = Annotated[
    float, Meta(gt=0, description="How long the answer may be served to others; longer than the router's own is cut.")
]

Metadata = Annotated[
    dict[Annotated[str, Meta(max_length=64)], Annotated[str, Meta(max_length=512)]],
    Meta(max_length=16, description="Notes for yourself, kept with the request; no part of the prompt."),
]


class CacheQuestion(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """The fields of a request that decide which answers it may share; body of `POST /api/v1/cache/lookup`."""

    message: Message
    conversation_id: ConversationId | None = None
    force_model: ModelName | None = None
    system_prompt: SystemPrompt | None = None
    max_tokens: MaxTokens | None = None
    temperature: Temperature | None = None
    top_p: TopP | None = None
    frequency_penalty: Penalty | None = None
    presence_penalty: Penalty | None = None
    seed: Seed | None = None
    stop: StopSequences = ()
    response_format: ResponseFormat | None = None
    force_tier: Complexity | None = None
    """A tier, instead of the grade."""
    history: tuple[Turn, ...] = ()
    """Earlier turns, oldest first, each a question and its answer; none is left out, so they have to fit the model."""
    min_similarity: MinSimilarity | None = None

    def __post_init__(self) -> None:
        """Refuse what excludes each other.

        Raises:
            InvalidRequestError: there are both of a pair.
        """
        if self.force_tier is not None and self.force_model is not None:
            raise InvalidRequestError("must not come with `force_model`", field="force_tier")
        if self.history and self.conversation_id is not None:
            raise InvalidRequestError("must not come with `conversation_id`", field="history")

    @property
    def chars(self) -> int:
        """Length of what the model has to read, without what is kept of a conversation."""
        turns = sum(len(turn.question) + len(turn.answer) for turn in self.history)
        return len(self.message) + len(self.system_prompt or "") + turns

    @property
    def sampling(self) -> Sampling:
        """How the model is to choose its words; free text is no format."""
        form = self.response_format
        return Sampling(
            # Adding zero makes -0.0 the same as 0.0.
            top_p=self.top_p,
            frequency_penalty=None if self.frequency_penalty is None else self.frequency_penalty + 0.0,
            presence_penalty=None if self.presence_penalty is None else self.presence_penalty + 0.0,
            seed=self.seed,
            stop=self.stop,
            response_format=None if form is None or form.type == "text" else form,
        )


class ChatRequest(CacheQuestion, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Body of `POST /api/v1/chat`."""

    skip_cache: Annotated[bool, Meta(description="Do not answer from the cache; the answer is still stored.")] = False
    no_store: Annotated[bool, Meta(description="Do not store the answer; it may still come from the cache.")] = False
    cache_ttl_hours: CacheTtlHours | None = None
    wait_seconds: Annotated[
        float, Meta(ge=0, le=MAX_WAIT_SECONDS, description="How long to wait before 202 answers instead.")
    ] = MAX_WAIT_SECONDS
    metadata: Metadata = {}


class FeedbackRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Body of `POST /api/v1/feedback`."""

    request_id: Annotated[str, Meta(max_length=64, description="The `request_id` of the answer.")]
    verdict: FeedbackVerdict
    comment: Annotated[str, Meta(max_length=2000, description="For people; kept for a year, never logged.")] | None = (
        None
    )


class ClassifyRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Body of `POST /api/v1/classify`: one message, or several."""

    message: Message | None = None
    messages: Annotated[tuple[Message, ...], Meta(min_length=1, max_length=100)] | None = None

    def __post_init__(self) -> None:
        """Refuse neither and both.

        Raises:
            InvalidRequestError: there is not exactly one of the two.
        """
        if (self.message is None) == (self.messages is None):
            rule = "is required, or `messages`" if self.message is None else "must not come with `messages`"
            raise InvalidRequestError(rule, field="message")
