"""How long an answer will take, from what the box was seen to need."""

from typing import Final, Self

from msgspec import Struct, structs

from llm_router.box import CHARS_PER_TOKEN
from llm_router.models import Generation

NS_PER_MS: Final = 1_000_000
WEIGHT_OF_NEWEST: Final = 0.2
"""Share of the newest sample in a rolling figure: after ten samples the oldest counts for a tenth."""
LOADED_FROM_MS: Final = 200
"""A load that takes longer than this brought a model into memory; shorter ones only found it there."""


class Pace(Struct, frozen=True, kw_only=True):
    """Rolling figures of one model on this box; None where nothing has been seen yet."""

    model: str
    load_ms: float | None = None
    prompt_tokens_per_second: float | None = None
    output_tokens_per_second: float | None = None
    output_tokens: float | None = None
    """Length of a usual answer."""
    learned_at_ms: int = 0
    """When the newest generation ended; its model has stayed in memory, unless others drove it out."""

    def learn(self, generation: Generation, now_ms: int) -> Self:
        """Return the figures with one more generation in them."""
        load_ms = generation.load_ns / NS_PER_MS
        return type(self)(
            model=self.model,
            load_ms=_roll(self.load_ms, load_ms if load_ms > LOADED_FROM_MS else None),
            prompt_tokens_per_second=_roll(
                self.prompt_tokens_per_second, _per_second(generation.input_tokens, generation.prompt_ns)
            ),
            output_tokens_per_second=_roll(
                self.output_tokens_per_second, _per_second(generation.output_tokens, generation.generation_ns)
            ),
            output_tokens=_roll(self.output_tokens, generation.output_tokens),
            learned_at_ms=now_ms,
        )

    def longest_ms(self, *, prompt_chars: int, max_tokens: int) -> int | None:
        """Return how long an answer takes that uses all of its tokens, load included; None where nobody knows."""
        longest = structs.replace(self, output_tokens=None if self.output_tokens is None else float(max_tokens))
        return longest.expected_ms(prompt_chars=prompt_chars, max_tokens=max_tokens, resident=False)

    def expected_ms(self, *, prompt_chars: int, max_tokens: int, resident: bool) -> int | None:
        """Return how long an answer takes once it is begun; None while the box's speed is not known.

        Expected time = load, if the model is not resident, + prompt tokens / prompt rate + output tokens / output rate.
        """
        if not self.prompt_tokens_per_second or not self.output_tokens_per_second or self.output_tokens is None:
            return None
        load_ms = 0.0 if resident or self.load_ms is None else self.load_ms
        prompt_s = prompt_chars / CHARS_PER_TOKEN / self.prompt_tokens_per_second
        output_s = min(max_tokens, self.output_tokens) / self.output_tokens_per_second
        return round(load_ms + (prompt_s + output_s) * 1000)


def _per_second(tokens: int, duration_ns: int) -> float | None:
    return tokens * 1_000_000_000 / duration_ns if tokens and duration_ns else None


def _roll(old: float | None, newest: float | None) -> float | None:
    if old is None or newest is None:
        return newest if old is None else old
    return old + WEIGHT_OF_NEWEST * (newest - old)
