"""The models of the Ollama stand-in: what is on its disk and what is in its memory."""

import hashlib
import time
from collections import OrderedDict
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from msgspec import Struct

DISK_BYTES_PER_S: Final = 125_000_000
"""Baseline throughput of a gp3 volume, which bounds how fast a model loads."""
DEFAULT_CONTEXT_TOKENS: Final = 4096
DEFAULT_KEEP_ALIVE_S: Final = 300.0
LOAD_OPTIONS: Final = ("num_ctx", "num_batch", "num_gpu", "main_gpu", "use_mmap", "num_thread")
NEVER: Final = "2318-01-01T00:00:00Z"
NS_PER_S: Final = 1_000_000_000


class ModelCard(Struct, frozen=True, kw_only=True):
    """What is fixed for a model; speeds are those of a small CPU machine."""

    name: str
    size_bytes: int = 2_019_393_189
    trained_tokens: int = 131_072
    kv_bytes_per_token: int = 114_688
    parameter_size: str = "3.2B"
    quantization: str = "Q4_K_M"
    prompt_tokens_per_s: int = 60
    output_tokens_per_s: int = 10

    @property
    def tag(self) -> str:
        """The name as Ollama lists it."""
        return self.name if ":" in self.name else f"{self.name}:latest"

    @property
    def load_ns(self) -> int:
        """How long loading takes."""
        return self.size_bytes * NS_PER_S // DISK_BYTES_PER_S

    def describe(self) -> dict[str, Any]:
        """Return what `/api/tags` and `/api/ps` have in common."""
        return {
            "name": self.tag,
            "model": self.tag,
            "size": self.size_bytes,
            "digest": hashlib.sha256(self.tag.encode()).hexdigest(),
            "details": {
                "parent_model": "",
                "format": "gguf",
                "family": "llama",
                "families": ["llama"],
                "parameter_size": self.parameter_size,
                "quantization_level": self.quantization,
            },
        }


TINYLLAMA: Final = ModelCard(
    name="tinyllama",
    size_bytes=637_700_138,
    trained_tokens=2048,
    kv_bytes_per_token=22_528,
    parameter_size="1B",
    quantization="Q4_0",
    prompt_tokens_per_s=180,
    output_tokens_per_s=25,
)


def card(name: str) -> ModelCard:
    """Return what is known of a model; any other name is given the figures of llama3.2."""
    return TINYLLAMA if name.removesuffix(":latest") == TINYLLAMA.name else ModelCard(name=name)


class _Resident(Struct):
    card: ModelCard
    options: tuple[Any, ...]
    context_length: int
    keep_alive_s: float
    used_at_s: float

    @property
    def expires_at(self) -> str:
        if self.keep_alive_s < 0:
            return NEVER
        return datetime.fromtimestamp(self.used_at_s + self.keep_alive_s, UTC).isoformat().replace("+00:00", "Z")

    @property
    def expired(self) -> bool:
        return 0 <= self.keep_alive_s <= time.time() - self.used_at_s


class Memory:
    """Keeps a few models loaded and forgets the one that was used the longest ago."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.loads: list[str] = []
        self._resident: OrderedDict[str, _Resident] = OrderedDict()

    def use(
        self, card: ModelCard, options: Mapping[str, Any], *, shift: bool, keep_alive_s: float | None
    ) -> tuple[int, int]:
        """Make a model resident; return the nanoseconds loading took, and the context in tokens.

        As in Ollama's scheduler, any other load option or `shift` than before loads the model anew.
        """
        wanted = {"num_ctx": DEFAULT_CONTEXT_TOKENS, **options}
        key = (shift, *(wanted.get(name) for name in LOAD_OPTIONS))
        self._drop_expired()
        found = self._resident.pop(card.tag, None)
        loaded = found is None or found.options != key
        keep = DEFAULT_KEEP_ALIVE_S if keep_alive_s is None else keep_alive_s
        context = min(int(wanted["num_ctx"]), card.trained_tokens)
        self._resident[card.tag] = _Resident(card, key, context, keep, time.time())
        if loaded:
            self.loads.append(card.name)
            while len(self._resident) > self.limit:
                self._resident.popitem(last=False)
        return card.load_ns if loaded else 0, context

    def unload(self, card: ModelCard) -> None:
        """Forget a model, if it is resident."""
        self._resident.pop(card.tag, None)

    def describe(self) -> list[dict[str, Any]]:
        """Return the models of `/api/ps`, the one used last first."""
        self._drop_expired()
        return [
            each.card.describe()
            | {
                "size": each.card.size_bytes + each.context_length * each.card.kv_bytes_per_token,
                "size_vram": 0,
                "expires_at": each.expires_at,
                "context_length": each.context_length,
            }
            for each in reversed(self._resident.values())
        ]

    def _drop_expired(self) -> None:
        for name in [name for name, each in self._resident.items() if each.expired]:
            del self._resident[name]
