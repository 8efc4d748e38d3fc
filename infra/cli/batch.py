"""`router batch`: hand prompts over, look after them, and fetch what became of them."""

import hashlib
import uuid
from pathlib import Path
from typing import Annotated, Final

import msgspec
import typer

from infra.cli.answers import BatchState, Reply, TakenIn
from infra.cli.errors import CommandError, UnfinishedError, WrongUseError
from infra.cli.fetching import fetch, pause
from infra.cli.session import Session, session_of, stdin_bytes
from infra.cli.tables import batch_line, batch_table

LARGEST_BODY_BYTES: Final = 4_500_000
"""What the router takes without S3."""

batch = typer.Typer(help="Many prompts at once, answered when the box has time.", no_args_is_help=True)
Id = Annotated[str, typer.Argument(metavar="ID", help="The id of the batch.", show_default=False)]
AsJson = Annotated[bool, typer.Option("--json", help="Print the batch as the API gives it.")]
Output = Annotated[
    Path | None,
    typer.Option(dir_okay=False, help="Append the results to this file; a file that was begun is gone on with."),
]


@batch.command()
def submit(
    context: typer.Context,
    source: Annotated[
        str, typer.Argument(metavar="FILE|-|s3://…", help="JSON Lines: a file, the standard input, or one in S3.")
    ],
    *,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for the end, and write the results.")] = False,
    output: Output = None,
    new: Annotated[bool, typer.Option("--new", help="Another batch, though the same lines were handed over.")] = False,
) -> None:
    """Hand prompts over, and print the id of the batch.

    The same lines within 24 hours are the same batch, so that a broken connection makes no second one; not so a file in
    S3. Lines that are no requests are named on the standard error; the others go on.
    """
    session = session_of(context)
    if output and not wait:
        raise WrongUseError("--output needs --wait; `router batch results` writes them later")
    reply = _submit(session, source, new=new)
    taken = reply.shown
    for bad in taken.errors:
        session.screen.say(f"line {bad.line}: {bad.error} ({bad.error.code})")
    session.screen.say(f"{taken.batch_id} of {taken.created_at}, {batch_line(taken)}")
    if wait:
        fetch(session, taken.batch_id, output, wait=True)
    else:
        session.screen.data(f"{taken.batch_id}\n".encode())


@batch.command()
def status(
    context: typer.Context,
    batch_id: Id,
    *,
    watch: Annotated[bool, typer.Option("--watch", help="Follow it to its end.")] = False,
    as_json: AsJson = False,
) -> None:
    """Tell where a batch stands."""
    session = session_of(context)
    reply = session.client.batch(batch_id)
    if watch:
        with session.screen.following() as tell:
            while not reply.shown.is_final:
                tell(reply.shown)
                pause(session, reply.shown)
                reply = session.client.batch(batch_id)
    _print(session, reply, as_json=as_json)
    if not reply.shown.is_final:
        raise UnfinishedError(f"{batch_id} is not finished")
    if not reply.shown.is_all_answered:
        raise CommandError(f"{batch_id}: not every line has an answer")


@batch.command()
def results(
    context: typer.Context,
    batch_id: Id,
    *,
    output: Output = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for the lines that are not finished.")] = False,
) -> None:
    """Fetch what became of the lines, in their order, as JSON Lines.

    With --output, an interrupted download is gone on with by the same command.
    """
    fetch(session_of(context), batch_id, output, wait=wait)


@batch.command()
def cancel(context: typer.Context, batch_id: Id, *, as_json: AsJson = False) -> None:
    """Have nothing more of a batch begun."""
    session = session_of(context)
    _print(session, session.client.cancel_batch(batch_id), as_json=as_json)


def _submit(session: Session, source: str, *, new: bool) -> Reply[TakenIn]:
    if source.startswith(
        "s3://"
    ):  # what the file holds is unknown here, so that a key of it would be none of the content
        body = msgspec.json.encode({"s3_uri": source})
        return session.client.submit(body, "application/json", str(uuid.uuid4()))
    body = _read(source)
    if len(body) > LARGEST_BODY_BYTES:
        raise WrongUseError(f"{source} has more than {LARGEST_BODY_BYTES:,} bytes; put it into S3, and name it s3://…")
    key = str(uuid.uuid4()) if new else f"sha256-{hashlib.sha256(body).hexdigest()}"
    return session.client.submit(body, "application/jsonl", key)


def _read(source: str) -> bytes:
    if source == "-":
        return stdin_bytes()
    try:
        with Path(source).open("rb") as file:
            return file.read(LARGEST_BODY_BYTES + 1)
    except OSError as error:
        raise WrongUseError(f"{source}: {error.strerror}") from error


def _print(session: Session, reply: Reply[BatchState], *, as_json: bool) -> None:
    if as_json:
        session.screen.data(reply.raw + b"\n")
    else:
        session.screen.show(batch_table(reply.shown))
