"""Parameters of OpenAI's interfaces that the router does not have: harmless where they ask for nothing, or refused."""

from collections.abc import Mapping
from typing import Any, Final

from llm_router.errors import UnsupportedParameterError

Harmless = Mapping[str, tuple[Any, ...] | None]
"""By name the values, beside null, that ask for nothing; None where any value does not."""

COMMON: Final[Harmless] = {
    "tools": ([],),
    "tool_choice": ("none", "auto"),
    "parallel_tool_calls": (True, False),
    "service_tier": ("auto", "default"),
    "top_logprobs": (0,),
    "prompt_cache_key": None,
    "prompt_cache_retention": None,
    "safety_identifier": None,
    "user": None,
}
CHAT_COMPLETIONS: Final[Harmless] = {
    **COMMON,
    "n": (1,),
    "logprobs": (False,),
    "functions": ([],),
    "function_call": ("none", "auto"),
    "modalities": (["text"],),
    "audio": (),
    "prediction": (),
    "logit_bias": ({},),
    "store": (False,),
    "reasoning_effort": ("none",),
    "verbosity": ("medium",),
    "web_search_options": (),
}
RESPONSES: Final[Harmless] = {
    **COMMON,
    "stream": (False,),
    "stream_options": (),
    "store": (True,),
    "previous_response_id": (),
    "conversation": (),
    "include": ([],),
    "max_tool_calls": (),
    "prompt": (),
    "reasoning": ({},),
    "truncation": ("disabled",),
}

TEXT: Final[Harmless] = {"verbosity": ("medium",)}
"""Of `text` in a request for a response."""


def refuse_unsupported(document: Mapping[str, Any], harmless: Harmless, path: str = "") -> dict[str, Any]:
    """Return a JSON object without the parameters that the router does not have.

    Args:
        document: The object.
        harmless: What may be left out.
        path: Where in the body the object stands; empty for the body itself.

    Raises:
        UnsupportedParameterError: one of them asks for something.
    """
    for name, values in harmless.items():
        given = document.get(name)
        if given is not None and values is not None and not any(_is(given, each) for each in values):
            raise UnsupportedParameterError("is not supported", field=f"{path}.{name}" if path else name)
    return {name: value for name, value in document.items() if name not in harmless}


def _is(given: object, value: object) -> bool:
    """Whether two JSON values are the same; to Python 1 and true are equal."""
    return type(given) is type(value) and given == value
