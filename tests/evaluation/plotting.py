"""Draws hits against wrong hits: the similarity threshold alone and with the verifier."""

from pathlib import Path
from typing import Any

from matplotlib import rc_context
from matplotlib.figure import Figure

FILE = "pairs_qqp"
"""The pairs that people labelled one by one."""


def plot(report: dict[str, Any], path: Path) -> None:
    """Write the picture of a report; the ending of the path decides the format.

    Raises:
        KeyError: the report has no curves of `FILE`.
    """
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.subplots()
    for name, label, marker in (
        ("threshold_only", "similarity threshold alone", "o"),
        ("verified", "threshold 0.85 and verifier", "s"),
    ):
        points = report["curves"][FILE][name]
        axes.plot([point["wrong"] for point in points], [point["hit"] for point in points], marker=marker, label=label)
    chosen = report["pairs"][FILE]["verified"]
    axes.plot(chosen["wrong"], chosen["hit"], marker="*", markersize=16, linestyle="none", label="as shipped")
    axes.set(xlabel="wrong hits: share of non-duplicates served", ylabel="hits: share of duplicates served")
    axes.set(xlim=(0, 0.3), ylim=(0, 0.8), title="Quora question pairs, labelled by people")
    axes.xaxis.set_major_formatter("{x:.0%}")
    axes.yaxis.set_major_formatter("{x:.0%}")
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right")
    with rc_context({"svg.hashsalt": FILE}):  # the same report gives the same file
        figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)
