"""The box and its image: good for CloudFormation, closed to everybody else, and open to what the router asks."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
import yaml

from infra.local.intrinsics import Intrinsic, load_yaml
from llm_router.adapters.ollama import OllamaClient
from llm_router.errors import ModelError
from llm_router.models import ModelCall
from tests.contract.sam_template import DOCUMENT, ROOT, target
from tests.fakes import NOW_MS, FakeSecret

BOX: Final = load_yaml(ROOT / "infra" / "ollama.yaml")
IMAGE: Final = load_yaml(ROOT / "infra" / "image.yaml")
PROXY_PORT: Final = 11435
SECRET: Final = "a1" * 24
EVERYWHERE: Final = {"0.0.0.0/0", "::/0"}
MENDED: Final = (0, 17, 1)
"""The first Ollama without CVE-2026-7482."""


def of_type(document: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    """Return the properties of all resources of a type."""
    return [each["Properties"] for each in document["Resources"].values() if each["Type"] == kind]


def scripts() -> dict[str, str]:
    """Return what the image's component runs, by the name of the step."""
    (component,) = of_type(IMAGE, "AWS::ImageBuilder::Component")
    steps = [step for phase in yaml.safe_load(component["Data"].argument)["phases"] for step in phase["steps"]]
    return {step["name"]: "\n".join(step["inputs"]["commands"]) for step in steps}


def written(script: str, path: str) -> str:
    """Return the text that a script writes to a path."""
    (text,) = re.findall(rf"cat > {re.escape(path)} <<'END'\n(.*?)\n *END\n", script, re.DOTALL)
    return str(text)


NGINX: Final = written(scripts()["Proxy"], "/etc/nginx/nginx.conf")


def let_through(method: str, path: str) -> bool:
    """Whether a location of the proxy lets a request through; those on one line refuse everything."""
    locations = re.findall(r"location (=|~) (\S+) \{\n(.*?)\n {4}\}", NGINX, re.DOTALL)
    bodies = [body for kind, name, body in locations if (name == path if kind == "=" else re.search(name, path))]
    allowed = [re.search(r"limit_except ([A-Z ]+) \{ deny all; \}\n *proxy_pass http://127", body) for body in bodies]
    return any(match is not None and method in match[1].split() for match in allowed)


def requests_of_the_router() -> list[httpx.Request]:
    """Return everything that the client asks of an Ollama."""
    seen = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, json={"version": "0.32.15", "models": [], "done": True, "done_reason": "stop"})

    client = OllamaClient(
        "http://box:11435",
        transport=httpx.MockTransport(answer),
        clock=lambda: NOW_MS,
        secret=FakeSecret(SECRET),
    )
    client.state()
    client.load("ollama/tinyllama", deadline_ms=NOW_MS + 1000)
    list(client.generate(ModelCall(model="ollama/tinyllama", prompt="Hi", max_tokens=1), deadline_ms=NOW_MS + 1000))
    return seen


@pytest.mark.parametrize("name", ["image.yaml", "ollama.yaml"])
def test_templates_have_no_findings(name: str) -> None:
    """cfn-lint has nothing to say against the templates of the box and its image."""
    linter = Path(sys.executable).with_name("cfn-lint")
    command = [str(linter), str(ROOT / "infra" / name)]
    lint = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)

    assert (0, "") == (lint.returncode, lint.stdout), lint.stderr


def test_outputs_are_parameters_of_the_router() -> None:
    """What the stack of the box tells is what the router's template asks for, under the same names, and all of it."""
    of_the_box = {name for name in DOCUMENT["Parameters"] if name.startswith(("Ollama", "Function"))}

    assert of_the_box == BOX["Outputs"].keys()
    assert all(each["Description"] == f"Parameter {name} of the router" for name, each in BOX["Outputs"].items())


def test_image_is_a_parameter_of_the_box() -> None:
    """What the stack of the image tells is what the one of the box asks for."""
    assert IMAGE["Outputs"].keys() <= BOX["Parameters"].keys()


