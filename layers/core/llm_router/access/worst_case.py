"""The most that a request can cost, as far as anybody can tell before it is begun."""

from contextlib import suppress
from typing import Final

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from llm_router.costs import Costs
from llm_router.errors import StoreError
from llm_router.fallback import CLOUD_PREFIX, is_cloud, targets
from llm_router.jobs import utc_day
from llm_router.models import Job, Target
from llm_router.ports import StatusStore

LONGEST_ANSWER_MS: Final = 900_000
"""As long as `infer` may run."""
MARGIN: Final = 4
"""How many times as long as the model's figures say an answer is taken to last at most."""
_MESSAGE_TOKENS: Final = 16
"""What a chat template puts around a message, at most."""


class WorstCase(Struct, frozen=True, kw_only=True):
    """Prices requests as if each used all of its tokens, and every model was asked that may answer it."""

    statuses: StatusStore
    costs: Costs

    def nano_usd(self, job: Job) -> int:
        """Return the most that a job can cost: the sum over its model and those in whose hands it may come.

        Of the machine, the time for a load, the question and the longest answer: four times what the model's figures
        say, and at most what a worker has; without figures that. Of the cloud, the list price of the longest answer,
        and of a token for each byte of the question and its response format, since no tokenizer makes more.
        """
        return sum(self._of(job, target) for target in targets(job))

    def alone_nano_usd(self, job: Job, model: str) -> int:
        """Return the most that a job can cost when one model alone may answer it."""
        return self.nano_usd(replace(job, model=model, fallbacks=()))

    def _of(self, job: Job, target: Target) -> int:
        if is_cloud(target.model):
            price = self.costs.prices.price(target.model.removeprefix(CLOUD_PREFIX), utc_day(job.created_at_ms))
            return price.cost_nano_usd(_most_input_tokens(job), target.max_tokens)
        busy_ms = LONGEST_ANSWER_MS
        with suppress(StoreError):  # without figures it may take as long as there is
            pace = self.statuses.pace(target.model)
            known_ms = pace and pace.longest_ms(prompt_chars=job.prompt_chars, max_tokens=target.max_tokens)
            busy_ms = min(LONGEST_ANSWER_MS, MARGIN * known_ms) if known_ms else LONGEST_ANSWER_MS
        return self.costs.box_nano_usd(busy_ms * 1_000_000)


def _most_input_tokens(job: Job) -> int:
    texts = [
        job.system_prompt or "",
        job.prompt,
        *(text for turn in job.history for text in (turn.question, turn.answer)),
    ]
    form = job.sampling.response_format
    return sum(len(text.encode()) + _MESSAGE_TOKENS for text in texts) + (len(msgspec.json.encode(form)) if form else 0)
