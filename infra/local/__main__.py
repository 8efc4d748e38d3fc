"""`make run`: the router on this machine, a tour of it, and then the API until Ctrl-C."""

import argparse
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Final

from rich.console import Console

from infra.local import demo
from infra.local.dev_key import add_key, bearer, curl_line
from infra.local.http_api import PortError, listen
from infra.local.ollama_stand_in import OllamaStandIn
from infra.local.shell import Choice, missing_models, pull_command
from infra.local.twin import Twin
from llm_router.adapters.ollama import OllamaClient
from llm_router.errors import ConfigError, ModelUnavailableError
from llm_router.jobs import utc_day

TEMPLATE: Final = Path(__file__).parents[2] / "template.yaml"
LOG: Final = TEMPLATE.with_name(".build") / "functions.log"
LARGEST_PORT: Final = 65_535
BAD_USAGE: Final = 2


class MissingModelError(Exception):
    """The Ollama lacks models that the router is set up to ask."""


def main() -> int:
    """Run the twin as the command line says; return the exit status."""
    signal.signal(signal.SIGTERM, _interrupt)
    return run(sys.argv[1:], os.environ, LOG, demo.console())


def run(words: Sequence[str], environ: Mapping[str, str], log: Path, out: Console) -> int:
    """Run the twin with arguments and settings; return the exit status: 2 where those are wrong, 1 for other trouble.

    `log` is emptied only when the port and the models are there.
    """
    arguments = parse(words)
    try:
        choice = Choice.of(environ, utc_day(time.time_ns() // 1_000_000))
        listen(arguments.port).close()
        with _box(choice, out) as ollama_url:
            _serve(arguments, choice, ollama_url, log, out)
    except ConfigError as error:
        _complain(out, "\n".join(error.problems))
        return BAD_USAGE
    except (PortError, MissingModelError) as error:
        _complain(out, str(error))
        return 1
    except demo.DemoError as error:
        _complain(out, str(error))
        _point_at(log, out)
        return 1
    except KeyboardInterrupt:
        _say(out, "stopped")
    return 0


def _serve(arguments: argparse.Namespace, choice: Choice, ollama_url: str, log: Path, out: Console) -> None:
    _say(out, "starting the router: tables, queues and functions as template.yaml declares them")
    log.parent.mkdir(exist_ok=True)
    with (
        log.open("w") as lines,
        Twin(
            TEMPLATE,
            port=arguments.port,
            parameters=choice.parameters,
            environment_overrides={**choice.environment, "OLLAMA_BASE_URL": ollama_url},
            secrets=choice.secrets,
            log=lines,
        ) as twin,
    ):
        key = add_key(twin, choice.dev_key)
        demo.run(twin.url, out, bearer(key))
        if arguments.once:
            _point_at(log, out)
            return
        _say(out, f"API  {twin.url}/api/v1/chat, for clients of OpenAI {twin.url}/v1")
        _say(out, f"docs {twin.url}/docs\npage {twin.url}/dashboard")
        _say(out, f"log  {os.path.relpath(log)}")
        _say(out, f"the key of this run, an administrator's:\n  export ROUTER_KEY={key}\n  {curl_line(twin.url)}")
        _say(out, "serving until Ctrl-C; what is stored is gone after that")
        threading.Event().wait()


@contextmanager
def _box(choice: Choice, out: Console) -> Iterator[str]:
    """Yield the address of the Ollama that was chosen, or of the stand-in where none answers.

    Raises:
        MissingModelError: it lacks models.
    """
    try:
        state = OllamaClient(choice.ollama_url, clock=lambda: time.time_ns() // 1_000_000).state()
    except ModelUnavailableError:
        _say(
            out,
            f"no Ollama answers at {choice.ollama_url}: a stand-in makes the answers up;\n"
            f"for real ones install and start Ollama, run the next line, and start this again\n"
            f"  {pull_command(choice.models)}",
        )
        with OllamaStandIn(models=choice.models) as stand_in:
            yield stand_in.base_url
        return
    if missing := missing_models(state, choice.models):
        raise MissingModelError(
            f"the Ollama at {choice.ollama_url} does not have {' and '.join(missing)};\n"
            f"run the next line, and start this again\n  {pull_command(missing)}"
        )
    _say(out, f"using the Ollama {state.version} at {choice.ollama_url}")
    yield choice.ollama_url


def parse(words: Sequence[str]) -> argparse.Namespace:
    """Return the arguments; exits with status 2 and a sentence where they are wrong."""
    parser = argparse.ArgumentParser(prog="python -m infra.local", description=__doc__)
    parser.add_argument("--port", type=_port, default=8000, help="port of the HTTP API, any free one for 0")
    parser.add_argument("--once", action="store_true", help="stop after the tour")
    return parser.parse_args(words)


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) <= LARGEST_PORT):
        raise argparse.ArgumentTypeError(f"must be 0 to {LARGEST_PORT}, not {text!r}")
    return int(text)


def _say(out: Console, words: str) -> None:
    """Print without breaking lines, so that commands can be copied, and without reading anything into brackets."""
    out.print(words, soft_wrap=True, markup=False, highlight=False)


def _complain(out: Console, words: str) -> None:
    out.print(words, style="red", soft_wrap=True, markup=False, highlight=False)


def _point_at(log: Path, out: Console) -> None:
    """Name the log where the functions had something to say."""
    if log.stat().st_size:
        _say(out, f"what the functions wrote is in {os.path.relpath(log)}")


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
