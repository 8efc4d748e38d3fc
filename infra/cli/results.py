"""Results of a batch on their way to a file, which may have been interrupted before, or to the standard output."""

import fcntl
import io
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec

from infra.cli.answers import ResultHead
from infra.cli.client import RouterClient
from infra.cli.errors import UnreachableError, WrongUseError

LONGEST_LINE_BYTES: Final = 8_000_000
"""A page, and so a line, has less."""
_ANSWERED: Final = "succeeded"


class Results:
    """Writes pages of results down, and knows how far they are.

    Args:
        write: Takes whole lines.
    """

    def __init__(self, write: Callable[[bytes], object]) -> None:
        self._write = write
        self.last: ResultHead | None = None
        self.unanswered = 0

    @property
    def lines(self) -> int:
        """How many lines there are."""
        return self.last.line if self.last else 0

    def count(self, raw: bytes) -> None:
        """Count one line, without its writing.

        Raises:
            ValueError: it is not the result of the line that comes next.
        """
        head = _head(raw)
        if head.line != self.lines + 1:
            raise ValueError(f"line {self.lines + 1} is missing")
        self.last = head
        self.unanswered += head.status != _ANSWERED

    def append(self, page: bytes) -> None:
        """Write a page down.

        Raises:
            UnreachableError: it is not the page that comes next; nothing is written.
        """
        try:
            for raw in page.splitlines():
                self.count(raw)
        except ValueError as error:
            raise UnreachableError(f"the answer is no page of results ({error})") from error
        if page:
            self._write(page)


@contextmanager
def results_file(path: Path, client: RouterClient, batch_id: str) -> Iterator[Results]:
    """Open a file of results, a new one or one to go on with; a torn last line is cut off.

    Raises:
        WrongUseError: it is not a file of this batch's results, or another command writes it; it is left as it is.
    """
    with _opened(path) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise WrongUseError(f"another command writes {path}") from None

        def write(page: bytes) -> None:
            _write_all(file, page)
            os.fsync(file.fileno())

        results = Results(write)
        torn = _read(path, results)
        if not _is_of(results, torn, client, batch_id):
            raise WrongUseError(f"{path} is not a file of results of {batch_id}; it was left as it is")
        file.truncate(file.seek(0, os.SEEK_END) - len(torn))
        yield results


def _opened(path: Path) -> io.FileIO:
    if path.exists() and not path.is_file():
        raise WrongUseError(f"{path} is no ordinary file; leave --output out for the standard output")
    try:
        return path.open("a+b", buffering=0)
    except OSError as error:
        raise WrongUseError(f"{path}: {error.strerror}") from error


def _read(path: Path, results: Results) -> bytes:
    """Count the whole lines of a file, and return what is behind the last one."""
    with path.open("rb") as file:
        while raw := file.readline(LONGEST_LINE_BYTES):
            if not raw.endswith(b"\n"):
                if file.read(1):
                    raise WrongUseError(f"{path} is not a file of results: a line is too long")
                return raw
            try:
                results.count(raw)
            except ValueError as error:
                raise WrongUseError(f"{path} is not a file of results: {error}") from error
    return b""


def _head(raw: bytes) -> ResultHead:
    try:
        return msgspec.json.decode(raw, type=ResultHead)
    except msgspec.DecodeError as error:
        raise ValueError(str(error)) from error


def _is_of(results: Results, torn: bytes, client: RouterClient, batch_id: str) -> bool:
    """Whether what a file has is what the router says: its last whole line, or else the beginning of the first one."""
    if results.last is not None:
        known = client.result(batch_id, results.lines)
        return bool(known) and _head(known).request_id == results.last.request_id
    return not torn or client.result(batch_id, 1).startswith(torn)


def _write_all(file: io.FileIO, page: bytes) -> None:
    rest = memoryview(page)
    while rest:
        rest = rest[file.write(rest) :]
