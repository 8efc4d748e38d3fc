"""`router`: the commands, their common options, and what their ends mean to a shell."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final

import typer
from typer.main import get_command

from infra.cli.batch import batch
from infra.cli.chat import chat
from infra.cli.errors import INTERRUPTED, CommandError, WrongUseError
from infra.cli.keys import keys
from infra.cli.report import report
from infra.cli.screen import Screen
from infra.cli.session import Session, Surroundings

EXIT_CODES: Final = (
    "Exit codes:",
    "0 done",
    "1 failed: the answer, or at least one line of a batch",
    "2 wrong use",
    "3 refused by the router, which says why",
    "4 router not reachable, or failing",
    "5 not finished yet",
    "130 interrupted",
)

app = typer.Typer(add_completion=False, no_args_is_help=True, epilog="\n\n".join(EXIT_CODES))
app.command()(chat)
app.add_typer(batch, name="batch")
app.command()(report)
app.add_typer(keys, name="keys")


@app.callback()
def root(
    context: typer.Context,
    *,
    url: Annotated[str, typer.Option(envvar="ROUTER_URL", help="Address of the router.")] = "http://localhost:8000",
    key_file: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="File that holds the key, instead of the variable ROUTER_KEY."),
    ] = None,
) -> None:
    """Ask the router, hand batches over, see what it cost, and manage its keys.

    The key is in the variable ROUTER_KEY or in a file. No option takes it: other users see the arguments of a process.
    """
    context.obj = Session(surroundings=context.obj, url=url, key_file=key_file)


def run(words: Sequence[str], surroundings: Surroundings) -> int:
    """Run a command; return its exit code."""
    try:
        get_command(app).main(list(words), prog_name="router", obj=surroundings)
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else 0
        if code == INTERRUPTED:
            Screen().say("interrupted")
        return code
    except UnicodeError:
        return _end(WrongUseError("the input is not UTF-8"))
    except OSError as error:
        return _end(CommandError(str(error)))
    except CommandError as error:
        return _end(error)
    return 0


def _end(error: CommandError) -> int:
    Screen().say(f"router: {error}")
    return error.exit_code


def main() -> int:
    """Run the command that the shell asks for; return its exit code."""
    return run(sys.argv[1:], Surroundings(environ=os.environ))


if __name__ == "__main__":
    sys.exit(main())
