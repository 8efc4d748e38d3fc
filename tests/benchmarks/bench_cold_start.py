"""How long each function takes from a started interpreter to its first event, and the memory it then has."""

import json
import statistics
import subprocess
import sys
from pathlib import Path

from infra.local.resources import Function
from infra.local.runtime import RuntimeSettings, worker_environment
from infra.local.template import load_template

ROOT = Path(__file__).parents[2]
RUNS = 5
# Linux only: what getrusage calls the peak includes the parent from before the exec.
# Runs as a worker does: the function's own code, its own layers, and nothing of the virtual environment.
PROGRAM = """
import importlib, json, pathlib, sys, time
started = time.perf_counter()
importlib.import_module(sys.argv[1].rpartition(".")[0])
seconds = time.perf_counter() - started
status = pathlib.Path("/proc/self/status").read_text()
print(json.dumps([seconds, int(status.partition("VmHWM:")[2].split()[0])]))
"""


def rows() -> list[tuple[str, str]]:
    """Measure every function of the template, and return pairs of its name and a readable value."""
    template = load_template(ROOT / "template.yaml", endpoint_url="http://127.0.0.1:9")
    return [(name, _describe(function)) for name, function in template.functions.items()]


def _describe(function: Function) -> str:
    samples = [_start(function) for _ in range(RUNS)]
    seconds = [sample[0] for sample in samples]
    peak_mib = statistics.median(sample[1] for sample in samples) / 1024
    return f"median {statistics.median(seconds) * 1000:.0f} ms, best {min(seconds) * 1000:.0f} ms, {peak_mib:.0f} MiB"


def _start(function: Function) -> tuple[float, float]:
    settings = RuntimeSettings(ROOT / ".build" / "runtime", "http://127.0.0.1:9", sys.stderr)
    finished = subprocess.run(
        [sys.executable, "-S", "-c", PROGRAM, function.handler],
        env=worker_environment(function, settings, "127.0.0.1:9"),
        capture_output=True,
        check=True,
    )
    seconds, peak_kib = json.loads(finished.stdout)
    return seconds, peak_kib
