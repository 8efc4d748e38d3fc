"""The built copies of the third-party layers: pruning must not remove what the functions import."""

import subprocess
import sys
from pathlib import Path

import pytest

LAYERS = Path(__file__).parents[2] / ".build" / "layers"

DEPS = """
import boto3, httpx, msgspec, prometheus_client
from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.event_handler import APIGatewayHttpResolver
from aws_lambda_powertools.utilities.batch import BatchProcessor

for service in ("dynamodb", "dynamodbstreams", "secretsmanager", "sqs", "sts"):
    boto3.client(service, region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="x")
print(boto3.client("dynamodb", region_name="us-east-1").search_vectors.__name__)
"""
EMBEDDING = """
import numpy, onnxruntime, tokenizers

session = onnxruntime.InferenceSession(f"{layer}/model/model.onnx", providers=["CPUExecutionProvider"])
tokens = tokenizers.Tokenizer.from_file(f"{layer}/model/tokenizer.json").encode("What is Python?")
print(*session.run(None, {"input_ids": numpy.array(tokens.ids)})[0].shape)
"""


def run_with_layer_only(layer: Path, code: str) -> str:
    """Run code in an interpreter that finds the standard library and the layer, and nothing else."""
    assert (layer / "python").is_dir(), f"{layer} is not built: `make layers` builds it"
    path = f"import sys; layer = {str(layer)!r}; sys.path.append(layer + '/python')"
    command = [sys.executable, "-I", "-S", "-W", "error", "-c", f"{path}\n{code}"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.mark.parametrize(
    ("name", "code", "expected"),
    [("DepsLayer", DEPS, "search_vectors"), ("EmbeddingLayer", EMBEDDING, "384")],
    ids=["deps", "embedding"],
)
def test_a_layer_works_by_itself(name: str, code: str, expected: str) -> None:
    """What the functions use of a layer can be imported and started with no other package in reach."""
    assert run_with_layer_only(LAYERS / name, code) == expected


@pytest.mark.parametrize("name", ["DepsLayer", "EmbeddingLayer"])
def test_a_layer_is_compiled_for_good(name: str) -> None:
    """Every module has bytecode that is used without looking at the source's time (PEP 552: flags are 1)."""
    modules = list((LAYERS / name / "python").rglob("*.py"))
    tag = sys.implementation.cache_tag
    flags = {(m.parent / "__pycache__" / f"{m.stem}.{tag}.pyc").read_bytes()[4:8] for m in modules}

    assert modules
    assert flags == {b"\x01\x00\x00\x00"}
