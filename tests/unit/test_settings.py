from pathlib import Path

import pytest

from llm_router.errors import ConfigError
from llm_router.settings import (
    AggregateCostsSettings,
    AnalyticsSettings,
    AuthorizeSettings,
    CacheLookupSettings,
    ChatSettings,
    ClassifySettings,
    InferCloudSettings,
    InferSettings,
    KeysSettings,
    ProbeSettings,
    RecomputeSettings,
    RoutingSettings,
    Settings,
    StatusSettings,
    environment,
    on_lambda,
)

URL = "https://sqs.us-east-1.amazonaws.com/123456789012/InferenceQueue"
REQUIRED: dict[type[Settings], dict[str, str]] = {
    ChatSettings: {
        "CACHE_TABLE": "c",
        "JOB_TABLE": "j",
        "USAGE_TABLE": "u",
        "INFERENCE_QUEUE_URL": URL,
        "STATUS_TABLE": "s",
        "LIMIT_TABLE": "l",
        "OLLAMA_BASE_URL": "http://box:11434",
    },
    ClassifySettings: {"LIMIT_TABLE": "l"},
    InferCloudSettings: {
        "CACHE_TABLE": "c",
        "JOB_TABLE": "j",
        "USAGE_TABLE": "u",
        "STATUS_TABLE": "s",
        "CLOUD_MODEL": "gpt-4o-mini",
        "CLOUD_BASE_URL": "https://api.example.com/v1",
        "CLOUD_API_KEY_SECRET": "key",
    },
    CacheLookupSettings: {
        "CACHE_TABLE": "c",
        "JOB_TABLE": "j",
        "USAGE_TABLE": "u",
        "ROLLUP_TABLE": "r",
        "LIMIT_TABLE": "l",
    },
    InferSettings: {
        "CACHE_TABLE": "c",
        "JOB_TABLE": "j",
        "USAGE_TABLE": "u",
        "STATUS_TABLE": "s",
        "OLLAMA_BASE_URL": "http://box:11434",
    },
    AggregateCostsSettings: {"ROLLUP_TABLE": "r", "LIMIT_TABLE": "l"},
    AuthorizeSettings: {"KEY_TABLE": "k"},
    KeysSettings: {"KEY_TABLE": "k"},
    AnalyticsSettings: {"ROLLUP_TABLE": "r", "STATUS_TABLE": "s", "INFERENCE_QUEUE_URL": "http://sqs/q"},
    RecomputeSettings: {"USAGE_TABLE": "u", "ROLLUP_TABLE": "r"},
    ProbeSettings: {"STATUS_TABLE": "s", "ROLLUP_TABLE": "r", "OLLAMA_BASE_URL": "http://box:11434"},
    StatusSettings: {
        "CACHE_TABLE": "c",
        "JOB_TABLE": "j",
        "USAGE_TABLE": "u",
        "ROLLUP_TABLE": "r",
        "STATUS_TABLE": "s",
        "INFERENCE_QUEUE_URL": URL,
    },
}


@pytest.mark.parametrize("kind", REQUIRED, ids=lambda kind: kind.__name__)
def test_required_names(kind: type[Settings]) -> None:
    """Exactly the required names are listed when the environment is empty, and with them it parses."""
    given = REQUIRED[kind]
    settings = kind.from_env(given)
    try:
        kind.from_env({})
        problems: tuple[str, ...] = ()
    except ConfigError as error:
        problems = error.problems

    assert sorted(f"{name}: is required" for name in given) == sorted(problems)
    assert given == {name: getattr(settings, name.lower()) for name in given}


def test_defaults() -> None:
    """What the template leaves out has the documented default."""
    settings = ChatSettings.from_env(REQUIRED[ChatSettings])

    assert ("ollama/tinyllama", "ollama/tinyllama", "ollama/llama3.2") == (
        settings.default_simple_model,
        settings.default_medium_model,
        settings.default_complex_model,
    )
    assert (0.85, 24, "gpt-4", "0.145", "queue", "learned", 2.0, Path("/opt/model")) == (
        settings.cache_similarity_threshold,
        settings.cache_ttl_hours,
        settings.baseline_model,
        settings.instance_usd_per_hour,
        settings.inference_mode,
        settings.classifier,
        settings.routing_bias,
        settings.model_dir,
    )


def test_given_values() -> None:
    """Numbers, paths and words are parsed out of text."""
    given = {"CACHE_SIMILARITY_THRESHOLD": "0.9", "CACHE_TTL_HOURS": "0.5", "MODEL_DIR": "/models/x"}
    settings = CacheLookupSettings.from_env(REQUIRED[CacheLookupSettings] | given)

    assert (0.9, 0.5, Path("/models/x")) == (
        settings.cache_similarity_threshold,
        settings.cache_ttl_hours,
        settings.model_dir,
    )


