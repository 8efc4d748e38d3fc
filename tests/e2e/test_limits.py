"""Limits of keys, as their holders meet them."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import openai
import pytest

from infra.local.dev_key import add_key
from llm_router.access.keys import Limits
from tests.e2e.conftest import Router
from tests.keyed import keyed_client

AT_ONCE = 40
QUESTION = "What is a binary tree?"


def openai_client(router: Router, **limits: int) -> openai.OpenAI:
    """Return OpenAI's client with a key of its own, which does not ask again by itself."""
    secret = add_key(router.twin, limits=Limits(**limits))
    return openai.OpenAI(base_url=f"{router.twin.url}/v1", api_key=secret, max_retries=0, timeout=120)


def complete(client: openai.OpenAI, question: str = QUESTION, **fields: Any) -> httpx.Headers:
    """Ask for a completion, and return the headers of the answer."""
    asked = client.chat.completions.with_raw_response.create(
        model="auto", messages=[{"role": "user", "content": question}], **fields
    )
    return asked.headers


def test_two_hundred_at_once(router: Router) -> None:
    """Of two hundred requests at once the fifty of the key's minute are answered, and the others told when to come."""
    client = openai_client(router, requests_per_minute=50)

    def ask(_: int) -> tuple[str, bool]:
        try:
            return "answered", complete(client)["x-ratelimit-limit-requests"] == "50"
        except openai.RateLimitError as error:
            return str(error.code), 1 <= int(error.response.headers["retry-after"]) <= 60

    with ThreadPoolExecutor(AT_ONCE) as callers:
        ends = Counter(callers.map(ask, range(200)))

    assert {("answered", True): 50, ("rate_limit_exceeded", True): 150} == dict(ends)


def test_tokens(router: Router) -> None:
    """A question takes its longest answer of the minute's tokens, and gives back what was not written of it."""
    client = openai_client(router, tokens_per_minute=1100)
    first = complete(client, "What is a heap?", max_tokens=1000)
    again = complete(client, "What is a heap?", max_tokens=900)
    with pytest.raises(openai.RateLimitError) as caught:
        complete(client, "What is a stack?", max_tokens=1090)
    refused = caught.value

    assert ("1100", "96") == tuple(first[f"x-ratelimit-{each}-tokens"] for each in ("limit", "remaining"))
    assert 100 < int(again["x-ratelimit-remaining-tokens"]) < 196
    assert ("tokens", "rate_limit_exceeded") == (refused.type, refused.code)
    assert "x-ratelimit-limit-requests" not in first


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/api/v1/chat", {"message": QUESTION}),
        ("/api/v1/classify", {"message": QUESTION}),
        ("/api/v1/cache/lookup", {"message": QUESTION}),
        ("/api/v1/batches", {"requests": [{"message": QUESTION}]}),
        ("/v1/responses", {"model": "auto", "input": QUESTION, "background": True}),
    ],
)
def test_every_route_that_costs_work(router: Router, path: str, body: dict[str, Any]) -> None:
    """Whatever embeds a question counts: the second one of a minute with one request is a 429."""
    with keyed_client(router.twin, limits=Limits(requests_per_minute=1)) as http:
        first, second = http.post(path, json=body), http.post(path, json=body)

    assert first.is_success, first.text
    assert "0" == first.headers["x-ratelimit-remaining-requests"]
    assert 429 == second.status_code
    assert 1 <= int(second.headers["retry-after"]) <= 60


def test_without_limits(router: Router) -> None:
    """A key without limits is told of none, and nothing is counted."""
    before = router.items("LimitTable")
    headers = router.chat(QUESTION).headers

    assert before == router.items("LimitTable")
    assert not [name for name in headers if name.startswith("x-ratelimit")]
