"""`make run` when something is wrong: it says what, and touches nothing."""

import io
import socket
from pathlib import Path

import pytest
from rich.console import Console

from infra.local.__main__ import parse, run
from infra.local.ollama_stand_in import OllamaStandIn


def refused(log: Path, words: list[str], **environ: str) -> tuple[int, str]:
    """Return the exit status and what was said, in a terminal that is too narrow for it."""
    said = io.StringIO()
    return run(words, environ, log, Console(file=said, width=40)), said.getvalue()


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """The log of a twin that is running."""
    path = tmp_path / "functions.log"
    path.write_text("of the first run")
    return path


def test_a_taken_port_leaves_the_log_alone(log: Path) -> None:
    """A second run on the same port ends with the reason, and does not empty the first one's log."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        outcome = refused(log, ["--port", str(port)])

    assert (1, f"port {port} is in use; choose another with PORT=\n") == outcome
    assert "of the first run" == log.read_text()


def test_missing_models_are_named_with_the_way_to_get_them(log: Path) -> None:
    """An Ollama without a model of a tier is not asked; what was said has the command on a line of its own."""
    with OllamaStandIn(models=("tinyllama",)) as box:
        status, said = refused(log, ["--port", "0"], OLLAMA_BASE_URL=f"{box.base_url}/")

    assert (1, 0) == (status, len(box.calls))
    assert f"the Ollama at {box.base_url} does not have llama3.2;" in said
    assert "  ollama pull llama3.2" in said.splitlines()
    assert "of the first run" == log.read_text()


def test_bad_settings_are_bad_usage(log: Path) -> None:
    """Bad settings have the exit status of bad arguments."""
    status, said = refused(log, [], OLLAMA_BASE_URL="localhost")

    assert 2 == status
    assert said.startswith("OLLAMA_BASE_URL: must be like http://localhost:11434")


@pytest.mark.parametrize("port", ["65536", "-1", "http", "8_000", "²", ""])
def test_bad_ports_are_bad_usage(port: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A port that is none is refused with the range."""
    with pytest.raises(SystemExit) as caught:
        parse([f"--port={port}"])

    assert 2 == caught.value.code
    assert f"must be 0 to 65535, not {port!r}" in capsys.readouterr().err


def test_arguments() -> None:
    """The port is a number, and the tour is not all unless that is asked for."""
    assert (65_535, True) == (parse(["--port", "65535", "--once"]).port, parse(["--once"]).once)
    assert (8000, False) == (parse([]).port, parse([]).once)
