"""Who answers when a model does not: the rules by which a job goes from its model to another one.

| what went wrong                                         | another local model | the cloud |
|---------------------------------------------------------|---------------------|-----------|
| the box is down, busy for too long, or its circuit open | cannot help         | helps *   |
| the deadline has passed                                 | has no time left    | helps     |
| the model is missing or cannot be loaded                | helps               | helps     |
| the prompt is too long for the model                    | helps               | helps     |
| it cannot be held to the format that is wanted          | helps               | helps     |
| the answer broke off, or made no sense in the middle    | helps               | helps     |
| anything at the cloud                                   | -                   | -         |

* What nobody waits for waits until the box is back.

Of those that help the first in the job's own order is asked. A forced model has no fallbacks.
"""

from typing import Final

from llm_router.errors import ModelError, ModelTimeoutError, ModelUnavailableError
from llm_router.models import Job, Lane, Target

CLOUD_PREFIX: Final = "cloud/"


def is_cloud(model: str) -> bool:
    """Whether a configured model is asked in the cloud and not on the box."""
    return model.startswith(CLOUD_PREFIX)


def targets(job: Job) -> tuple[Target, ...]:
    """Return every model that may answer a job, its own first."""
    own = Target(model=job.model, namespace=job.namespace, max_tokens=job.max_tokens, turns=len(job.history))
    return (own, *job.fallbacks)


def cloud_target(job: Job) -> Target | None:
    """Return the cloud model that may answer a job; None when the box alone may."""
    return next((target for target in targets(job) if is_cloud(target.model)), None)


def is_for_cloud(job: Job) -> bool:
    """Whether the box is not, or not any more, to be asked."""
    return job.escalated or is_cloud(job.model)


def successor(job: Job, asked: str, error: ModelError, *, spoken: bool) -> Target | None:
    """Return who is asked after the model `asked` failed; None when nobody else can help.

    Args:
        job: Whose answer is missing.
        asked: The model that failed.
        error: How it failed, after its retries.
        spoken: Whether it had begun to answer.
    """
    models = [target.model for target in targets(job)]
    if is_cloud(asked) or asked not in models:
        return None
    later = job.fallbacks[models.index(asked) :]
    is_down = isinstance(error, ModelUnavailableError) and not spoken
    if is_down and job.lane is Lane.BATCH:
        return None
    only_cloud = is_down or isinstance(error, ModelTimeoutError)
    return next((target for target in later if is_cloud(target.model) or not only_cloud), None)
