import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_launcher(tmp_path: Path) -> None:
    """What make writes runs the command from any folder, whatever modules that folder has, and hands arguments on."""
    project, elsewhere = tmp_path / "project", tmp_path / "else where"
    (project / ".venv" / "bin").mkdir(parents=True)
    shutil.copy(ROOT / "Makefile", project)
    (project / "infra").symlink_to(ROOT / "infra")
    (project / "tests").mkdir()
    (project / "tests" / "requirements.txt").touch()
    (project / ".venv" / ".installed").touch()
    python = project / ".venv" / "bin" / "python"
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    (elsewhere / "infra" / "cli").mkdir(parents=True)
    (elsewhere / "typer.py").write_text("raise AssertionError('imported from the folder of the caller')")
    environ = {"PATH": os.environ["PATH"]}  # noqa: TID251  # where make, sh and chmod are
    subprocess.run(["make", "--silent", "router"], cwd=project, env=environ, check=True)  # noqa: S607
    words = [str(project / ".venv" / "bin" / "router"), "chat", "two words", "$HOME"]
    ended = subprocess.run(words, cwd=elsewhere, env=environ, capture_output=True, text=True, check=False)
    surplus = next(line for line in ended.stderr.splitlines() if "unexpected" in line)

    assert 2 == ended.returncode
    assert "$HOME" in surplus