def test_every_problem_at_once() -> None:
    """Missing and malformed names are all in one error, a sentence each."""
    with pytest.raises(ConfigError) as caught:
        ChatSettings.from_env(
            {
                "CACHE_TABLE": "c",
                "CACHE_TTL_HOURS": "soon",
                "DEFAULT_SIMPLE_MODEL": "gpt-4",
                "INFERENCE_MODE": "carrier pigeon",
                "INFERENCE_QUEUE_URL": "nowhere",
            }
        )

    assert [
        "CACHE_TTL_HOURS",
        "DEFAULT_SIMPLE_MODEL",
        "INFERENCE_MODE",
        "INFERENCE_QUEUE_URL",
        "JOB_TABLE",
        "LIMIT_TABLE",
        "OLLAMA_BASE_URL",
        "STATUS_TABLE",
        "USAGE_TABLE",
    ] == sorted(problem.partition(":")[0] for problem in caught.value.problems)
    assert all(problem in str(caught.value) for problem in caught.value.problems)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CACHE_SIMILARITY_THRESHOLD", "1.01"),
        ("CACHE_SIMILARITY_THRESHOLD", "-0.1"),
        ("CACHE_SIMILARITY_THRESHOLD", "nan"),
        ("CACHE_TTL_HOURS", "0"),
        ("CACHE_TTL_HOURS", "inf"),
        ("INSTANCE_USD_PER_HOUR", "-1"),
        ("INSTANCE_USD_PER_HOUR", "NaN"),
        ("INSTANCE_USD_PER_HOUR", "1e3"),
        ("CLASSIFIER", "oracle"),
        ("ROUTING_BIAS", "0"),
        ("ROUTING_BIAS", "nan"),
        ("DEFAULT_COMPLEX_MODEL", "ollama/"),
        ("OLLAMA_BASE_URL", "ftp://box"),
        ("OLLAMA_BASE_URL", "http://"),
        ("BOX_HOURS", "Mon-Fri 7-19 UTC"),
        ("FALLBACK_MODEL", "gpt-4o"),
        ("CLOUD_MODEL", "gpt 4"),
        ("CLOUD_BASE_URL", "api.example.com"),
    ],
)
def test_malformed_value(name: str, value: str) -> None:
    """A value outside its range is refused by name."""
    with pytest.raises(ConfigError) as caught:
        ChatSettings.from_env(REQUIRED[ChatSettings] | {name: value})

    assert [name] == [problem.partition(":")[0] for problem in caught.value.problems]


CLOUD = {"CLOUD_MODEL": "gpt-4o-mini", "CLOUD_BASE_URL": "https://api.example.com/v1", "CLOUD_API_KEY_SECRET": "key"}


@pytest.mark.parametrize("name", CLOUD)
def test_half_a_cloud(name: str) -> None:
    """A cloud is configured whole or not at all; whatever part is missing is named."""
    with pytest.raises(ConfigError) as caught:
        ChatSettings.from_env(REQUIRED[ChatSettings] | CLOUD | {name: ""})
    whole = ChatSettings.from_env(REQUIRED[ChatSettings] | CLOUD)

    assert (f"{name}: is required where a part of the cloud is set",) == caught.value.problems
    assert "gpt-4o-mini" == whole.cloud_model


def test_empty_is_absent() -> None:
    """An empty value counts as absent: a default applies, and a required name is missing."""
    settings = RoutingSettings.from_env({"DEFAULT_COMPLEX_MODEL": ""})
    with pytest.raises(ConfigError, match="ROLLUP_TABLE: is required"):
        AnalyticsSettings.from_env({"ROLLUP_TABLE": ""})

    assert "ollama/llama3.2" == settings.default_complex_model


def test_white_space_around_a_value() -> None:
    """A line end that a file or a template left at a value is no part of it, and nothing else is no value."""
    written = {"SHADOW_MODEL": "ollama/phi3\n", "SHADOW_DAILY_LIMIT": " 7 ", "INSTANCE_USD_PER_HOUR": " \n"}
    settings = InferSettings.from_env(REQUIRED[InferSettings] | written)

    assert ("ollama/phi3", 7, "0.145") == (
        settings.shadow_model,
        settings.shadow_daily_limit,
        settings.instance_usd_per_hour,
    )


def test_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The process's environment is read when asked for, and tells whether Lambda runs it."""
    before = on_lambda(environment())
    monkeypatch.setenv("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand")

    assert (False, True) == (before, on_lambda(environment()))
