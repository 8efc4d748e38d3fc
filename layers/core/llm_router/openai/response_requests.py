"""Requests in the words of OpenAI's Responses interface, made into the router's own."""

from typing import Any, Literal

import msgspec
from msgspec import Struct

from llm_router.errors import InvalidRequestError
from llm_router.openai.messages import Message, exchange, without_unsupported
from llm_router.openai.parameters import RESPONSES, TEXT, refuse_unsupported
from llm_router.openai.requests import Messages, Model, named_model
from llm_router.request_bodies import ChatRequest, MaxTokens, Metadata, SystemPrompt, Temperature
from llm_router.request_bodies import Message as Question
from llm_router.sampling import JsonSchema, ResponseFormat, SchemaDescription, SchemaName, TopP
from llm_router.validation import converted


class TextFormat(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """The form of an answer; all but `type` go with `json_schema`, whose name and schema must be there."""

    type: Literal["text", "json_object", "json_schema"] = "text"
    name: SchemaName | None = None
    schema: dict[str, Any] | None = None
    description: SchemaDescription | None = None
    strict: bool | None = None


class Text(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What is wanted of the answer's text."""

    format: TextFormat | None = None


class ResponseBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Body of `POST /v1/responses`, as far as the router does what it says."""

    input: Question | Messages
    model: Model
    instructions: SystemPrompt | None = None
    temperature: Temperature | None = None
    top_p: TopP | None = None
    max_output_tokens: MaxTokens | None = None
    text: Text | None = None
    background: bool | None = None
    metadata: Metadata | None = None


class ResponseRequest(Struct, frozen=True, kw_only=True):
    """A request for a response, in the router's words."""

    request: ChatRequest
    in_background: bool
    """Whether the caller comes back for the answer."""


def parse_response(document: dict[str, Any]) -> ResponseRequest:
    """Return the request that a body of `POST /v1/responses`, parsed from JSON, makes.

    Raises:
        InvalidRequestError: a field breaks its rule, is unknown, or asks for what the router cannot do; the error
            names it by its path.
        PromptTooLongError: the question or the instruction is too long.
    """
    known = refuse_unsupported(document, RESPONSES)
    if "input" in known:
        known["input"] = without_unsupported(known["input"], "input")
    if isinstance(known.get("text"), dict):
        known["text"] = refuse_unsupported(known["text"], TEXT, "text")
    body = converted(known, ResponseBody)
    given = (Message(role="user", content=body.input),) if isinstance(body.input, str) else body.input
    before = (Message(role="system", content=body.instructions),) if body.instructions else ()
    said = exchange(given, "input", before=before)
    tier, model = named_model(body.model)
    request = ChatRequest(
        message=said.question,
        system_prompt=said.system_prompt,
        history=said.history,
        force_tier=tier,
        force_model=model,
        max_tokens=body.max_output_tokens,
        temperature=body.temperature,
        top_p=body.top_p,
        response_format=_response_format(body.text),
        metadata=body.metadata or {},
    )
    return ResponseRequest(request=request, in_background=bool(body.background))


def _response_format(text: Text | None) -> ResponseFormat | None:
    if text is None or text.format is None:
        return None
    wanted = msgspec.structs.asdict(text.format)
    kind = wanted.pop("type")
    given = {name: value for name, value in wanted.items() if value is not None}
    if kind != "json_schema":
        if given:
            raise InvalidRequestError("must come with the type json_schema", field=f"text.format.{min(given)}")
        return ResponseFormat(type=kind)
    for name in ("name", "schema"):
        if name not in given:
            raise InvalidRequestError("is required", field=f"text.format.{name}")
    try:
        return ResponseFormat(type=kind, json_schema=JsonSchema(**given))
    except InvalidRequestError as error:  # it names the field as chat completions do
        raise InvalidRequestError(str(error), field="text.format.schema") from error
