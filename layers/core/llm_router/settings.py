"""Each function's settings, parsed once from the environment it is given; nothing else reads the environment."""

import os
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_origin, get_type_hints

import msgspec
from msgspec import Meta

from llm_router.arms import Arm
from llm_router.box import LocalModelName
from llm_router.box_schedule import BoxHoursText
from llm_router.classification.expected_cost import DEFAULT_BIAS
from llm_router.errors import ConfigError

CloudModelName = Annotated[str, Meta(pattern=r"^[A-Za-z0-9._:/@-]{1,120}$")]
UsdAmount = Annotated[str, Meta(pattern=r"^[0-9]{1,9}(\.[0-9]{1,9})?$")]
CacheTtlHours = Annotated[float, Meta(gt=0, le=8760)]
BucketName = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$")]
HttpUrl = Annotated[str, Meta(pattern=r"^https?://[^\s/]+")]


def environment() -> Mapping[str, str]:
    """Return the process's environment; the only place that touches it."""
    return os.environ  # noqa: TID251 - this is the one place


def on_lambda(environ: Mapping[str, str]) -> bool:
    """Tell whether this process is a Lambda environment, where work done while loading is worth doing."""
    return "AWS_LAMBDA_INITIALIZATION_TYPE" in environ


def memory_mb(environ: Mapping[str, str]) -> int:
    """Return the memory of this Lambda environment; 0 outside Lambda, where none is paid for."""
    return int(environ.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "0"))


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Base: a field `cache_table` is read from `CACHE_TABLE`, without white space around it; empty counts as absent."""

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> Self:
        """Parse the fields of this class out of `environ`.

        Raises:
            ConfigError: one sentence for every missing or malformed name.
        """
        hints = get_type_hints(cls, include_extras=True)
        values: dict[str, Any] = {}
        problems: list[str] = []
        for field in fields(cls):
            name = field.name.upper()
            raw = environ.get(name, "").strip()
            if raw:
                try:
                    values[field.name] = _convert(raw, hints[field.name])
                except msgspec.DecodeError as error:
                    problems.append(f"{name}: {error}")
            elif field.default is MISSING:
                problems.append(f"{name}: is required")
        if problems:
            raise ConfigError(problems)
        return cls(**values)


def _convert(raw: str, kind: Any) -> Any:
    if get_origin(kind) is tuple:
        return msgspec.json.decode(raw, type=kind)
    return Path(raw) if kind is Path else msgspec.convert(raw, kind, strict=False)


@dataclass(frozen=True, kw_only=True)
class RoutingSettings(Settings):
    """Which model serves which tier."""

    default_simple_model: LocalModelName = "ollama/tinyllama"
    default_medium_model: LocalModelName = "ollama/tinyllama"
    default_complex_model: LocalModelName = "ollama/llama3.2"
    fallback_model: LocalModelName = ""
    """Model of the box that is asked when a tier's model gives no answer; none when empty."""
    cloud_model: CloudModelName = ""
    """Model of the cloud, as its API knows it, for what the box cannot answer; none when empty."""
    routing_arms: tuple[Arm, ...] = ()
    """JSON; a tier without arms has its own model for everybody."""


@dataclass(frozen=True, kw_only=True)
class ShadowSettings(Settings):
    """Which model of the box also gets questions that were answered."""

    shadow_model: LocalModelName = ""
    """None when empty."""


@dataclass(frozen=True, kw_only=True)
class CloudSettings(Settings):
    """How the cloud is asked: all of it or nothing."""

    cloud_model: CloudModelName = ""
    cloud_base_url: HttpUrl = ""
    cloud_api_key_secret: str = ""
    """Name or ARN of the secret with the API key; the key itself is never in the environment."""

    def __post_init__(self) -> None:
        """Refuse half a configuration.

        Raises:
            ConfigError: a part is missing.
        """
        parts = ("cloud_model", "cloud_base_url", "cloud_api_key_secret")
        missing = [name.upper() for name in parts if not getattr(self, name)]
        if 0 < len(missing) < len(parts):
            raise ConfigError([f"{name}: is required where a part of the cloud is set" for name in missing])


@dataclass(frozen=True, kw_only=True)
class EmbeddingSettings(Settings):
    """Where the embedding model is."""

    model_dir: Path = Path("/opt/model")


@dataclass(frozen=True, kw_only=True)
class GradingSettings(RoutingSettings, EmbeddingSettings):
    """Which grader finds the tier, and what it is to avoid."""

    classifier: Literal["learned", "rules"] = "learned"
    routing_bias: Annotated[float, Meta(gt=0, le=100)] = DEFAULT_BIAS
    """Cost of sending a prompt one tier too low, in units of one tier too high; for the learned grader."""


@dataclass(frozen=True, kw_only=True)
class CacheSettings(EmbeddingSettings):
    """Where answers are kept, for how long, and how near a question must be."""

    cache_table: str
    cache_similarity_threshold: Annotated[float, Meta(ge=0, le=1)] = 0.85
    cache_ttl_hours: CacheTtlHours = 24


@dataclass(frozen=True, kw_only=True)
class BaselineSettings(Settings):
    """What costs are compared with."""

    baseline_model: str = "gpt-4"


@dataclass(frozen=True, kw_only=True)
class InstanceSettings(Settings):
    """What the box costs."""

    instance_usd_per_hour: UsdAmount = "0.145"


