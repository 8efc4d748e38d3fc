import io

import msgspec
import pytest

from infra.cli.answers import BatchState
from infra.cli.screen import Screen, harmless
from infra.cli.tables import batch_line, duration, usd
from tests.cli import STATE

GOING = msgspec.convert(STATE | {"status": "in_progress", "pending": 1, "succeeded": 2}, BatchState)


class Stream(io.TextIOWrapper):
    """A terminal, or a pipe."""

    def __init__(self, *, is_terminal: bool) -> None:
        super().__init__(io.BytesIO(), encoding="utf-8")
        self._is_terminal = is_terminal

    def isatty(self) -> bool:
        """Whether somebody looks."""
        return self._is_terminal

    @property
    def written(self) -> bytes:
        """Everything that was written."""
        self.flush()
        assert isinstance(self.buffer, io.BytesIO)
        return self.buffer.getvalue()


@pytest.fixture(autouse=True)
def _terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have rich decide by the stream alone."""
    for name in ("FORCE_COLOR", "NO_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")


def test_answers_do_not_drive_a_terminal() -> None:
    """Control characters of an answer are shown on a terminal, and left as they are in a pipe."""
    answer = "é\x1b]0;title\x07\r\n\ttab\x9b2J".encode()
    terminal, pipe = Stream(is_terminal=True), Stream(is_terminal=False)
    for stream in (terminal, pipe):
        Screen(stream, pipe).data(answer)

    assert "é\\x1b]0;title\\x07\\r\n\ttab\\x9b2J".encode() == terminal.written
    assert answer == pipe.written


def test_words_are_no_markup() -> None:
    """What the router says is printed as it is, control characters apart."""
    talk = Stream(is_terminal=False)
    Screen(Stream(is_terminal=False), talk).say("must be [bold]1[/bold]\x1b[2J " + "x" * 300)

    assert f"must be [bold]1[/bold]\\x1b[2J {'x' * 300}\n".encode() == talk.written


@pytest.mark.parametrize("is_terminal", [True, False])
def test_waiting(is_terminal: bool) -> None:  # noqa: FBT001  # a parameter of the test
    """A terminal shows a spinner that leaves nothing behind, a pipe each new line once."""
    talk = Stream(is_terminal=is_terminal)
    with Screen(Stream(is_terminal=False), talk).waiting("waiting") as tell:
        for words in ("[queued]", "[queued]", "running"):
            tell(words)

    assert is_terminal is (b"\x1b[" in talk.written)
    assert is_terminal or talk.written == b"[queued]\nrunning\n"


@pytest.mark.parametrize("is_terminal", [True, False])
def test_following(is_terminal: bool) -> None:  # noqa: FBT001  # a parameter of the test
    """A terminal shows how many lines are done as a bar, a pipe as lines."""
    talk = Stream(is_terminal=is_terminal)
    with Screen(Stream(is_terminal=False), talk).following() as tell:
        tell(GOING)

    assert is_terminal is (b"2/3" in talk.written)
    assert batch_line(GOING).encode() in talk.written


def test_bar_and_data() -> None:
    """Data and a bar do not share a terminal: then there are lines instead."""
    terminal = Stream(is_terminal=True)
    screen = Screen(terminal, terminal)
    with screen.following(beside_data=True) as tell:
        tell(GOING)
        screen.data(b'{"line":1}\n')

    assert f'{batch_line(GOING)}\n{{"line":1}}\n'.encode() == terminal.written


@pytest.mark.parametrize(
    ("ms", "words"),
    [(0, "0 s"), (1, "1 s"), (59_001, "1 min 0 s"), (3_599_000, "59 min 59 s"), (7_260_000, "2 h 1 min")],
)
def test_durations(ms: int, words: str) -> None:
    """Times are rounded up to a second, and hours need no seconds."""
    assert words == duration(ms)


def test_amounts() -> None:
    """Amounts are exact, however large or small."""
    assert ["0.000000001", "-0.000000005", "12345678901.000000001", "unknown"] == [
        usd(nano) for nano in (1, -5, 12_345_678_901_000_000_001, None)
    ]


def test_harmless() -> None:
    """Words, tabs and line feeds stay."""
    assert "grün\ttab\n" == harmless("grün\ttab\n")
