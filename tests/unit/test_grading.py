import msgspec
import pytest

from classify.grading import Grading
from llm_router.access.callers import Caller
from llm_router.arms import Arm
from llm_router.classification import Classification, Complexity, Grader, RuleClassifier
from llm_router.errors import InvalidRequestError
from llm_router.request_bodies import ClassifyRequest
from llm_router.routing import Router
from llm_router.validation import parse_json

LARGE = "ollama/llama3.2"
ROUTER = Router(
    dict.fromkeys(Complexity, "ollama/tinyllama"),
    arms=(Arm(tier=Complexity.COMPLEX, arm="large", weight=1, model=LARGE),),
)


class Pessimist:
    """A learned grader that finds everything hard, or cannot grade."""

    def __init__(self, *, degraded: bool = False) -> None:
        self._degraded = degraded

    def classify(self, prompt: str) -> Classification:
        """Call it complex."""
        return msgspec.structs.replace(
            RuleClassifier().classify(prompt),
            complexity=Complexity.COMPLEX,
            confidence=0.9,
            grader=Grader.LEARNED,
            chances={Complexity.SIMPLE: 0.1, Complexity.COMPLEX: 0.9},
            degraded=self._degraded,
        )


def test_rules_alone() -> None:
    """Where there is only the rule grader, its verdict is the grade."""
    shown = Grading({Grader.RULES: RuleClassifier()}, Grader.RULES, ROUTER).grade(
        Caller(tenant="acme"), "What is Python?"
    )

    assert (Complexity.SIMPLE, "ollama/tinyllama", "default") == (shown.complexity, shown.recommended_model, shown.arm)
    assert shown.verdicts.learned is None
    assert (shown.complexity, shown.confidence, shown.reasons) == (
        shown.verdicts.rules.complexity,
        shown.verdicts.rules.confidence,
        shown.verdicts.rules.reasons,
    )


def test_both_graders() -> None:
    """Both verdicts are shown, and the one that chat goes by decides over the model and the arm."""
    graders = {Grader.RULES: RuleClassifier(), Grader.LEARNED: Pessimist()}
    shown = Grading(graders, Grader.LEARNED, ROUTER).grade(Caller(tenant="acme"), "What is Python?")
    learned = shown.verdicts.learned

    assert (Complexity.COMPLEX, LARGE, "large") == (shown.complexity, shown.recommended_model, shown.arm)
    assert Complexity.SIMPLE is shown.verdicts.rules.complexity
    assert learned is not None
    assert (Complexity.COMPLEX, 0.9) == (learned.complexity, (learned.chances or {})[Complexity.COMPLEX])


def test_degraded_grader() -> None:
    """A learned grader that the rules had to stand in for has no verdict of its own."""
    graders = {Grader.RULES: RuleClassifier(), Grader.LEARNED: Pessimist(degraded=True)}

    assert Grading(graders, Grader.LEARNED, ROUTER).grade(Caller(tenant="acme"), "Hello").verdicts.learned is None


@pytest.mark.parametrize(
    ("body", "field", "says"),
    [
        (b"{}", "message", "is required, or `messages`"),
        (b'{"message": "a", "messages": ["b"]}', "message", "must not come with `messages`"),
        (b'{"messages": []}', "messages", "must have at least 1 item"),
        (b'{"messages": [' + b",".join([b'"a"'] * 101) + b"]}", "messages", "must have at most 100 items"),
        (b'{"messages": ["a", " "]}', "messages[1]", "must not be blank"),
        (b'{"messages": "a"}', "messages", "must be an array or null, not a string"),
    ],
)
def test_refused_bodies(body: bytes, field: str, says: str) -> None:
    """One message or 1 to 100 of them; anything else is refused by name."""
    with pytest.raises(InvalidRequestError) as caught:
        parse_json(body, ClassifyRequest)

    assert (field, says) == (caught.value.field, str(caught.value))


def test_limited_key() -> None:
    """A key that may not have the tier's model is shown the one that it gets."""
    grading = Grading({Grader.RULES: RuleClassifier()}, Grader.RULES, ROUTER)
    allowed = (ROUTER.models[Complexity.COMPLEX],)

    assert allowed[0] == grading.grade(Caller(tenant="acme", allowed_models=allowed), "Hello").recommended_model
