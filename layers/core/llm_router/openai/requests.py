"""Requests in the words of OpenAI's chat completions, made into the router's own."""

from typing import Annotated, Any, Final

from msgspec import Meta, Struct

from llm_router.classification.complexity import Complexity
from llm_router.errors import InvalidRequestError
from llm_router.openai.messages import Message, exchange, without_unsupported
from llm_router.openai.parameters import CHAT_COMPLETIONS, refuse_unsupported
from llm_router.request_bodies import ChatRequest, MaxTokens, Metadata, ModelName, Temperature
from llm_router.sampling import Penalty, ResponseFormat, Seed, StopSequence, StopSequences, TopP
from llm_router.validation import converted

AUTO: Final = "auto"
"""The model name that leaves the choice to the router."""

Messages = Annotated[tuple[Message, ...], Meta(min_length=1, max_length=2048)]
Model = Annotated[ModelName, Meta(description="`auto`, a tier (`simple`, `medium`, `complex`) or a configured model.")]


class StreamOptions(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What else a stream is to carry."""

    include_usage: bool | None = None
    include_obfuscation: bool | None = None
    """Makes no difference: the chunks are written when the answer is whole, and their lengths tell nothing."""


class ChatCompletionBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Body of `POST /v1/chat/completions`, as far as the router does what it says."""

    messages: Messages
    model: Model
    temperature: Temperature | None = None
    top_p: TopP | None = None
    frequency_penalty: Penalty | None = None
    presence_penalty: Penalty | None = None
    seed: Seed | None = None
    stop: StopSequence | StopSequences | None = None
    max_tokens: MaxTokens | None = None
    max_completion_tokens: MaxTokens | None = None
    response_format: ResponseFormat | None = None
    metadata: Metadata | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None

    def __post_init__(self) -> None:
        """Refuse what excludes each other.

        Raises:
            InvalidRequestError: there are both names of the answer's bound, or options of a stream without one.
        """
        if self.max_tokens is not None and self.max_completion_tokens is not None:
            raise InvalidRequestError("must not come with `max_tokens`", field="max_completion_tokens")
        if self.stream_options is not None and not self.stream:
            raise InvalidRequestError("must come with `stream`", field="stream_options")

    @property
    def includes_usage(self) -> bool:
        """Whether the stream ends with the tokens."""
        return self.stream_options is not None and bool(self.stream_options.include_usage)


class CompletionRequest(Struct, frozen=True, kw_only=True):
    """A request for a chat completion, in the router's words."""

    request: ChatRequest
    is_streamed: bool = False
    includes_usage: bool = False


def parse_chat_completion(document: dict[str, Any]) -> CompletionRequest:
    """Return the request that a body of `POST /v1/chat/completions`, parsed from JSON, makes.

    Raises:
        InvalidRequestError: a field breaks its rule, is unknown, or asks for what the router cannot do; the error
            names it by its path.
        PromptTooLongError: the question or the instruction is too long.
    """
    known = refuse_unsupported(document, CHAT_COMPLETIONS)
    if "messages" in known:
        known["messages"] = without_unsupported(known["messages"], "messages")
    body = converted(known, ChatCompletionBody)
    said = exchange(body.messages, "messages")
    tier, model = named_model(body.model)
    request = ChatRequest(
        message=said.question,
        system_prompt=said.system_prompt,
        history=said.history,
        force_tier=tier,
        force_model=model,
        max_tokens=body.max_completion_tokens or body.max_tokens,
        temperature=body.temperature,
        top_p=body.top_p,
        frequency_penalty=body.frequency_penalty,
        presence_penalty=body.presence_penalty,
        seed=body.seed,
        stop=(body.stop,) if isinstance(body.stop, str) else body.stop or (),
        response_format=body.response_format,
        metadata=body.metadata or {},
    )
    return CompletionRequest(request=request, is_streamed=bool(body.stream), includes_usage=body.includes_usage)


def named_model(name: str) -> tuple[Complexity | None, str | None]:
    """Return the tier or the model that a caller's `model` insists on; neither for `auto`."""
    if name in set(Complexity):
        return Complexity(name), None
    return None, None if name == AUTO else name
