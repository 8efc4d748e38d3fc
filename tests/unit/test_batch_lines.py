from hypothesis import given
from hypothesis import strategies as st

from submit_batch.lines import Line, Place, cut

MAX_BYTES = 10
TEXTS = st.lists(st.binary(max_size=30) | st.sampled_from([b"\n", b"\r\n", b"\r", b"\xef\xbb\xbf", b" "])).map(b"".join)


def whole(text: bytes) -> list[Line]:
    """Cut a text that is at hand as a whole."""
    return cut(text, Place(), is_last=True, max_line_bytes=MAX_BYTES)[0]


def in_pieces(text: bytes, size: int) -> list[Line]:
    """Cut a text that is read in pieces of a size, each from where the one before left off."""
    place, lines, is_last = Place(), list[Line](), False
    while not is_last:
        piece = text[place.offset_bytes : place.offset_bytes + size]
        is_last = place.offset_bytes + len(piece) >= len(text)
        found, place = cut(piece, place, is_last=is_last, max_line_bytes=MAX_BYTES)
        lines += found
    assert Place(len(text), place.line) == place
    return lines


def test_ends_of_lines() -> None:
    """Lines end with either end of line, or with the file; blank ones are left out, and not counted."""
    assert [Line(1, b"a"), Line(2, b"b"), Line(3, b" c"), Line(4, b"d")] == whole(b"a\nb\r\n\n \t\n c\nd")


def test_byte_order_mark() -> None:
    """A byte order mark is no part of the first line, and stays wherever else it is."""
    assert [Line(1, b"a"), Line(2, b"\xef\xbb\xbfb")] == whole(b"\xef\xbb\xbfa\n\xef\xbb\xbfb\n")
    assert [] == whole(b"\xef\xbb\xbf")


def test_long_line() -> None:
    """A line of the longest length is read; one byte more, and only its number is known."""
    assert [Line(1, b"x" * 10), Line(2, None), Line(3, b"y")] == whole(b"x" * 10 + b"\r\n" + b"x" * 11 + b"\ny")


def test_long_line_is_passed_over() -> None:
    """A line that is longer than a piece is told once, and the next piece begins after what was seen of it."""
    seen, place = cut(b"x" * 20, Place(7, 3), is_last=False, max_line_bytes=MAX_BYTES)
    later, after = cut(b"xxx\nnext\nhal", place, is_last=False, max_line_bytes=MAX_BYTES)

    assert ([Line(3, None)], Place(27, 3, in_long_line=True)) == (seen, place)
    assert ([Line(4, b"next")], Place(36, 5)) == (later, after)


@given(TEXTS, st.integers(MAX_BYTES + 5, 60))
def test_pieces_change_nothing(text: bytes, size: int) -> None:
    """However a file is read, its lines are the same."""
    assert whole(text) == in_pieces(text, size)


@given(TEXTS)
def test_no_text_is_lost(text: bytes) -> None:
    """Every line that is not blank is there in its order, whole or by its number."""
    shown = text.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    kept = [each.removesuffix(b"\r") for each in shown if each.strip()]

    assert [each if len(each) <= MAX_BYTES else None for each in kept] == [line.raw for line in whole(text)]
    assert list(range(1, len(kept) + 1)) == [line.number for line in whole(text)]
