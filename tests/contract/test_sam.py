"""The template is good for SAM and CloudFormation."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def validation(tmp_path_factory: pytest.TempPathFactory) -> subprocess.CompletedProcess[str]:
    """Run `sam validate --lint`, which needs an account and a region to look at but calls neither."""
    environment = {
        "HOME": str(tmp_path_factory.mktemp("home")),
        "PATH": str(Path(sys.executable).parent),
        "SAM_CLI_TELEMETRY": "0",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "none",
        "AWS_SECRET_ACCESS_KEY": "none",
    }
    command = [str(Path(sys.executable).with_name("sam")), "validate", "--lint"]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False)


def test_valid(validation: subprocess.CompletedProcess[str]) -> None:
    """`sam validate --lint` has nothing to say against the template."""
    assert (0, True) == (validation.returncode, "is a valid SAM Template" in validation.stdout), validation.stderr