@dataclass(frozen=True, kw_only=True)
class MoneySettings(BaselineSettings, InstanceSettings):
    """What the box costs and what it is compared with."""


@dataclass(frozen=True, kw_only=True)
class RunnerSettings(MoneySettings):
    """What running jobs takes, whoever is asked."""

    job_table: str
    usage_table: str
    cache_table: str
    status_table: str
    cache_ttl_hours: CacheTtlHours = 24


@dataclass(frozen=True, kw_only=True)
class BoxHoursSettings(Settings):
    """When the box is awake."""

    box_hours: BoxHoursText = ""
    """Always when empty."""


@dataclass(frozen=True, kw_only=True)
class BoxSettings(BoxHoursSettings):
    """How the box is asked."""

    ollama_base_url: HttpUrl
    ollama_secret: str = ""
    """Name or ARN of the secret that the proxy before it wants to see; none when empty."""


@dataclass(frozen=True, kw_only=True)
class InferSettings(RunnerSettings, ShadowSettings, BoxSettings):
    """Settings of `infer`, and of whatever runs inference in its own process."""

    batch_job_queue_arn: str = ""
    """The queue of jobs that nobody waits for, if it reads one."""
    cache_similarity_threshold: Annotated[float, Meta(ge=0, le=1)] = 0.85
    shadow_daily_limit: Annotated[int, Meta(ge=1, le=1_000_000)] = 100
    """How many shadows are made in a UTC day."""


@dataclass(frozen=True, kw_only=True)
class InferCloudSettings(RunnerSettings):
    """Settings of `infer_cloud`, which is deployed only where there is a cloud."""

    cloud_model: CloudModelName
    cloud_base_url: HttpUrl
    cloud_api_key_secret: str


@dataclass(frozen=True, kw_only=True)
class PipelineSettings(GradingSettings, CacheSettings, MoneySettings, BoxHoursSettings):
    """What the way of a prompt takes, however it comes in."""

    job_table: str
    usage_table: str
    status_table: str
    limit_table: str


@dataclass(frozen=True, kw_only=True)
class RouteBatchSettings(PipelineSettings):
    """Settings of `route_batch`."""

    batch_job_queue_url: HttpUrl
    batch_queue_arn: str
    prompt_dead_letter_queue_url: HttpUrl
    trusted_sender_ids: str = ""
    """Ids of the roles whose messages on PromptQueue may name a tenant and a batch, with commas between; none."""
    reply_queue_prefix: str = ""
    """How the URLs of the queues begin that answers may be sent to; none when empty."""


@dataclass(frozen=True, kw_only=True)
class NotifySettings(Settings):
    """Settings of `notify`."""

    job_table: str
    rollup_table: str


@dataclass(frozen=True, kw_only=True)
class ChatSettings(PipelineSettings, CloudSettings, InferSettings):
    """Settings of `chat`."""

    inference_mode: Literal["queue", "inline"] = "queue"
    inference_queue_url: HttpUrl


@dataclass(frozen=True, kw_only=True)
class ClassifySettings(GradingSettings):
    """Settings of `classify`."""

    limit_table: str


@dataclass(frozen=True, kw_only=True)
class CacheLookupSettings(GradingSettings, CacheSettings):
    """Settings of `cache_lookup`."""

    job_table: str
    usage_table: str
    rollup_table: str
    limit_table: str


@dataclass(frozen=True, kw_only=True)
class SubmitBatchSettings(Settings):
    """Settings of `submit_batch`."""

    job_table: str
    rollup_table: str
    limit_table: str
    batch_queue_url: HttpUrl
    """Where lines are sent to be routed."""
    batch_input_queue_url: HttpUrl
    """Where files are sent to be read."""
    batch_input_bucket: BucketName = ""
    """The bucket that files of batches may be in; none when empty."""


@dataclass(frozen=True, kw_only=True)
class AggregateCostsSettings(Settings):
    """Settings of `aggregate_costs`."""

    rollup_table: str
    limit_table: str


@dataclass(frozen=True, kw_only=True)
class RecomputeSettings(Settings):
    """Settings of `recompute`."""

    usage_table: str
    rollup_table: str


@dataclass(frozen=True, kw_only=True)
class AnalyticsSettings(BaselineSettings):
    """Settings of `analytics`."""

    rollup_table: str
    status_table: str
    inference_queue_url: HttpUrl


@dataclass(frozen=True, kw_only=True)
class KeysSettings(Settings):
    """Settings of `keys`."""

    key_table: str


@dataclass(frozen=True, kw_only=True)
class AuthorizeSettings(KeysSettings):
    """Settings of `authorize`."""

    auth_mode: Literal["api-key", "none"] = "api-key"
    """`none` takes everybody for an administrator of the tenant `default`."""


@dataclass(frozen=True, kw_only=True)
class ProbeSettings(RoutingSettings, InstanceSettings, ShadowSettings, BoxSettings):
    """Settings of `probe`."""

    status_table: str
    rollup_table: str
    preload_models: bool = False


@dataclass(frozen=True, kw_only=True)
class StatusSettings(RoutingSettings, ShadowSettings, EmbeddingSettings, MoneySettings, BoxHoursSettings):
    """Settings of `status`."""

    cache_table: str
    job_table: str
    usage_table: str
    rollup_table: str
    status_table: str
    inference_queue_url: HttpUrl
