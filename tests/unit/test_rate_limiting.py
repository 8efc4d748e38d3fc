"""Whether a key may still take a request, and how its holder is told."""

import pytest
from aws_lambda_powertools.event_handler import Response

from llm_router.access.callers import OPERATOR, Caller
from llm_router.access.keys import Limits
from llm_router.access.limits import MINUTE_MS
from llm_router.access.rate_limiting import Admission, RateLimiter, tokens_taken, tokens_wanted
from llm_router.api import admit, create_api, respond
from llm_router.jobs import failed, succeeded
from llm_router.models import CacheTier, Failure, Job
from tests.builders import Context, body_of, http_event, make_answer, make_job, make_request
from tests.fakes import NOW_MS, FakeLimitStore, SettableClock

ANSWERED = succeeded(make_job(), make_answer(input_tokens=30, output_tokens=12), NOW_MS)
CACHED = succeeded(make_job(), make_answer(tier=CacheTier.EXACT, input_tokens=30, output_tokens=12), NOW_MS)
FAILED = failed(make_job(), Failure(code="model_error", message="it broke"), NOW_MS)


def holder(**limits: int) -> Caller:
    """Return the holder of a key with these limits."""
    return Caller(tenant="acme", key_id="key_1", limits=Limits(**limits))


class Limited:
    """A limiter over a store that can break."""

    def __init__(self) -> None:
        self.store = FakeLimitStore()
        self.clock = SettableClock()
        self.troubles: list[Exception] = []
        self.limiter = RateLimiter(store=self.store, clock=self.clock, on_store_error=self.troubles.append)


@pytest.fixture
def limited() -> Limited:
    """Return a limiter with nothing taken."""
    return Limited()


@pytest.mark.parametrize("caller", [OPERATOR, holder(), holder(concurrent_requests=1, monthly_budget_nano_usd=0)])
def test_without_limits(limited: Limited, caller: Caller) -> None:
    """A key without these limits is not counted, so that a broken store does not even come to light."""
    limited.store.broken = True

    assert Admission() == limited.limiter.admit(caller, 10)
    assert [] == limited.troubles


def test_headers(limited: Limited) -> None:
    """What is left of the minute is told as OpenAI does, of both limits, and never as less than nothing."""
    both = holder(requests_per_minute=60, tokens_per_minute=1000)
    first = limited.limiter.admit(both, 400)
    limited.clock.now_ms += 59_500

    assert {
        "x-ratelimit-limit-requests": "60",
        "x-ratelimit-remaining-requests": "59",
        "x-ratelimit-reset-requests": "60s",
        "x-ratelimit-limit-tokens": "1000",
        "x-ratelimit-remaining-tokens": "600",
        "x-ratelimit-reset-tokens": "60s",
    } == first.headers(NOW_MS)
    assert "500ms" == first.headers(limited.clock())["x-ratelimit-reset-tokens"]
    assert "58.5s" == first.headers(NOW_MS + 1500)["x-ratelimit-reset-tokens"]
    limited.limiter.settle(both, first, succeeded(make_job(), make_answer(input_tokens=0, output_tokens=1100), NOW_MS))
    assert "0" == limited.limiter.admit(both, 0).headers(limited.clock())["x-ratelimit-remaining-tokens"]


def test_headers_of_one_limit(limited: Limited) -> None:
    """Nothing is told of a limit that there is not."""
    headers = limited.limiter.admit(holder(requests_per_minute=60)).headers(NOW_MS)

    assert {"limit", "remaining", "reset"} == {name.split("-")[2] for name in headers}
    assert {"requests"} == {name.split("-")[3] for name in headers}


@pytest.mark.parametrize(
    ("limits", "tokens", "field", "word"),
    [
        ({"requests_per_minute": 1, "tokens_per_minute": 100}, 60, "requests_per_minute", "requests"),
        ({"requests_per_minute": 9, "tokens_per_minute": 100}, 60, "tokens_per_minute", "tokens"),
        ({"tokens_per_minute": 100}, 60, "tokens_per_minute", "tokens"),
    ],
)
def test_refused(limited: Limited, limits: dict[str, int], tokens: int, field: str, word: str) -> None:
    """The second request is told which limit it ran into, and when to come again."""
    limited.limiter.admit(holder(**limits), tokens)
    limited.clock.now_ms += 20_001
    refusal = limited.limiter.admit(holder(**limits), tokens).refusal
    assert refusal is not None

    assert (field, MINUTE_MS - 20_001) == (refusal.field, refusal.retry_after_ms)
    assert f"this key has used up its {word} of the minute; they are counted anew in 40 s" == str(refusal)


def test_too_large(limited: Limited) -> None:
    """What is more than a whole minute's tokens is refused for good, and nothing is taken for it."""
    small = holder(tokens_per_minute=100)
    refusal = limited.limiter.admit(small, 101).refusal
    assert refusal is not None

    assert ("tokens_per_minute", None) == (refusal.field, refusal.retry_after_ms)
    assert limited.limiter.admit(small, 100).refusal is None


