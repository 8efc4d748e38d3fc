import re
from pathlib import Path

import pytest

from infra.local.shell import DEFAULT_OLLAMA_URL, SETTINGS, Choice, missing_models, ollama_url, pull_command
from llm_router.box import BoxState, InstalledModel
from llm_router.errors import ConfigError
from tests.contract.sam_template import TEMPLATE
from tests.fakes import TODAY

README = Path(__file__).parents[2] / "README.md"


def problems(**environ: str) -> tuple[str, ...]:
    """Return what is wrong with settings."""
    with pytest.raises(ConfigError) as caught:
        Choice.of(environ, TODAY)
    return caught.value.problems


def test_nothing_chosen() -> None:
    """Without settings nothing is overridden, and the template's models are asked at Ollama's usual address."""
    choice = Choice.of({"PATH": "/bin", "CACHE_TABLE": "theirs", "BASELINE_MODEL": ""}, TODAY)

    assert Choice(environment={}, ollama_url=DEFAULT_OLLAMA_URL, models=("tinyllama", "llama3.2")) == choice


def test_chosen_settings() -> None:
    """Settings of the shell reach the functions as they are; the address goes by itself."""
    given = {"CACHE_SIMILARITY_THRESHOLD": "0.9", "DEFAULT_MEDIUM_MODEL": "ollama/qwen3:4b"}
    choice = Choice.of(given | {"OLLAMA_BASE_URL": "http://box:11434/"}, TODAY)

    assert given == choice.environment
    assert ("http://box:11434", ("tinyllama", "qwen3:4b", "llama3.2")) == (choice.ollama_url, choice.models)


CLOUD = {"CLOUD_MODEL": "gpt-4o-mini", "CLOUD_BASE_URL": "https://api.example.com/v1", "CLOUD_API_KEY": "sk-1"}


def test_chosen_cloud() -> None:
    """A cloud is a matter of the template's parameters; its key goes into the twin's secrets and to no function."""
    choice = Choice.of(CLOUD | {"FALLBACK_MODEL": "ollama/phi3"}, TODAY)

    assert {
        "CloudModel": "gpt-4o-mini",
        "CloudBaseUrl": "https://api.example.com/v1",
        "CloudApiKeySecretArn": "cloud-api-key",
    } == choice.parameters
    assert ({"cloud-api-key": "sk-1"}, {"FALLBACK_MODEL": "ollama/phi3"}) == (choice.secrets, choice.environment)
    assert ("tinyllama", "llama3.2", "phi3") == choice.models


def test_models_of_arms_and_shadows() -> None:
    """An Ollama must have the models of arms and shadows, too, or the line to install them is shown."""
    arms = '[{"tier": "simple", "arm": "phi", "weight": 1, "model": "ollama/phi3"}]'
    choice = Choice.of({"ROUTING_ARMS": arms, "SHADOW_MODEL": "ollama/qwen3:4b", "SHADOW_DAILY_LIMIT": "7"}, TODAY)

    assert ("tinyllama", "llama3.2", "phi3", "qwen3:4b") == choice.models
    assert {"ROUTING_ARMS", "SHADOW_MODEL", "SHADOW_DAILY_LIMIT"} == choice.environment.keys()


@pytest.mark.parametrize("name", CLOUD)
def test_half_a_cloud(name: str) -> None:
    """A part of the cloud that is missing is named."""
    assert (f"{name}: is required where a part of the cloud is set",) == problems(**CLOUD | {name: ""})


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("CACHE_SIMILARITY_THRESHOLD", "1.5", "CACHE_SIMILARITY_THRESHOLD: must be at most 1"),
        ("CACHE_TTL_HOURS", "soon", "CACHE_TTL_HOURS: must be a number, not a string"),
        ("INFERENCE_MODE", "later", "INFERENCE_MODE: must be queue or inline"),
        ("CLASSIFIER", "oracle", "CLASSIFIER: must be learned or rules"),
        ("FALLBACK_MODEL", "phi3", "FALLBACK_MODEL: must be ollama/ and a model's name, like ollama/tinyllama"),
        ("PRELOAD_MODELS", "maybe", "PRELOAD_MODELS: must be true or false"),
        ("ROUTING_ARMS", '[{"weight": 0}]', "ROUTING_ARMS: must be at least 1 - at `$[0].weight`"),
        ("ROUTING_ARMS", "simple", "ROUTING_ARMS: JSON is malformed"),
        ("ROUTING_ARMS", '[{"tier": "easy"}]', "ROUTING_ARMS: is not one of the values it may have - at `$[0].tier`"),
        ("SHADOW_MODEL", "gpt-4", "SHADOW_MODEL: must be ollama/ and a model's name"),
        ("SHADOW_DAILY_LIMIT", "0", "SHADOW_DAILY_LIMIT: must be at least 1"),
        ("BASELINE_MODEL", "gpt-9", "no list price is known for 'gpt-9'"),
    ],
)
def test_bad_settings(name: str, value: str, problem: str) -> None:
    """A setting that a function would refuse is refused before anything starts."""
    assert problems(**{name: value})[0].startswith(problem)


def test_every_bad_setting_is_named() -> None:
    """Two bad settings are two sentences."""
    assert ["CACHE_SIMILARITY_THRESHOLD", "CLASSIFIER"] == sorted(
        problem.partition(":")[0] for problem in problems(CLASSIFIER="oracle", CACHE_SIMILARITY_THRESHOLD="-1")
    )


@pytest.mark.parametrize("text", ["http://localhost:11434", "http://localhost:11434/", "http://localhost:11434//"])
def test_slash_at_the_end(text: str) -> None:
    """A slash at the end of the address makes no difference."""
    assert DEFAULT_OLLAMA_URL == ollama_url(text)


@pytest.mark.parametrize("text", ["localhost:11434", "box", "ftp://box", "http://", "http://:11434", "http://a:b", " "])
def test_bad_address(text: str) -> None:
    """An address without http:// or https:// and a host is refused with an example of a good one."""
    assert (f"OLLAMA_BASE_URL: must be like {DEFAULT_OLLAMA_URL}, with http:// or https://, not {text!r}",) == problems(
        OLLAMA_BASE_URL=text
    )


def test_missing_models() -> None:
    """Models are missing that are not installed under their name, whether or not it has the default tag."""
    installed = (
        InstalledModel(name="tinyllama:latest", size_bytes=1),
        InstalledModel(name="llama3.2:1b", size_bytes=1),
    )
    state = BoxState(version="0.31.0", installed=installed, resident=())

    assert ["llama3.2", "phi4"] == missing_models(state, ("tinyllama", "llama3.2", "llama3.2:1b", "phi4"))


def test_pull_command() -> None:
    """The line to paste installs every model."""
    assert "ollama pull llama3.2 && ollama pull phi4:mini" == pull_command(["llama3.2", "phi4:mini"])


def test_settings_are_those_of_the_readme() -> None:
    """README documents the very settings that are taken from the shell."""
    table = README.read_text(encoding="utf-8").partition("## Settings")[2].partition("\n## ")[0]
    rows = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]

    assert set(SETTINGS) == {name for row in rows for name in re.findall(r"`([A-Z_]+)`", row)}


def test_settings_are_declared() -> None:
    """Every one of them is an environment variable of at least one function."""
    assert set() == set(SETTINGS) - {name for each in TEMPLATE.functions.values() for name in each.environment}
