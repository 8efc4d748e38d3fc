"""One answer on its way: whose it is, who is asked for it, and what it has cost so far."""

from typing import Final

from llm_router.fallback import targets
from llm_router.models import Generation, Job, ModelCall, Target

LEASE_MS: Final = 30_000
"""A worker that has not been heard of for so long is taken for dead."""
SPARE_MS: Final = 10_000
"""Left of a worker's time for writing down what a generation came to."""


class CancelledError(Exception):
    """The caller wants the running job to stop, and nobody else waits for its answer."""


class EscalatedError(Exception):
    """The box has no answer, and the cloud may have one."""


class Work:
    """One answer on its way; its job changes hands when its caller cancels and others wait for the answer.

    Args:
        job: The job, running.
        asked: Who is asked first; the job's own model by default.
    """

    def __init__(self, job: Job, asked: Target | None = None) -> None:
        self.job = job
        self.spent = job.spent
        self.ask(asked or targets(job)[0])

    def ask(self, target: Target) -> None:
        """Begin anew with a model."""
        self.asked = target
        self.text = ""
        self.first_piece_at_ms: int | None = None
        self.generation: Generation | None = None

    @property
    def call(self) -> ModelCall:
        """What to ask the model."""
        return ModelCall(
            model=self.asked.model,
            prompt=self.job.prompt,
            system_prompt=self.job.system_prompt,
            history=self.job.history[len(self.job.history) - self.asked.turns :],
            max_tokens=self.asked.max_tokens,
            temperature=self.job.temperature,
            sampling=self.job.sampling,
        )

    @property
    def fallback(self) -> str | None:
        """The model that is asked in place of the job's own; None while that is asked itself."""
        return None if self.asked.model == self.job.model else self.asked.model
