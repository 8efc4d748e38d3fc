"""Grades a prompt by every grader, and says what the one that counts leads to."""

from collections.abc import Mapping

from msgspec import Struct

from llm_router.access.callers import Caller
from llm_router.arms import unit_of
from llm_router.classification import Grader
from llm_router.grading_responses import ClassifyResponse
from llm_router.ports import Classifier
from llm_router.prompt import canonicalise
from llm_router.routing import Router


class Grading(Struct, frozen=True):
    """The graders, and the way that a grade leads to."""

    graders: Mapping[Grader, Classifier]
    """The rules, and the learned one where there is one."""
    decisive: Grader
    """Which of them chat goes by."""
    router: Router

    def grade(self, caller: Caller, message: str) -> ClassifyResponse:
        """Return the verdicts on a message, and the model and arm that a single question of the caller's would get.

        Raises:
            ForbiddenError: none, for the caller may have none.
        """
        router = self.router.limited_to(caller.allowed_models)
        canonical = canonicalise(message)
        verdicts = {name: grader.classify(canonical) for name, grader in self.graders.items()}
        graded = verdicts[self.decisive]
        return ClassifyResponse.of(
            graded, router.route(graded.complexity, len(message), unit=unit_of(caller.tenant)), verdicts
        )
