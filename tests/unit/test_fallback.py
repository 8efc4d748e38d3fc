import pytest

from llm_router.accounting.prices import price_book
from llm_router.errors import (
    ModelError,
    ModelNotFoundError,
    ModelTimeoutError,
    ModelUnavailableError,
    PromptTooLongError,
    ResponseFormatError,
)
from llm_router.fallback import cloud_target, is_for_cloud, successor, targets
from llm_router.metering import BoxMeter, CloudMeter
from llm_router.models import ModelCall, Spent, Target
from tests.builders import COSTS, TINY, make_generation, make_job
from tests.fakes import TODAY

OTHER = Target(model="ollama/phi3", namespace="ns-phi3", max_tokens=1024)
CLOUD = Target(model="cloud/gpt-4o-mini", namespace="ns-cloud", max_tokens=1024)
DOWN = ModelUnavailableError("gone")
MISSING = ModelNotFoundError("not there")


@pytest.mark.parametrize(
    ("error", "spoken", "local_helps"),
    [
        (DOWN, False, False),
        (DOWN, True, True),
        (ModelTimeoutError("too late"), False, False),
        (ModelTimeoutError("too late"), True, False),
        (MISSING, False, True),
        (PromptTooLongError("too long"), False, True),
        (ResponseFormatError("odd"), False, True),
        (ModelError("cannot be loaded"), False, True),
    ],
)
def test_rule_table(error: ModelError, spoken: bool, local_helps: bool) -> None:  # noqa: FBT001 - a table
    """Another model of the box is asked only where it can help; the cloud is asked where it cannot, or is not there."""
    with_both = successor(make_job(fallbacks=(OTHER, CLOUD)), TINY, error, spoken=spoken)
    with_other = successor(make_job(fallbacks=(OTHER,)), TINY, error, spoken=spoken)
    with_cloud = successor(make_job(fallbacks=(CLOUD,)), TINY, error, spoken=spoken)

    assert (OTHER if local_helps else CLOUD) == with_both
    assert (OTHER if local_helps else None) == with_other
    assert CLOUD == with_cloud


def test_nobody_is_asked_twice() -> None:
    """After the other local model comes the cloud, and after the cloud nobody; a job without fallbacks has none."""
    job = make_job(fallbacks=(OTHER, CLOUD))

    assert CLOUD == successor(job, OTHER.model, MISSING, spoken=False)
    assert successor(job, CLOUD.model, DOWN, spoken=False) is None
    assert successor(make_job(), TINY, MISSING, spoken=False) is None


def test_unknown_model_has_no_successor() -> None:
    """A model that a job does not know, because the settings changed meanwhile, is the last one."""
    assert successor(make_job(fallbacks=(CLOUD,)), "ollama/gone", DOWN, spoken=False) is None


def test_targets() -> None:
    """A job's own model comes first; what the cloud may answer has the cloud's target, own or fallback."""
    job, forced = make_job(fallbacks=(OTHER, CLOUD)), make_job(model=CLOUD.model, namespace="ns-cloud", max_tokens=1024)

    assert (Target(model=TINY, namespace="ns", max_tokens=512), OTHER, CLOUD) == targets(job)
    assert CLOUD == cloud_target(job) == cloud_target(forced)
    assert cloud_target(make_job(fallbacks=(OTHER,))) is None
    assert [False, True, True] == [is_for_cloud(each) for each in (job, forced, make_job(escalated=True))]


CALL = ModelCall(model="m", prompt="123456", system_prompt="789", max_tokens=10)


def test_meters_of_whole_answers() -> None:
    """7 ms of the box are 100 nano-dollars each; the cloud's 10 tokens in are 150 each, its 20 tokens out 600."""
    box, cloud = BoxMeter(COSTS), CloudMeter(lambda: price_book().price("gpt-4o-mini", TODAY))

    assert Spent(busy_ms=7, actual_nano_usd=700) == box.generation(make_generation())
    assert Spent(actual_nano_usd=10 * 150 + 20 * 600) == cloud.generation(make_generation())


def test_cached_input() -> None:
    """1,000 tokens in, 800 of them still known to the cloud: 200 x 2,000 + 800 x 100 + 50 x 10,000 nano-dollars."""
    cloud = CloudMeter(lambda: price_book().price("gpt-6.1-sol", "2026-11-23"))
    answered = make_generation(input_tokens=1000, cached_input_tokens=800, output_tokens=50)

    assert Spent(actual_nano_usd=980_000) == cloud.generation(answered)


def test_meter_follows_the_price() -> None:
    """A meter that lives through a change of price bills each answer at the price that is in force then."""
    days = iter(["2026-07-29", "2026-07-30"])
    cloud = CloudMeter(lambda: price_book().price("gpt-5.6-luna", next(days)))

    assert [10 * 1000 + 20 * 6000, 10 * 200 + 20 * 1200] == [
        cloud.generation(make_generation()).actual_nano_usd for _ in range(2)
    ]


def test_meters_of_fragments() -> None:
    """The box's time since the first piece counts; the cloud's 9 and 5 characters are 3 and 2 tokens, if any came."""
    box, cloud = BoxMeter(COSTS), CloudMeter(lambda: price_book().price("gpt-4o-mini", TODAY))

    assert Spent(busy_ms=30, actual_nano_usd=3000) == box.fragment(CALL, "Hello", writing_ms=30)
    assert Spent(actual_nano_usd=3 * 150 + 2 * 600) == cloud.fragment(CALL, "Hello", writing_ms=30)
    assert Spent() == cloud.fragment(CALL, "", writing_ms=0)
