"""Reads the files of batches, a piece at a time, and takes their lines in."""

from collections.abc import Iterator
from typing import Final

from msgspec import Struct

from llm_router.batching.batches import Batch
from llm_router.batching.input_files import InputFile, InputOrder
from llm_router.errors import ConflictError, InvalidRequestError, NotFoundError, StoreError
from llm_router.ports import BatchStore, InputFiles
from submit_batch.intake import Intake
from submit_batch.lines import MAX_LINE_BYTES, Place, cut
from submit_batch.prompts import Portion, Sorter, portions

MAX_LINES: Final = 50_000
"""So many are read in one go, in minutes, and their names are held at once, to tell doubles."""
PIECE_BYTES: Final = 4 * MAX_LINE_BYTES


class InputReader(Struct, frozen=True):
    """Reads files from their beginning to their end; doing so again changes nothing."""

    store: BatchStore
    intake: Intake
    files: InputFiles

    def read(self, order: InputOrder, *, is_last_try: bool) -> None:
        """Take in all lines of a batch's file; a file that cannot be read is noted in its batch.

        Raises:
            StoreError: it is to be tried again, from the beginning; the last time the batch says so.
        """
        try:
            batch = self.store.get(order.batch_id)
        except NotFoundError:
            return  # it has expired
        if batch.input_complete or batch.input_error is not None:
            return
        try:
            self.intake.take(batch, self._portions(order.file))
        except (ConflictError, InvalidRequestError, NotFoundError) as error:
            self._give_up(batch, f"the file {error}")
        except StoreError:
            if is_last_try:
                self._give_up(batch, "the file could not be read")
            raise

    def _portions(self, file: InputFile) -> Iterator[Portion]:
        place, sorter, is_last = Place(), Sorter(), False
        while not is_last:
            piece = self.files.read(file, offset_bytes=place.offset_bytes, count_bytes=PIECE_BYTES)
            is_last = place.offset_bytes + len(piece) >= file.size_bytes
            lines, place = cut(piece, place, is_last=is_last)
            if lines and lines[-1].number > MAX_LINES:
                raise InvalidRequestError(f"must not have more than {MAX_LINES:,} lines")
            yield from portions(lines, sorter)

    def _give_up(self, batch: Batch, reason: str) -> None:
        now = self.store.get(batch.batch_id)
        self.store.note_input(now.batch_id, lines=now.lines, invalid=now.invalid, complete=False, error=reason)
