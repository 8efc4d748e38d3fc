"""Draws hits against wrong hits of the cache, and wrong grades and recovered quality of the grader."""

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


def plot_routing(report: dict[str, Any], path: Path) -> None:
    """Write the picture of a routing report: what the bias does, and how fast strong calls recover the gap."""
    figure = Figure(figsize=(9, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.plot([each["over"] for each in report["bias"]], [each["under"] for each in report["bias"]], marker="o")
    for each in report["bias"]:
        left.annotate(f"{each['bias']:g}", (each["over"], each["under"]), textcoords="offset points", xytext=(6, 4))
    left.plot(*_misrouted(report["rules"]), marker="X", markersize=10, linestyle="none", label="rules")
    left.plot(*_misrouted(report["learned"]), marker="*", markersize=16, linestyle="none", label="learned, as shipped")
    left.plot(*_misrouted(report["learned_unseen"]), marker="s", linestyle="none", label="learned, source unseen")
    left.set(xlabel="over-routed", ylabel="under-routed", title="Labelled prompts (CORE) by ROUTING_BIAS")
    left.legend()
    for name, curves in report["calls"].items():
        points = curves["shipped"]
        gap = points[-1][1] - points[0][1]
        if gap > 0:
            recovered = [(accuracy - points[0][1]) / gap for _, accuracy in points]
            right.plot([share for share, _ in points], recovered, label=name.removeprefix("router_outcomes_"))
    right.plot([0, 1], [0, 1], linestyle=":", color="grey", label="random")
    right.set(xlabel="prompts sent to the strong model", ylabel="gap to the strong model recovered")
    right.set(title="Outcomes by strong_needed")
    right.legend(loc="lower right")
    for axes in (left, right):
        axes.xaxis.set_major_formatter("{x:.0%}")
        axes.yaxis.set_major_formatter("{x:.0%}")
        axes.grid(alpha=0.3)
    with rc_context({"svg.hashsalt": "routing"}):  # the same report gives the same file
        figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)


def _misrouted(figures: dict[str, Any]) -> tuple[list[float], list[float]]:
    return [figures["core"]["over"]], [figures["core"]["under"]]
