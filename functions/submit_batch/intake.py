"""Hands the lines of a batch on: to the queue what can be asked, to the batch what cannot."""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import msgspec
from msgspec import Struct

from llm_router.batching.batches import Batch, PromptMessage
from llm_router.ports import BatchStore, PromptSender
from submit_batch.prompts import Portion, Prompt

WRITERS: Final = 8
"""How many lines are refused at once."""


class Intake(Struct, frozen=True):
    """Takes the lines of batches in.

    All of it may be done again after a crash: a line's request is the same one, however often it is sent.
    """

    store: BatchStore
    send: PromptSender

    def take(self, batch: Batch, portions: Iterable[Portion]) -> Batch:
        """Take in all lines of a batch, and return it as it stands; a cancelled batch takes no more.

        The batch counts a portion when it is handed on, so that a batch whose input breaks off waits for no line that
        nobody was asked.

        Raises:
            StoreError: the queue or the store failed; what was taken in until then stays so.
        """
        lines = invalid = 0
        for portion in () if batch.cancelled_at_ms is not None else portions:
            self._pass_on(batch, portion)
            lines, invalid = lines + portion.lines, invalid + len(portion.bad)
            batch = self.store.note_input(batch.batch_id, lines=lines, invalid=invalid, complete=False)
            if batch.cancelled_at_ms is not None:
                break
        if batch.lines > lines:  # it was cancelled while the lines of an earlier try were sent again
            lines, invalid = batch.lines, batch.invalid
        return self.store.note_input(batch.batch_id, lines=lines, invalid=invalid, complete=True)

    def _pass_on(self, batch: Batch, portion: Portion) -> None:
        with ThreadPoolExecutor(WRITERS) as pool:
            refusals = pool.map(
                lambda each: self.store.refuse_line(batch.batch_id, each.line, each.custom_id, each.error), portion.bad
            )
            self.send([message(batch, prompt) for prompt in portion.prompts])
            for _ in refusals:
                pass


def message(batch: Batch, prompt: Prompt) -> PromptMessage:
    """Return the message that a line becomes."""
    place = {"tenant": batch.tenant, "batch_id": batch.batch_id, "line": prompt.line, "custom_id": prompt.custom_id}
    return msgspec.convert(msgspec.to_builtins(prompt.request) | place, PromptMessage)