def test_store_that_fails(limited: Limited) -> None:
    """Who cannot count lets everybody through, and says so; what was taken before stays as it is."""
    caller = holder(requests_per_minute=1, tokens_per_minute=100)
    taken = limited.limiter.admit(caller, 50)
    limited.store.broken = True
    again = limited.limiter.admit(caller, 50)
    limited.limiter.settle(caller, taken, ANSWERED)

    assert Admission() == again
    assert {} == again.headers(NOW_MS)
    assert 2 == len(limited.troubles)


@pytest.mark.parametrize(
    ("job", "tokens"), [(ANSWERED, 42), (CACHED, 0), (FAILED, 0)], ids=["answered", "cached", "failed"]
)
def test_settled(limited: Limited, job: Job, tokens: int) -> None:
    """A finished request counts for the tokens a model read and wrote for it: none, where the cache answered."""
    caller = holder(tokens_per_minute=1000)
    limited.limiter.settle(caller, limited.limiter.admit(caller, 900), job)

    assert tokens == tokens_taken(job)
    assert (
        str(1000 - tokens - 100) == limited.limiter.admit(caller, 100).headers(NOW_MS)["x-ratelimit-remaining-tokens"]
    )


def test_nothing_was_started(limited: Limited) -> None:
    """A request that was refused gives all of its tokens back."""
    caller = holder(tokens_per_minute=1000)
    limited.limiter.settle(caller, limited.limiter.admit(caller, 900), None)

    assert "0" == limited.limiter.admit(caller, 1000).headers(NOW_MS)["x-ratelimit-remaining-tokens"]


def test_not_settled(limited: Limited) -> None:
    """A request on its way counts for what it may take; without a limit of tokens nothing is written afterwards."""
    caller = holder(tokens_per_minute=1000)
    limited.limiter.settle(caller, limited.limiter.admit(caller, 900), make_job())
    requests_only = holder(requests_per_minute=9)
    admission = limited.limiter.admit(requests_only, 900)
    limited.store.broken = True
    limited.limiter.settle(requests_only, admission, ANSWERED)
    limited.limiter.settle(caller, Admission(tokens=42), ANSWERED)
    limited.limiter.settle(caller, Admission(tokens=42, minute=admission.minute), ANSWERED)  # it took what it might
    limited.store.broken = False

    assert [] == limited.troubles
    assert limited.limiter.admit(caller, 101).refusal is not None


def test_tokens_wanted() -> None:
    """A request may take a token for four characters of what is read, and as many as it lets the model write."""
    request = make_request("x" * 41, system_prompt="y" * 20, max_tokens=7)

    assert 16 + 7 == tokens_wanted(request)
    assert 11 + 1024 == tokens_wanted(make_request("x" * 41))


@pytest.mark.parametrize(
    ("event", "limits", "tokens", "body"),
    [
        ("chat", {"requests_per_minute": 1}, 0, {"code": "rate_limited", "field": "requests_per_minute"}),
        (
            "chat-completions",
            {"requests_per_minute": 1},
            0,
            {"code": "rate_limit_exceeded", "type": "requests", "param": None},
        ),
        (
            "chat-completions",
            {"tokens_per_minute": 9},
            5,
            {"code": "rate_limit_exceeded", "type": "tokens", "param": None},
        ),
    ],
)
def test_over_http(limited: Limited, event: str, limits: dict[str, int], tokens: int, body: dict[str, str]) -> None:
    """An answer tells what is left; a 429 tells it too, and when to come again, in the shape of its path."""
    app = create_api()

    @app.post("/.+")
    def answer() -> Response[str]:
        admit(app, limited.limiter, tokens)
        return respond({})

    asked = http_event(event)
    asked["requestContext"]["authorizer"] = {"lambda": holder(**limits).context()}
    answered, refused = app.resolve(asked, Context()), app.resolve(asked, Context())

    assert (200, 429) == (answered["statusCode"], refused["statusCode"])
    (limit,) = (name for name in answered["headers"] if name.startswith("x-ratelimit-limit"))
    assert answered["headers"][limit] == refused["headers"][limit] == str(next(iter(limits.values())))
    assert "60" == refused["headers"]["Retry-After"]
    assert body.items() <= body_of(refused)["error"].items()


def test_too_large_over_http(limited: Limited) -> None:
    """What no minute is large enough for is not to be tried again, and tells nothing of a minute it took no part in."""
    app = create_api()

    @app.post("/.+")
    def answer() -> Response[str]:
        admit(app, limited.limiter, 10)
        return respond({})

    asked = http_event("chat-completions")
    asked["requestContext"]["authorizer"] = {"lambda": holder(tokens_per_minute=9).context()}
    headers = app.resolve(asked, Context())["headers"]

    assert "false" == headers["x-should-retry"]
    assert not {name for name in headers if name.lower() == "retry-after" or name.startswith("x-ratelimit")}
