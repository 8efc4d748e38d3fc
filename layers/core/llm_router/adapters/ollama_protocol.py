"""Ollama's wire format, https://github.com/ollama/ollama/blob/main/docs/api.md, and its meaning to the router."""

import re
from http import HTTPStatus
from typing import Any, Final

from msgspec import Struct, field

from llm_router.adapters.chat_messages import chat_messages
from llm_router.box import PROVIDER_PREFIX, BoxState, InstalledModel, ResidentModel, context_tokens, same_model
from llm_router.errors import (
    ModelError,
    ModelNotFoundError,
    ModelUnavailableError,
    PromptTooLongError,
    ResponseFormatError,
)
from llm_router.models import Generation, ModelCall

STAYS_RESIDENT: Final = -1
TOO_LONG: Final = ("longer than the context", "exceeds the available context")
"""What Ollama and the llama.cpp server inside it say of a prompt that does not fit."""
NO_GRAMMAR: Final = ("required for format", "invalid format", "invalid JSON schema", "failed to parse grammar")
"""What they say of a format that no grammar can be made of; the first comes as a 500."""
LONGEST_NOTE: Final = 200
_MISSING: Final = re.compile(r"""model \\?["'](?P<name>[\w./:-]{1,128})\\?["'] not found""")


class Message(Struct):
    """What the model says in one chunk."""

    content: str = ""


class Chunk(Struct):
    """One line of a streamed answer. Durations in nanoseconds; Ollama leaves out what is zero."""

    model: str = ""
    message: Message = field(default_factory=Message)
    done: bool = False
    done_reason: str = ""
    error: str = ""
    load_duration: int = 0
    prompt_eval_count: int = 0
    prompt_eval_duration: int = 0
    eval_count: int = 0
    eval_duration: int = 0


class Version(Struct):
    """Answer of `GET /api/version`."""

    version: str


class Model(Struct):
    """One entry of `Models`; the last two fields are in `GET /api/ps` only."""

    name: str
    size: int = 0
    context_length: int = 0
    expires_at: str = ""


class Models(Struct):
    """Answer of `GET /api/tags` and `GET /api/ps`."""

    models: list[Model]


def chat_body(call: ModelCall) -> dict[str, Any]:
    """Return the body of `POST /api/chat`.

    Of the options only those that leave a loaded model alone depend on the call.
    """
    messages = chat_messages(call)
    sampling = call.sampling
    options = {
        "num_ctx": context_tokens(call.model),
        "num_predict": call.max_tokens,
        "temperature": call.temperature,
        "top_p": sampling.top_p,
        "frequency_penalty": sampling.frequency_penalty,
        "presence_penalty": sampling.presence_penalty,
        "seed": sampling.seed,
        "stop": sampling.stop or None,
    }
    body = {
        "model": call.model.removeprefix(PROVIDER_PREFIX),
        "messages": messages,
        "stream": True,
        "truncate": False,
        "keep_alive": STAYS_RESIDENT,
        "options": {name: value for name, value in options.items() if value is not None},
    }
    form = sampling.response_format
    return body if form is None else body | {"format": form.json_schema.schema if form.json_schema else "json"}


def load_body(model: str) -> dict[str, Any]:
    """Return the body of `POST /api/chat` that only loads a model, with the load options of every other call."""
    return {
        "model": model.removeprefix(PROVIDER_PREFIX),
        "messages": [],
        "stream": True,
        "keep_alive": STAYS_RESIDENT,
        "options": {"num_ctx": context_tokens(model)},
    }


def generation(call: ModelCall, last: Chunk, text: str) -> Generation:
    """Return the answer `text` with the figures of the stream's last chunk."""
    return Generation(
        text=text,
        model=call.model if same_model(call.model, last.model) else PROVIDER_PREFIX + last.model,
        done_reason=last.done_reason,
        input_tokens=last.prompt_eval_count,
        output_tokens=last.eval_count,
        load_ns=last.load_duration,
        prompt_ns=last.prompt_eval_duration,
        generation_ns=last.eval_duration,
    )


def box_state(version: Version, installed: Models, resident: Models) -> BoxState:
    """Return the three answers as one."""
    return BoxState(
        version=version.version,
        installed=tuple(InstalledModel(name=each.name, size_bytes=each.size) for each in installed.models),
        resident=tuple(
            ResidentModel(
                name=each.name,
                size_bytes=each.size,
                context_length=each.context_length,
                expires_at=each.expires_at,
            )
            for each in resident.models
        ),
    )


def refusal(status: int, words: str) -> ModelError:
    """Return the error that a status and the server's own words amount to.

    The words stay out of its message, but for the name of a missing model.
    """
    if any(phrase in words for phrase in TOO_LONG):
        error: ModelError = PromptTooLongError("The prompt does not fit the model's context.")
    elif any(phrase in words for phrase in NO_GRAMMAR):
        error = ResponseFormatError("The model server cannot hold the model to this response format.")
    elif status == HTTPStatus.NOT_FOUND:
        missing = _MISSING.search(words)
        name = f"model {missing['name']}" if missing else "model"
        error = ModelNotFoundError(f"The model server does not have the {name}.")
    elif status == HTTPStatus.BAD_REQUEST:
        error = ModelError("The model server rejected the request.")
    elif status == HTTPStatus.UNAUTHORIZED:
        error = ModelUnavailableError("The model server does not accept the router's secret.")
    elif status == HTTPStatus.SERVICE_UNAVAILABLE:
        error = ModelUnavailableError("The model server is busy.")
    else:
        error = ModelUnavailableError("The model server failed.")
    error.add_note(f"Ollama, status {status}: {words[:LONGEST_NOTE]}")
    return error