def test_proxy_lets_through_what_the_router_asks() -> None:
    """Every request of the client is let through."""
    asked = {(request.method, request.url.path) for request in requests_of_the_router()}

    assert {
        ("POST", "/api/chat"),
        ("GET", "/api/version"),
        ("GET", "/api/tags"),
        ("GET", "/api/ps"),
    } == asked
    assert all(let_through(*each) for each in asked)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/"),
        ("GET", "/api/chat"),
        ("POST", "/api/chat/"),
        ("POST", "/api/generate"),
        ("POST", "/api/pull"),
        ("POST", "/api/push"),
        ("POST", "/api/create"),
        ("POST", "/api/blobs/sha256:0"),
        ("DELETE", "/api/delete"),
        ("POST", "/api/tags"),
        ("GET", "/api/tags/x"),
        ("GET", "/x/api/tags"),
        ("POST", "/v1/chat/completions"),
    ],
)
def test_proxy_lets_nothing_else_through(method: str, path: str) -> None:
    """Nothing that changes models, and nothing that the router does not need, passes the proxy."""
    assert "location / { return 404; }" in NGINX
    assert not let_through(method, path)


def test_proxy_asks_for_the_secret_as_the_router_shows_it() -> None:
    """The header of the router is the line that the box makes of the secret; without a line nobody is let in."""
    script = written(scripts()["Proxy"], "/usr/local/bin/llm-router-secrets")
    (line,) = re.findall(r"&& echo \"\\\"(.*?)\\\" 1;\" >>", script)
    shown = {request.headers["Authorization"] for request in requests_of_the_router()}

    assert {line.replace("$secret", SECRET)} == shown
    assert re.search(r"map \$http_authorization \$is_router \{\s+default 0;", NGINX)
    assert "if ($is_router = 0) { return 401; }" in NGINX
    assert "for stage in AWSPENDING AWSCURRENT AWSPREVIOUS; do" in script


def test_generated_secret_is_one_that_the_box_takes() -> None:
    """The secret has the length and the characters that the box and a header allow."""
    (secret,) = of_type(BOX, "AWS::SecretsManager::Secret")
    (low, high) = re.findall(r"\^\[A-Za-z0-9\]\{(\d+),(\d+)\}\$", scripts()["Proxy"])[0]

    assert {"PasswordLength", "ExcludePunctuation"} == secret["GenerateSecretString"].keys()
    assert secret["GenerateSecretString"]["ExcludePunctuation"] is True
    assert int(low) <= secret["GenerateSecretString"]["PasswordLength"] <= int(high)


def test_refusal_of_the_proxy_is_an_error_of_the_router() -> None:
    """What the proxy says of a wrong secret is understood."""
    transport = httpx.MockTransport(lambda _: httpx.Response(401, html="<h1>401 Authorization Required</h1>"))
    client = OllamaClient("http://box:11435", transport=transport, clock=lambda: NOW_MS)

    with pytest.raises(ModelError, match="does not accept the router's secret"):
        client.state()


def test_ollama_is_pinned_and_mended() -> None:
    """The version has no known hole, is a whole one, and is checked against its digest before it is unpacked."""
    version = IMAGE["Parameters"]["OllamaVersion"]
    script = scripts()["Ollama"]

    assert tuple(map(int, version["Default"].split("."))) >= MENDED
    assert re.fullmatch(version["AllowedPattern"], version["Default"])
    assert "Default" not in IMAGE["Parameters"]["OllamaSha256"]
    assert script.index("/v${OllamaVersion}/") < script.index("sha256sum --check --strict") < script.index("tar ")
    assert "set -euo pipefail" in script


def test_ollama_listens_to_the_machine_alone() -> None:
    """Ollama is on the loopback address, where the proxy asks it, and the proxy on the one port that is open."""
    unit = written(scripts()["Ollama"], "/etc/systemd/system/ollama.service")

    assert "Environment=OLLAMA_HOST=127.0.0.1:11434" in unit
    assert [f"listen {PROXY_PORT};"] == re.findall(r"listen .*;", NGINX)
    assert target(BOX["Outputs"]["OllamaBaseUrl"]["Value"]) == f"http://${{BoxName}}:{PROXY_PORT}"


