"""The metrics that the functions emit are those that README describes."""

import ast
import json
import re
from collections.abc import Iterator

import pytest

from llm_router.observability import NAMESPACE, Metric, gauge
from tests.contract.sam_template import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
ROW = re.compile(r"^\| `(?P<name>\w+)` \| (?P<unit>\w+) \|(?P<dimensions>[^|]*)\| [^|]+ \|$", re.MULTILINE)


def described() -> dict[str, tuple[str, set[str]]]:
    """Return unit and dimensions of the metrics that README names."""
    (section,) = re.findall(r"^### CloudWatch\n(.*?)^##", README, re.DOTALL | re.MULTILINE)
    return {row["name"]: (row["unit"], set(re.findall(r"`(\w+)`", row["dimensions"]))) for row in ROW.finditer(section)}


def emitted(source: str) -> Iterator[tuple[Metric, set[str]]]:
    """Yield the metric and the dimensions of every `count(Metric.…)` and `gauge(Metric.…)`."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and node.args and ast.unparse(node.args[0]).startswith("Metric."):
            assert isinstance(node.args[0], ast.Attribute)
            yield Metric[node.args[0].attr], {str(keyword.arg) for keyword in node.keywords}


SOURCES = [path for folder in ("functions", "layers/core") for path in (ROOT / folder).rglob("*.py")]
EMITTED = [each for path in SOURCES for each in emitted(path.read_text(encoding="utf-8"))]


def test_all_are_described() -> None:
    """README names every metric and no other, and every one is emitted somewhere, with the dimensions it names."""
    assert set(Metric) == described().keys() == {metric for metric, _ in EMITTED}
    for metric, dimensions in EMITTED:
        assert described()[metric][1] == dimensions, metric


@pytest.mark.parametrize("metric", Metric)
def test_what_is_emitted(metric: Metric, capsys: pytest.CaptureFixture[str]) -> None:
    """A metric is one line in CloudWatch's embedded format, in the namespace and unit that README says."""
    unit, dimensions = described()[metric]
    gauge(metric, 3, **dict.fromkeys(dimensions, "x"))
    line = json.loads(capsys.readouterr().out)
    (directive,) = line["_aws"]["CloudWatchMetrics"]

    assert f"`{NAMESPACE}`" in README
    assert (NAMESPACE, [{"Name": metric, "Unit": unit}]) == (directive["Namespace"], directive["Metrics"])
    assert [dimensions] == [set(names) - {"service"} for names in directive["Dimensions"]]
    assert [3.0] == line[metric]
