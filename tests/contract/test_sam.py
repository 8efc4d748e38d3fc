"""The template is good for SAM and CloudFormation."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def validate(template: Path, home: Path) -> subprocess.CompletedProcess[str]:
    """Run `sam validate --lint`, which needs an account and a region to look at but calls neither."""
    environment = {
        "HOME": str(home),
        "PATH": str(Path(sys.executable).parent),
        "SAM_CLI_TELEMETRY": "0",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "none",
        "AWS_SECRET_ACCESS_KEY": "none",
    }
    command = [str(Path(sys.executable).with_name("sam")), "validate", "--lint", "--template", str(template)]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False)


def test_valid(tmp_path: Path) -> None:
    """`sam validate --lint` has nothing to say against the template."""
    validation = validate(ROOT / "template.yaml", tmp_path)

    assert (0, True) == (validation.returncode, "is a valid SAM Template" in validation.stdout), validation.stderr


def test_valid_with_tokens(tmp_path: Path) -> None:
    """Nor against the template with the authorizer that README puts in the place of the one for keys."""
    text = (ROOT / "template.yaml").read_text(encoding="utf-8")
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    (tokens,) = re.findall(r"```yaml\n(      Auth:\n.*?)```", readme, re.DOTALL)
    changed, count = re.subn(r"      Auth:\n(?: {8,}.*\n)+", tokens, text)
    (tmp_path / "template.yaml").write_text(changed, encoding="utf-8")
    validation = validate(tmp_path / "template.yaml", tmp_path)

    assert (1, "KeyAuthorizer" in changed) == (count, False)
    assert 0 == validation.returncode, validation.stdout + validation.stderr