def test_only_functions_reach_the_box() -> None:
    """The box is entered from the functions' group on one port; nothing is open to the world."""
    inside = [
        rule for group in of_type(BOX, "AWS::EC2::SecurityGroup") for rule in group.get("SecurityGroupIngress", [])
    ]
    (entry,) = of_type(BOX, "AWS::EC2::SecurityGroupIngress")
    build = of_type(IMAGE, "AWS::EC2::SecurityGroup") + of_type(IMAGE, "AWS::EC2::SecurityGroupIngress")
    box = BOX["Resources"]["BoxSecurityGroup"]["Properties"]

    assert EVERYWHERE.isdisjoint(
        rule.get("CidrIp", rule.get("CidrIpv6")) for rule in inside if "VpcCidr" not in repr(rule)
    )
    assert ("FunctionSecurityGroup", "BoxSecurityGroup", PROXY_PORT, PROXY_PORT) == (
        target(entry["SourceSecurityGroupId"]),
        target(entry["GroupId"]),
        entry["FromPort"],
        entry["ToPort"],
    )
    assert "SecurityGroupIngress" not in box
    assert all("SecurityGroupIngress" not in group for group in build)


def test_there_is_no_way_to_the_internet() -> None:
    """The network has no gateway but DynamoDB's, and no route and no address that leads out."""
    kinds = {each["Type"] for each in BOX["Resources"].values()}
    gateways = [each for each in of_type(BOX, "AWS::EC2::VPCEndpoint") if each["VpcEndpointType"] == "Gateway"]
    (template,) = of_type(BOX, "AWS::EC2::LaunchTemplate")

    assert {"AWS::EC2::InternetGateway", "AWS::EC2::NatGateway", "AWS::EC2::Route", "AWS::EC2::EIP"}.isdisjoint(kinds)
    assert ["com.amazonaws.${AWS::Region}.dynamodb"] == [each["ServiceName"].argument for each in gateways]
    assert template["LaunchTemplateData"]["NetworkInterfaces"][0]["AssociatePublicIpAddress"] is False
    assert "KeyName" not in template["LaunchTemplateData"]


def test_machines_are_hardened() -> None:
    """Metadata needs a token and stays on the machine, of the box and of its build; disks are encrypted gp3."""
    (launch,) = (each["LaunchTemplateData"] for each in of_type(BOX, "AWS::EC2::LaunchTemplate"))
    (build,) = of_type(IMAGE, "AWS::ImageBuilder::InfrastructureConfiguration")
    (recipe,) = of_type(IMAGE, "AWS::ImageBuilder::ImageRecipe")
    disks = [each["Ebs"] for each in [*launch["BlockDeviceMappings"], *recipe["BlockDeviceMappings"]]]

    for options in (launch["MetadataOptions"], build["InstanceMetadataOptions"]):
        assert ("required", 1) == (options["HttpTokens"], options["HttpPutResponseHopLimit"])
    assert [("gp3", True)] * 2 == [(disk["VolumeType"], disk["Encrypted"]) for disk in disks]


def test_box_may_do_what_it_must_and_no_more() -> None:
    """The box reads one secret; an action on everything is one that knows no resources."""
    (role,) = (each for each in of_type(BOX, "AWS::IAM::Role") if each["Policies"][0]["PolicyName"] == "box")
    statements = {each["Sid"]: each for each in role["Policies"][0]["PolicyDocument"]["Statement"]}

    assert {"Measure", "BeReachedBySessions"} == {sid for sid, each in statements.items() if each["Resource"] == "*"}
    assert "BoxSecret" == target(statements["ReadItsSecret"]["Resource"])
    assert "*" not in repr([each["Action"] for each in statements.values()])
    assert "llm-router/box" == statements["Measure"]["Condition"]["StringEquals"]["cloudwatch:namespace"]


def test_sizes_have_eight_gigabytes() -> None:
    """The machines to choose from are those that the context lengths are reckoned for."""
    assert ["c7g.xlarge", "m7g.large", "t4g.large"] == BOX["Parameters"]["InstanceType"]["AllowedValues"]
    assert "c7g.xlarge" == BOX["Parameters"]["InstanceType"]["Default"]


def test_schedule_is_there_when_asked_for() -> None:
    """Start, stop and the role that does both exist under one condition, and start and stop one instance."""
    conditional = {name for name, each in BOX["Resources"].items() if each.get("Condition") == "KeepsHours"}
    schedules = of_type(BOX, "AWS::Scheduler::Schedule")

    assert {"ScheduleRole", "Start", "Stop"} == conditional
    assert {'{"InstanceIds": ["${Box}"]}'} == {each["Target"]["Input"].argument for each in schedules}
    assert all(isinstance(each["ScheduleExpressionTimezone"], Intrinsic) for each in schedules)
