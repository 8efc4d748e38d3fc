"""The sample application under the twin, once per test module."""

import io
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from infra.local.runtime_client import link_distributions
from infra.local.twin import Twin

SAMPLE = Path(__file__).parent / "sample"
SDK = ("boto3", "botocore", "jmespath", "python-dateutil", "s3transfer", "six", "urllib3")


@dataclass
class Sample:
    """The running sample, and what its functions told."""

    twin: Twin
    http: httpx.Client
    log: io.StringIO = field(repr=False)

    def told(self, topic: str) -> list[Any]:
        """Give what functions said under a topic, in the order of the log."""
        lines = [line.partition("] ")[2] for line in self.log.getvalue().splitlines()]
        notes = [json.loads(line) for line in lines if line.startswith('{"topic"')]
        return [note["value"] for note in notes if note["topic"] == topic]


@pytest.fixture(scope="session")
def build_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the makefile layer: the SDK, linked, and a file under /opt/model."""
    folder = tmp_path_factory.mktemp("layers")
    python = folder / "SdkLayer" / "python"
    python.mkdir(parents=True)
    link_distributions(python, SDK)
    (folder / "SdkLayer" / "model").mkdir()
    return folder


@pytest.fixture(scope="module")
def sample(build_dir: Path) -> Iterator[Sample]:
    """Run the sample."""
    log = io.StringIO()
    with (
        Twin(SAMPLE / "template.yaml", build_dir=build_dir, parameters={"Greeting": "good day"}, log=log) as twin,
        httpx.Client(base_url=twin.url, trust_env=False, timeout=20) as http,
    ):
        yield Sample(twin, http, log)
