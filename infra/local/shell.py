"""What `make run` takes from the shell: the settings of the functions, and the Ollama that is to answer."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields
from typing import Final, get_type_hints

import httpx

from llm_router.access.keys import has_key_shape
from llm_router.box import PROVIDER_PREFIX, BoxState
from llm_router.box_schedule import BoxSchedule
from llm_router.costs import Costs
from llm_router.errors import ConfigError
from llm_router.routing import Router
from llm_router.settings import AuthorizeSettings, ChatSettings, ProbeSettings, RouteBatchSettings, SubmitBatchSettings
from llm_router.validation import in_words

DEFAULT_OLLAMA_URL: Final = "http://localhost:11434"
SETTINGS: Final = (
    "DEFAULT_SIMPLE_MODEL",
    "DEFAULT_MEDIUM_MODEL",
    "DEFAULT_COMPLEX_MODEL",
    "ROUTING_ARMS",
    "SHADOW_MODEL",
    "SHADOW_DAILY_LIMIT",
    "FALLBACK_MODEL",
    "CLOUD_MODEL",
    "CLOUD_BASE_URL",
    "CLOUD_API_KEY_SECRET",
    "OLLAMA_BASE_URL",
    "BOX_HOURS",
    "CACHE_SIMILARITY_THRESHOLD",
    "CACHE_TTL_HOURS",
    "BASELINE_MODEL",
    "INSTANCE_USD_PER_HOUR",
    "INFERENCE_MODE",
    "PRELOAD_MODELS",
    "CLASSIFIER",
    "ROUTING_BIAS",
    "AUTH_MODE",
    "BATCH_INPUT_BUCKET",
    "TRUSTED_SENDER_IDS",
    "REPLY_QUEUE_PREFIX",
)
"""What README documents; everything else that the functions read is for the template to say."""
CLOUD_API_KEY: Final = "CLOUD_API_KEY"
"""The key itself, which goes into the twin's Secrets Manager and to no function."""
DEV_KEY: Final = "ROUTER_DEV_KEY"
"""The key that the twin is to know from the start, where it should be the same each time."""
_CLOUD_PARAMETERS: Final = {
    "CLOUD_MODEL": "CloudModel",
    "CLOUD_BASE_URL": "CloudBaseUrl",
    "CLOUD_API_KEY_SECRET": "CloudApiKeySecretArn",
}
"""Parameters and not just variables: they decide what is deployed."""
_KEPT_AS: Final = "cloud-api-key"


@dataclass(frozen=True, kw_only=True)
class _ShellSettings(ChatSettings, ProbeSettings, AuthorizeSettings, SubmitBatchSettings, RouteBatchSettings):
    """Everything that `SETTINGS` names."""


_GIVEN_BY_TEMPLATE: Final = {
    each.name.upper(): "http://x" for each in fields(_ShellSettings) if each.default is MISSING
}


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What somebody chose by way of the shell."""

    environment: Mapping[str, str]
    """Settings that differ from the template's."""
    ollama_url: str
    models: tuple[str, ...]
    """Models of the tiers and their arms, of fallback and shadows, as Ollama names them, each once."""
    parameters: Mapping[str, str] = field(default_factory=dict)
    """Parameters that differ from the template's."""
    secrets: Mapping[str, str] = field(default_factory=dict)
    """What the twin's Secrets Manager is to hold, by name."""
    dev_key: str | None = None
    """The key that the twin is to know; None for a random one."""

    @classmethod
    def of(cls, environ: Mapping[str, str], today: str) -> "Choice":
        """Check the settings that `environ` has, and that today's prices are known; an empty one counts as absent.

        Raises:
            ConfigError: one sentence for every bad one.
        """
        given = {name: environ[name] for name in SETTINGS if environ.get(name)}
        key = environ.get(CLOUD_API_KEY, "")
        if key:
            given.setdefault("CLOUD_API_KEY_SECRET", _KEPT_AS)
        elif not given.keys().isdisjoint(_CLOUD_PARAMETERS):
            raise ConfigError([f"{CLOUD_API_KEY}: is required where a part of the cloud is set"])
        dev_key = environ.get(DEV_KEY) or None
        if dev_key is not None and not has_key_shape(dev_key):
            raise ConfigError([f"{DEV_KEY}: must be llmr_ and 43 of A-Z, a-z, 0-9 and _ -"])
        url = ollama_url(given.pop("OLLAMA_BASE_URL", DEFAULT_OLLAMA_URL))
        try:
            parsed = _ShellSettings.from_env(_GIVEN_BY_TEMPLATE | given)
        except ConfigError as error:
            raise ConfigError([_in_words(problem) for problem in error.problems]) from error
        Costs.of(parsed.instance_usd_per_hour, parsed.baseline_model, today)
        BoxSchedule.parse(parsed.box_hours)
        router = Router.from_settings(parsed, today)
        local = [*router.first_asked, *filter(None, (router.fallback, parsed.shadow_model))]
        return cls(
            environment={name: value for name, value in given.items() if name not in _CLOUD_PARAMETERS},
            ollama_url=url,
            models=tuple(dict.fromkeys(model.removeprefix(PROVIDER_PREFIX) for model in local)),
            parameters={_CLOUD_PARAMETERS[name]: given[name] for name in given if name in _CLOUD_PARAMETERS},
            secrets={given["CLOUD_API_KEY_SECRET"]: key} if key else {},
            dev_key=dev_key,
        )


def ollama_url(text: str) -> str:
    """Return the address of an Ollama without a slash at its end.

    Raises:
        ConfigError: it is none.
    """
    try:
        url = httpx.URL(text)
    except httpx.InvalidURL:
        url = httpx.URL()
    if url.scheme not in {"http", "https"} or not url.host:
        raise ConfigError(
            [f"OLLAMA_BASE_URL: must be like {DEFAULT_OLLAMA_URL}, with http:// or https://, not {text!r}"]
        )
    return text.rstrip("/")


def missing_models(state: BoxState, models: Sequence[str]) -> list[str]:
    """Return the models that an Ollama does not have."""
    return [model for model in models if not state.is_installed(model)]


def pull_command(models: Sequence[str]) -> str:
    """Return the line for a shell that installs models."""
    return " && ".join(f"ollama pull {shlex.quote(model)}" for model in models)


def _in_words(problem: str) -> str:
    name, separator, sentence = problem.partition(": ")
    rule, at, path = sentence.partition(" - at ")
    kind = None if path else get_type_hints(_ShellSettings).get(name.lower())  # of the value as a whole
    return f"{name}{separator}{in_words(rule, kind)}{at}{path}"
