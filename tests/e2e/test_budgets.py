"""Budgets of keys and their requests on their way, over HTTP, on a machine so dear that a dollar is soon spent."""

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import openai
import pytest

from infra.local.dev_key import add_key, bearer
from infra.local.ollama_exchange import Behaviour
from infra.local.ollama_stand_in import OllamaStandIn
from infra.local.twin import Twin
from llm_router.access.keys import Limits
from tests.e2e.conftest import TEMPLATE, Router
from tests.keyed import keyed_client

DOLLAR = 1_000_000_000
PRICES = {"INSTANCE_USD_PER_HOUR": "36"}


@pytest.fixture(scope="module")
def router(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Router]:
    """A stack whose machine costs a cent a second, and that knows how fast it is."""
    with (
        (tmp_path_factory.mktemp("twin") / "functions.log").open("w") as log,
        OllamaStandIn() as box,
        Twin(TEMPLATE, environment_overrides={"OLLAMA_BASE_URL": box.base_url} | PRICES, log=log) as twin,
        keyed_client(twin) as http,
    ):
        router = Router(twin, http, box)
        router.answer("What is a binary tree?")
        yield router


def balances(router: Router) -> dict[str, dict[str, Any]]:
    """Return the balances of all budgets by the ids of their keys."""
    items = router.twin.client("dynamodb").scan(TableName=router.twin.tables["LimitTable"])["Items"]
    named = [(item["name"]["S"].split("#"), item) for item in items]
    return {parts[1]: item for parts, item in named if parts[0] == "budget"}


def test_two_hundred_against_a_dollar(router: Router) -> None:
    """Of two hundred requests at once as many are answered as a dollar pays for, and it is never overspent."""
    key = {"key_id": "key_0000000000d0", "tenant": "dollar", "limits": Limits(monthly_budget_nano_usd=DOLLAR)}
    with keyed_client(router.twin, timeout_seconds=120, **key) as http:

        def ask(number: int) -> httpx.Response:
            question = {"message": f"What is {number} plus {number}?", "max_tokens": 30, "wait_seconds": 0}
            return http.post("/api/v1/chat", json=question)

        with ThreadPoolExecutor(20) as callers:
            asked = list(callers.map(ask, range(200)))
        accepted = [each.headers["location"] for each in asked if each.status_code == 202]
        most = int(balances(router)["key_0000000000d0"]["committed_nano_usd"]["N"])
        refused = [each.json()["error"] for each in asked if each.status_code == 429]
        ended = [Router(router.twin, http, router.box).wait_for(each, "succeeded") for each in accepted]
    router.twin.drain()
    kept = balances(router)["key_0000000000d0"]
    spent = sum(round(each["actual_cost"] * 1e9) for each in ended)

    assert len(accepted) + len(refused) == 200
    assert accepted
    assert refused
    assert {"budget_exceeded"} == {error["code"] for error in refused}
    assert most <= DOLLAR
    assert spent <= DOLLAR
    assert (spent, spent) == tuple(int(kept[f"{name}_nano_usd"]["N"]) for name in ("spent", "committed"))
    assert kept["is_announced"]["BOOL"]


def test_used_up(router: Router) -> None:
    """A budget that covers nothing is OpenAI's quota that is used up, until the month ends; nothing is begun."""
    secret = add_key(router.twin, limits=Limits(monthly_budget_nano_usd=1))
    client = openai.OpenAI(base_url=f"{router.twin.url}/v1", api_key=secret, timeout=60)
    before = router.items("JobTable")
    with pytest.raises(openai.RateLimitError) as caught:
        client.chat.completions.create(model="auto", messages=[{"role": "user", "content": "What is a trie?"}])

    assert ("insufficient_quota", "insufficient_quota") == (caught.value.type, caught.value.code)
    assert "false" == caught.value.response.headers["x-should-retry"]
    assert 60 < int(caught.value.response.headers["retry-after"]) <= 31 * 24 * 3600
    assert before == router.items("JobTable")


def test_requests_on_their_way(router: Router) -> None:
    """Of many requests at once as many are begun as may be on their way, and the next when one of them has ended."""
    headers = bearer(add_key(router.twin, tenant="slots", limits=Limits(concurrent_requests=2)))
    router.box.next_behaviours.extend([Behaviour(token_delay_s=0.2)] * 2)
    with (
        httpx.Client(base_url=router.twin.url, timeout=60, headers=headers) as http,
        ThreadPoolExecutor(8) as callers,
    ):
        asked = list(
            callers.map(
                lambda number: http.post("/api/v1/chat", json={"message": f"Who was {number}?", "wait_seconds": 0}),
                range(8),
            )
        )
        statuses = Counter(each.status_code for each in asked)
        for each in asked:
            if each.status_code == 202:
                Router(router.twin, http, router.box).wait_for(each.headers["location"], "succeeded")
        later = http.post("/api/v1/chat", json={"message": "Who was it?", "wait_seconds": 0})

    assert {202: 2, 429: 6} == dict(statuses)
    assert 202 == later.status_code
