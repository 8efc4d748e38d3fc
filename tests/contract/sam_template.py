"""The template as it is written, and as the local twin reads it."""

from pathlib import Path
from typing import Any

from infra.local.intrinsics import Intrinsic, load_yaml
from infra.local.template import load_template

ROOT = Path(__file__).parents[2]
DOCUMENT = load_yaml(ROOT / "template.yaml")
CLOUD = {
    "CloudModel": "gpt-4o-mini",
    "CloudBaseUrl": "https://api.example.com/v1",
    "CloudApiKeySecretArn": "arn:aws:secretsmanager:us-east-1:123456789012:secret:cloud-key-a1b2c3",
}
SECRETS = {"CloudApiKeySecretArn", "OllamaSecretArn"}
"""What switches every resource on."""
TEMPLATE = load_template(ROOT / "template.yaml", endpoint_url="http://localhost", parameters=CLOUD)


def resources(kind: str) -> dict[str, dict[str, Any]]:
    """Return the properties of all resources of a type; intrinsic functions stay as they are."""
    return {
        name: resource.get("Properties", {})
        for name, resource in DOCUMENT["Resources"].items()
        if resource["Type"] == kind
    }


def target(value: object) -> str:
    """Return the logical id that a !Ref, !GetAtt or !Sub points to."""
    assert isinstance(value, Intrinsic), value
    return str(value.argument).removeprefix("${").partition(".")[0]


def events(kind: str) -> list[tuple[str, dict[str, Any]]]:
    """Return the function and the properties of all event sources of a type."""
    return [
        (name, event["Properties"])
        for name, function in resources("AWS::Serverless::Function").items()
        for event in function.get("Events", {}).values()
        if event["Type"] == kind
    ]
