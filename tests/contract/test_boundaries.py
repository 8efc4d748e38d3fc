"""The policy knows its ports, never what is behind them."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CORE = ROOT / "layers" / "core" / "llm_router"
FUNCTIONS = ROOT / "functions"
EDGES = {"bootstrap.py", "api.py", "observability.py"}
ENTRANCES = {"app.py", "invoke.py", "openai_routes.py", "wiring.py"}
FORBIDDEN = (
    "aws_lambda_powertools",
    "boto3",
    "botocore",
    "httpx",
    "moto",
    "numpy",
    "onnxruntime",
    "tokenizers",
    "llm_router.adapters",
    "llm_router.api",
    "llm_router.bootstrap",
    "llm_router.observability",
)


def policy_modules() -> list[Path]:
    """Return the modules that decide, and do not do."""
    core = [path for path in CORE.rglob("*.py") if path.name not in EDGES and "adapters" not in path.parts]
    beside = [path for path in FUNCTIONS.rglob("*.py") if path.name not in ENTRANCES]
    return sorted(core + beside)


def imports(source: str) -> Iterator[str]:
    """Yield the full name of everything that a module imports, wherever it does so."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def trespasses(source: str) -> list[str]:
    """Return the forbidden ones among a module's imports."""
    return [name for name in imports(source) if any(f"{name}.".startswith(f"{banned}.") for banned in FORBIDDEN)]


def test_the_check_bites() -> None:
    """An import of an adapter or an SDK is found in every form, and harmless ones are not."""
    found = trespasses(
        "import boto3.dynamodb\nfrom llm_router import adapters, costs\n"
        "def late():\n    from llm_router.adapters.sqs import SqsInferenceQueue\n    import httpx_extension\n"
    )

    assert ["boto3.dynamodb", "llm_router.adapters", "llm_router.adapters.sqs.SqsInferenceQueue"] == found


def test_there_is_a_policy() -> None:
    """The modules that the design calls policy are among those looked at."""
    names = {path.stem for path in policy_modules()}

    assert {"semantic_cache", "routing", "inference", "costs", "models", "errors", "settings", "pipeline"} <= names
    assert {"waiting", "reports", "health", "catalogue", "inspection"} <= names


@pytest.mark.parametrize("path", policy_modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_policy_imports(path: Path) -> None:
    """A policy module imports no SDK, no client, no adapter and nothing of the edge."""
    assert [] == trespasses(path.read_text(encoding="utf-8"))


def test_functions_do_not_import_each_other() -> None:
    """What two functions share is in the core."""
    names = {path.name for path in FUNCTIONS.iterdir() if (path / "app.py").is_file()}
    crossings = [
        (path.parent.name, name)
        for path in FUNCTIONS.rglob("*.py")
        for name in imports(path.read_text(encoding="utf-8"))
        if name.partition(".")[0] in names - {path.parent.name}
    ]

    assert [] == crossings
