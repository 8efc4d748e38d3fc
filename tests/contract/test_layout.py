"""Habits of the house that the linter does not know."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEST_MODULES = sorted((ROOT / "tests").rglob("test_*.py"))
HANDLERS = sorted((ROOT / "functions").glob("*/app.py"))
LONGEST_HANDLER_LINES = 60


def undocumented_tests(source: str) -> Iterator[str]:
    """Yield the names of test functions that do not say what they show."""
    for node in ast.walk(ast.parse(source)):
        is_test = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test")
        if is_test and not ast.get_docstring(node):
            yield node.name


def test_the_check_bites() -> None:
    """A test without a docstring is found, in a class too."""
    source = 'def test_a(): pass\ndef test_b(): "Says it."\nclass C:\n    def test_c(self): pass\ndef helper(): pass'

    assert ["test_a", "test_c"] == sorted(undocumented_tests(source))


@pytest.mark.parametrize("path", TEST_MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_docstrings(path: Path) -> None:
    """Every test states the behaviour that it shows."""
    assert [] == list(undocumented_tests(path.read_text(encoding="utf-8")))


@pytest.mark.parametrize("path", HANDLERS, ids=lambda path: path.parent.name)
def test_handlers_are_short(path: Path) -> None:
    """A handler parses, calls once and answers, on one screen."""
    assert len(path.read_text(encoding="utf-8").splitlines()) <= LONGEST_HANDLER_LINES
