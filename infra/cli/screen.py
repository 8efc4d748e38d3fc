"""Where words go: data to the standard output, as it is; talk and progress to the standard error."""

import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, TextIO

from rich.console import Console, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.text import Text

from infra.cli.answers import BatchState
from infra.cli.tables import batch_line

_PIPED_WIDTH: Final = 120
_CONTROLS: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
"""What could move a terminal's cursor, or worse; neither tab nor line feed."""


class Screen:
    """The two streams of a command."""

    def __init__(self, out: TextIO | None = None, talk: TextIO | None = None) -> None:
        self._out = out or sys.stdout
        self._talk = Console(file=talk or sys.stderr)

    def data(self, raw: bytes) -> None:
        """Write data; only a terminal gets it without control characters."""
        if self._out.isatty():
            raw = harmless(raw.decode("utf-8", "replace")).encode()
        self._out.flush()
        self._out.buffer.write(raw)
        self._out.buffer.flush()

    def show(self, table: RenderableType) -> None:
        """Write a table as data, as wide as the terminal, if there is one."""
        console = Console(file=self._out)
        (console if console.is_terminal else Console(file=self._out, width=_PIPED_WIDTH)).print(table)

    def say(self, words: str) -> None:
        """Tell whoever looks."""
        self._talk.print(harmless(words), soft_wrap=True, markup=False, highlight=False)

    @contextmanager
    def waiting(self, words: str) -> Iterator[Callable[[str], None]]:
        """Show that something is waited for; what it yields tells what for, from then on."""
        if not self._talk.is_terminal:
            yield _once_each(self.say)
            return
        with self._talk.status(Text(words)) as status:
            yield lambda text: status.update(Text(text))

    @contextmanager
    def following(self, *, beside_data: bool = False) -> Iterator[Callable[[BatchState], None]]:
        """Show how far a batch has come; what it yields is told each time.

        Args:
            beside_data: Whether data is written meanwhile, which on one terminal would run into a bar.
        """
        if not self._talk.is_terminal or (beside_data and self._out.isatty()):
            tell = _once_each(self.say)
            yield lambda state: tell(batch_line(state))
            return
        columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}", markup=False))
        with Progress(*columns, console=self._talk, transient=True) as progress:
            task = progress.add_task("", total=None)
            yield lambda state: progress.update(
                task, total=state.lines, completed=state.lines - state.pending, description=batch_line(state)
            )


def harmless(text: str) -> str:
    """Return a text whose control characters are visible."""
    return _CONTROLS.sub(lambda match: repr(match[0])[1:-1], text)


def _once_each(tell: Callable[[str], None]) -> Callable[[str], None]:
    """Return a function that tells only what is new."""
    last = ""

    def told(words: str) -> None:
        nonlocal last
        if words != last:
            tell(words)
        last = words

    return told
