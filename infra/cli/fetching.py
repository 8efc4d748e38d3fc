"""Fetches the results of a batch, and waits for those that are not finished."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from infra.cli.answers import BatchState
from infra.cli.errors import CommandError, UnfinishedError
from infra.cli.results import Results, results_file
from infra.cli.session import Session

LOOKS: Final = 50
"""How often a batch is looked at in the time it is expected to take."""
LONGEST_PAUSE_MS: Final = 30_000


def fetch(session: Session, batch_id: str, output: Path | None, *, wait: bool) -> None:
    """Write the results of a batch down.

    Raises:
        CommandError: not every line has an answer, or not every line was read.
        UnfinishedError: some lines are not finished, and nobody waits.
    """
    session.client.batch(batch_id)  # an unknown one is refused before a file is made
    following = session.screen.following(beside_data=output is None)
    with _sink(session, batch_id, output) as sink, following as tell:
        while not _drain(session, batch_id, sink):
            state = session.client.batch(batch_id).shown
            if state.is_final:
                if _drain(session, batch_id, sink):  # its last lines ended after the page and before the state
                    break
                raise CommandError(f"{batch_id} is {state.status}: the lines after {sink.lines} were never read")
            if not wait:
                raise UnfinishedError(f"{batch_id} is not finished: {sink.lines} of {state.lines} lines are there")
            tell(state)
            pause(session, state)
    if error := session.client.batch(batch_id).shown.input_error:
        raise CommandError(f"{batch_id} ends after {sink.lines} lines: {error}")
    if sink.unanswered:
        raise CommandError(f"{sink.unanswered} of {sink.lines} lines have no answer")


def _drain(session: Session, batch_id: str, sink: Results) -> bool:
    """Write down all that is there; return whether that is all there will be."""
    while True:
        page = session.client.results(batch_id, after=sink.lines)
        sink.append(page.body)
        if page.is_last or not page.body:
            return page.is_last


@contextmanager
def _sink(session: Session, batch_id: str, output: Path | None) -> Iterator[Results]:
    if output is None:
        yield Results(session.screen.data)
        return
    with results_file(output, session.client, batch_id) as sink:
        if sink.lines:
            session.screen.say(f"{output} has {sink.lines} lines; going on after them")
        yield sink


def pause(session: Session, state: BatchState) -> None:
    """Wait before a batch is looked at again: the shorter, the nearer its end."""
    left_ms = state.estimated_ms
    session.sleep(None, None if left_ms is None else min(LONGEST_PAUSE_MS, left_ms // LOOKS))
