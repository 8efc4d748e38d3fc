"""Cuts a file of lines that is read piece by piece, without ever holding more of it than a piece."""

from collections.abc import Iterator
from typing import Final

from msgspec import Struct

MAX_LINE_BYTES: Final = 1_000_000
"""A message of SQS may have 1 MiB, and says more than the line."""
_BOM: Final = b"\xef\xbb\xbf"


class Line(Struct, frozen=True):
    """One line of a file, without its end."""

    number: int
    """From 1; blank lines do not count."""
    raw: bytes | None
    """None for a line that is too long to be read."""


class Place(Struct, frozen=True):
    """How far a file has been cut: everything before is done with."""

    offset_bytes: int = 0
    line: int = 1
    """Number of the next line, or of the one that `offset_bytes` is inside of."""
    in_long_line: bool = False
    """Whether the line was too long, and what is left of it is to be passed over."""


def cut(piece: bytes, place: Place, *, is_last: bool, max_line_bytes: int = MAX_LINE_BYTES) -> tuple[list[Line], Place]:
    r"""Return the lines that are whole in a piece of a file, and where the next piece is to begin.

    Lines end with `\n` or `\r\n`, the last one also with the file; blank ones are left out. The next piece begins with
    the line that this one cuts off, so pieces must be longer than a line may be, by five bytes at least.

    Args:
        piece: What the file has from `place` on.
        place: Where the piece begins.
        is_last: Whether the file ends with it.
        max_line_bytes: The longest that a line may be, without its end.
    """
    lines: list[Line] = []
    number, in_long_line = place.line, place.in_long_line
    position = len(_BOM) if place.offset_bytes == 0 and piece.startswith(_BOM) else 0
    for start, end in _ended(piece, position):
        position = end
        if in_long_line:
            number, in_long_line = number + 1, False
        elif found := _line(number, piece, start, end - 1, max_line_bytes):
            lines.append(found)
            number += 1
    if in_long_line:
        return lines, Place(place.offset_bytes + len(piece), number, not is_last)
    is_too_long = len(piece) - position > max_line_bytes + 1  # one more may be the `\r` of its end
    if not is_last and not is_too_long:
        return lines, Place(place.offset_bytes + position, number)
    if found := _line(number, piece, position, len(piece), max_line_bytes):
        lines.append(found)
    return lines, Place(place.offset_bytes + len(piece), number, not is_last)


def _ended(piece: bytes, start: int) -> Iterator[tuple[int, int]]:
    """Yield where each line with an end begins, and where the next one does, from `start` on."""
    while (end := piece.find(b"\n", start) + 1) > 0:
        yield start, end
        start = end


def _line(number: int, piece: bytes, start: int, end: int, max_line_bytes: int) -> Line | None:
    """Return the line between two places, None for a blank one; it is copied when it is short enough."""
    if end - start > max_line_bytes + 1:
        return Line(number, None)
    raw = piece[start:end].removesuffix(b"\r")
    if len(raw) > max_line_bytes:
        return Line(number, None)
    return Line(number, raw) if raw.strip() else None
