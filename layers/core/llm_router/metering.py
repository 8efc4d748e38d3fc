"""What a model's work costs: the box by the time it was busy, the cloud by the token."""

from collections.abc import Callable
from typing import Protocol

from msgspec import Struct

from llm_router.accounting.prices import ListPrice
from llm_router.box import CHARS_PER_TOKEN
from llm_router.costs import Costs
from llm_router.models import Generation, ModelCall, Spent


class Meter(Protocol):
    """Prices one server's work."""

    def generation(self, generation: Generation) -> Spent:
        """Return what a whole answer took."""

    def fragment(self, call: ModelCall, text: str, *, writing_ms: int) -> Spent:
        """Return what an answer took that broke off after `text`, `writing_ms` after its first piece."""


class BoxMeter(Struct, frozen=True):
    """Busy time x hourly price; of an answer that broke off only the time since its first piece is known."""

    costs: Costs

    def generation(self, generation: Generation) -> Spent:
        """Return the time that the box reported, and its price."""
        return Spent(
            busy_ms=generation.busy_ns // 1_000_000, actual_nano_usd=self.costs.box_nano_usd(generation.busy_ns)
        )

    def fragment(self, call: ModelCall, text: str, *, writing_ms: int) -> Spent:  # noqa: ARG002 - the protocol's
        """Return the time that the box wrote, and its price."""
        return Spent(busy_ms=writing_ms, actual_nano_usd=self.costs.box_nano_usd(writing_ms * 1_000_000))


class CloudMeter(Struct, frozen=True):
    """List price of the tokens; those of an answer that broke off are estimated, for they are billed and not told."""

    price: Callable[[], ListPrice]
    """Tells the price in force, for a meter may outlive one."""

    def generation(self, generation: Generation) -> Spent:
        """Return the list price of the tokens, with what the cloud still knew of the prompt at its lower price."""
        cost_nano_usd = self.price().cost_nano_usd(
            generation.input_tokens, generation.output_tokens, generation.cached_input_tokens
        )
        return Spent(actual_nano_usd=cost_nano_usd)

    def fragment(self, call: ModelCall, text: str, *, writing_ms: int) -> Spent:  # noqa: ARG002 - the protocol's
        """Return the list price of about as many tokens; a call that was refused costs nothing."""
        if not text:
            return Spent()
        cost_nano_usd = self.price().cost_nano_usd(estimated_tokens(call.prompt_chars), estimated_tokens(len(text)))
        return Spent(actual_nano_usd=cost_nano_usd)


def estimated_tokens(chars: int) -> int:
    """Return about how many tokens a text has, rounded up."""
    return -(-chars // CHARS_PER_TOKEN)
