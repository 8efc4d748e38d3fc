"""One logger and one way to emit a metric; never a prompt or an answer in either."""

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from functools import lru_cache
from typing import Final

from aws_lambda_powertools import Logger
from aws_lambda_powertools.metrics import MetricUnit, single_metric

NAMESPACE: Final = "LlmRouter"
TALKATIVE: Final = ("boto3", "botocore", "httpcore", "httpx", "urllib3")
"""Whoever logs what it sends, prompts and keys, when everything is to be logged: they do not, whatever the level is."""
for _name in TALKATIVE:
    logging.getLogger(_name).setLevel(logging.INFO)


class Metric(StrEnum):
    """Every metric that is emitted; README says what they mean, and a test that it names them all."""

    RECORD_FAILED = "RecordFailed"
    JOB_FAILED = "JobFailed"
    JOB_ESCALATED = "JobEscalated"
    PROMPT_SET_ASIDE = "PromptSetAside"
    CACHE_DEGRADED = "CacheDegraded"
    BOX_UNREACHABLE = "BoxUnreachable"
    PRELOAD_FAILED = "PreloadFailed"
    FEEDBACK = "Feedback"
    LIMIT_UNCHECKED = "LimitUnchecked"
    BUDGET_ALERT = "BudgetAlert"
    ROLLUP_DRIFT = "RollupDrift"


@lru_cache
def logger() -> Logger:
    """Return the structured logger; its service name and level come from Powertools' own variables."""
    return Logger()


@contextmanager
def failures_logged(what: str, **known: str) -> Iterator[None]:
    """Log an exception that is about to be reported as a failed record, and let it pass."""
    try:
        yield
    except Exception as error:
        logger().warning(f"{what} failed and comes again", extra=known | {"kind": type(error).__name__}, exc_info=True)
        count(Metric.RECORD_FAILED, kind=type(error).__name__)
        raise


def note_failed_job(job_id: str, code: str) -> None:
    """Log and count a request that ended without an answer; `code` says why."""
    logger().warning("job failed", extra={"job_id": job_id, "code": code})
    count(Metric.JOB_FAILED, code=code)


def count_degraded(parts: Iterable[str]) -> None:
    """Count what had to be done without: what an answer's `degraded` names, or `cache_write` after it."""
    for part in parts:
        count(Metric.CACHE_DEGRADED, part=part)


def count(metric: Metric, **dimensions: str) -> None:
    """Emit a count of one."""
    gauge(metric, 1, **dimensions)


def gauge(metric: Metric, value: int, **dimensions: str) -> None:
    """Emit a number of something in CloudWatch's embedded metric format."""
    with single_metric(name=metric, unit=MetricUnit.Count, value=value, namespace=NAMESPACE) as emitted:
        for name, which in dimensions.items():
            emitted.add_dimension(name=name, value=which)
