"""Brings models into memory before anybody asks for them."""

from collections.abc import Callable, Iterable
from typing import Final

from msgspec import Struct

from llm_router.box import BoxState
from llm_router.errors import ModelError
from llm_router.ports import Box, Clock

LOAD_MS: Final = 300_000
"""Ollama's own limit for a load; one that is given up sooner is thrown away, and begun anew by the next."""


class Preloader(Struct, frozen=True):
    """Loads models one after the other."""

    box: Box
    clock: Clock
    on_error: Callable[[str, ModelError], object]
    """Told which model was not loaded, and why."""

    def preload(self, state: BoxState, models: Iterable[str], *, deadline_ms: int) -> bool:
        """Load the models that are installed and not resident, and tell whether the box was asked to load any.

        No load is begun that could not take its time before `deadline_ms`; the next look at the box leads to it.
        """
        missing = [
            model for model in dict.fromkeys(models) if state.is_installed(model) and not state.is_resident(model)
        ]
        asked = False
        for model in missing:
            if deadline_ms - self.clock() < LOAD_MS:
                break
            asked = True
            try:
                self.box.load(model, deadline_ms=deadline_ms)
            except ModelError as error:
                self.on_error(model, error)
        return asked
