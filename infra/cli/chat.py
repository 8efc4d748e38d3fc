"""`router chat`: one question, one answer."""

import uuid
from typing import Annotated, Any

import typer

from infra.cli.errors import CommandError
from infra.cli.session import session_of, stdin_bytes
from infra.cli.tables import answer_line, waiting_line


def chat(
    context: typer.Context,
    message: Annotated[str, typer.Argument(help="What to ask; - or nothing reads the standard input.")] = "-",
    *,
    force_model: Annotated[
        str | None, typer.Option(help="A configured model, instead of the one of the grade.")
    ] = None,
    conversation: Annotated[str | None, typer.Option(help="Id of a conversation; its turns are sent, too.")] = None,
    system: Annotated[str | None, typer.Option(help="Instruction to the model.")] = None,
    max_tokens: Annotated[int | None, typer.Option(help="Upper bound of the answer's length.")] = None,
    no_cache: Annotated[bool, typer.Option("--no-cache", help="Have the answer generated anew.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the whole answer as the API gives it.")] = False,
) -> None:
    """Ask a question, and wait for the answer however long it takes.

    The answer goes to the standard output; where it came from and what it cost to the standard error.
    """
    session = session_of(context)
    question: dict[str, Any] = {
        "message": _piped() if message == "-" else message,
        "force_model": force_model,
        "conversation_id": conversation,
        "system_prompt": system,
        "max_tokens": max_tokens,
        "skip_cache": no_cache or None,
    }
    given = {name: value for name, value in question.items() if value is not None}
    with session.screen.waiting("waiting for the answer") as tell:
        reply = session.client.ask(given, str(uuid.uuid4()))
        while not reply.shown.has_ended:
            tell(waiting_line(reply.shown))
            session.sleep(reply.retry_after_seconds, reply.shown.estimated_ms)
            reply = session.client.request(reply.shown.request_id)
    request = reply.shown
    if as_json:
        session.screen.data(reply.raw + b"\n")
    elif request.response is not None:
        session.screen.data(f"{request.response}\n".encode())
        session.screen.say(answer_line(request))
    if request.response is None:
        reason = f"{request.error} ({request.error.code})" if request.error else request.status
        raise CommandError(f"{request.request_id} has no answer: {reason}")


def _piped() -> str:
    return stdin_bytes().decode().rstrip("\r\n")
