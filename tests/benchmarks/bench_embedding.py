"""How fast one prompt is embedded on one thread, how long opening the model takes, and how big the layers are."""

import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

from tokenizers import Tokenizer

ROOT = Path(__file__).parents[2]
CORE = ROOT / "layers" / "core"
LAYERS = ROOT / ".build" / "layers"
MODEL = LAYERS / "EmbeddingLayer" / "model"
sys.path.insert(0, str(CORE))

from llm_router.adapters.onnx_embedder import OnnxEmbedder  # noqa: E402 - found through the line above

TOKENS_AND_RUNS = ((8, 200), (32, 120), (128, 60))
COLD_RUNS = 7
# Runs in a fresh interpreter that sees the built layer and the core, as a function does.
COLD_START = """
import json, sys, time
from pathlib import Path
started = time.perf_counter()
from llm_router.adapters.onnx_embedder import OnnxEmbedder
imported = time.perf_counter()
embedder = OnnxEmbedder(Path(sys.argv[1]))
opened = time.perf_counter()
embedder.embed("What is Python?")
embedded = time.perf_counter()
peak_kib = int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0])
print(json.dumps([imported - started, opened - imported, embedded - opened, peak_kib]))
"""


def rows() -> list[tuple[str, str]]:
    """Measure, and return pairs of a name and a readable value."""
    embedder = OnnxEmbedder(MODEL)
    latencies = [_latency(embedder, tokens, runs) for tokens, runs in TOKENS_AND_RUNS]
    return [*latencies, *_cold_start(), *_sizes()]


def _latency(embedder: OnnxEmbedder, tokens: int, runs: int) -> tuple[str, str]:
    """Time whole calls, tokenising included, on a text of exactly so many tokens."""
    text = " ".join(["data"] * (tokens - 2))
    assert len(Tokenizer.from_file(str(MODEL / "tokenizer.json")).encode(text).ids) == tokens
    embedder.embed(text)
    times_ms = []
    for _ in range(runs):
        start_ns = time.perf_counter_ns()
        embedder.embed(text)
        times_ms.append((time.perf_counter_ns() - start_ns) / 1e6)
    p95_ms = statistics.quantiles(times_ms, n=20)[-1]
    return f"embed {tokens} tokens", f"p50 {statistics.median(times_ms):.1f} ms, p95 {p95_ms:.1f} ms"


def _cold_start() -> list[tuple[str, str]]:
    """Import, open and embed once in fresh processes, from the layer as it was built; medians."""
    path = f"import sys; sys.path[:0] = {[str(LAYERS / 'EmbeddingLayer' / 'python'), str(CORE)]!r}\n"
    command = [sys.executable, "-I", "-S", "-c", path + COLD_START, str(MODEL)]
    runs = [json.loads(subprocess.check_output(command)) for _ in range(COLD_RUNS)]
    imported, opened, embedded, peak_kib = map(statistics.median, zip(*runs, strict=True))
    return [
        ("embedder import, fresh process", f"{imported * 1e3:.0f} ms"),
        ("embedder open (session, tokenizer)", f"{opened * 1e3:.0f} ms"),
        ("embedder first prompt", f"{embedded * 1e3:.1f} ms"),
        ("embedder peak memory, whole process", f"{peak_kib / 1024:.0f} MiB"),
    ]


def _sizes() -> list[tuple[str, str]]:
    """Add up the unzipped sizes of the layers' parts."""
    return [
        (f"size of {folder.relative_to(LAYERS)}", f"{_size_bytes(folder) / 1e6:.1f} MB")
        for folder in sorted(LAYERS.glob("*/*/"))
    ]


def _size_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


if __name__ == "__main__":
    for name, value in rows():
        print(f"{name:40} {value}")  # noqa: T201 - a report on the terminal
