"""The list of messages that Ollama's and OpenAI's chat interfaces have in common."""

from llm_router.models import ModelCall


def chat_messages(call: ModelCall) -> list[dict[str, str]]:
    """Return what the model reads: its instruction, the earlier turns, the question."""
    said = [] if call.system_prompt is None else [("system", call.system_prompt)]
    for turn in call.history:
        said += [("user", turn.question), ("assistant", turn.answer)]
    return [{"role": role, "content": content} for role, content in [*said, ("user", call.prompt)] if content]
