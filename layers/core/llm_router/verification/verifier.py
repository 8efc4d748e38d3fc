"""The verifier of the semantic cache: hard rules first, then a learned score held to an error budget."""

import math
from typing import Final

from llm_router.verification.features import features
from llm_router.verification.reading import read
from llm_router.verification.rules import broken_rule
from llm_router.verification.scoring import Scorer, scorer
from llm_router.verification.wordlists import lexicon

DEFAULT_BUDGET: Final = 0.006
"""Of all requests; about 1.5 % of the hits."""
TOO_DIFFERENT: Final = "wording too different"


class PairVerifier:
    """Refuses a stored answer when its prompt differs from the asked one in anything that may change the answer.

    Args:
        budget: Share of all requests that the cache may answer wrongly; of the budgets that the weights were tuned for,
            the largest that is no larger is kept.
        weights: The learned part; by default the one that ships with the package.

    Raises:
        ValueError: the budget is smaller than any the weights were tuned for.
    """

    def __init__(self, *, budget: float = DEFAULT_BUDGET, weights: Scorer | None = None) -> None:
        self._scorer = weights or scorer()
        kept = [tuned for tuned in self._scorer.budgets if tuned <= budget]
        if not kept:
            raise ValueError(f"no wrong-hit budget as small as {budget}; the smallest is {min(self._scorer.budgets)}")
        self._least = self._scorer.budgets[max(kept)]
        lexicon()  # reading the word lists takes longer than forty pairs: not while a caller waits

    def refusal(self, asked: str, answered: str, similarity: float) -> str | None:
        """Return why the stored answer must not be served, or None when it may."""
        reason, score = self.judge(asked, answered, similarity)
        if reason is None and score < self._least:
            return TOO_DIFFERENT
        return reason

    def judge(self, asked: str, answered: str, similarity: float) -> tuple[str | None, float]:
        """Return the rule that keeps two canonical prompts apart, if any, and the log-odds of one answer for both.

        A mere rewording scores infinity, a broken rule minus infinity.
        """
        a, b = read(asked), read(answered)
        if asked == answered or a.is_reworded(b):
            return None, math.inf
        reason = broken_rule(a, b)
        if reason is not None:
            return reason, -math.inf
        return None, self._scorer.score(features(a, b, similarity, self._scorer.weight))
