"""`make run`: the router on this machine, a tour of it, and then the API until Ctrl-C."""

import argparse
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import httpx
from rich.console import Console

from infra.local import demo
from infra.local.http_api import PortInUseError
from infra.local.ollama_stand_in import OllamaStandIn
from infra.local.twin import Twin

TEMPLATE = Path(__file__).parents[2] / "template.yaml"
DEFAULT_OLLAMA_URL = "http://localhost:11434"


def main() -> int:
    """Run the twin; return the exit status."""
    arguments = _parse()
    out = demo.console()
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        with _box(out) as ollama_url:
            return _serve(ollama_url, arguments, out)
    except PortInUseError as error:
        out.print(f"[red]{error}[/red]")
        return 1
    except demo.DemoError as error:
        out.print(f"[red]{error}[/red]")
        return 1
    except KeyboardInterrupt:
        out.print("stopped")
        return 0


def _serve(ollama_url: str, arguments: argparse.Namespace, out: Console) -> int:
    out.print("starting the router: tables, queues and functions as template.yaml declares them")
    log = Path(".build/functions.log")
    overrides = {"OLLAMA_BASE_URL": ollama_url}
    with (
        log.open("w") as lines,
        Twin(TEMPLATE, port=arguments.port, environment_overrides=overrides, log=lines) as twin,
    ):
        demo.run(twin.url, out)
        out.print(f"API  {twin.url}/api/v1/chat\ndocs {twin.url}/docs\nlogs {log}")
        if not arguments.once:
            out.print("serving until Ctrl-C")
            threading.Event().wait()
    return 0


@contextmanager
def _box(out: Console) -> Iterator[str]:
    """Yield the address of the Ollama at OLLAMA_BASE_URL, or of the stand-in where none answers."""
    url = os.environ.get("OLLAMA_BASE_URL") or DEFAULT_OLLAMA_URL
    if _answers(url):
        out.print(f"using the Ollama at {url}")
        yield url
        return
    out.print(
        f"no Ollama answers at {url}: a stand-in that only speaks its protocol makes up the answers; for real ones"
        " install Ollama, run `ollama pull tinyllama && ollama pull llama3.2`, and start again",
        highlight=False,
    )
    with OllamaStandIn() as stand_in:
        yield stand_in.base_url


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/api/version", timeout=2, trust_env=False).is_success
    except httpx.HTTPError:
        return False


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make run", description=__doc__)
    parser.add_argument("--port", type=int, default=8000, help="port of the HTTP API")
    parser.add_argument("--once", action="store_true", help="stop after the tour")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
