"""Callers who ask again under the same `Idempotency-Key`, because they lost the answer or their patience."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from infra.local.ollama_exchange import Behaviour, Fault


def post(router: Any, key: str | bytes, message: str, **fields: Any) -> httpx.Response:
    """Ask a question under a key."""
    body = {"message": message, **fields}
    response: httpx.Response = router.http.post("/api/v1/chat", json=body, headers=[("idempotency-key", key)])
    return response


def test_same_key_while_running_and_after(router: Any) -> None:
    """Whoever asks again gets the request that is on its way, then its answer; the box is asked once."""
    router.box.next_behaviours.append(Behaviour(token_delay_s=0.05))
    calls, records = len(router.box.calls), router.items("UsageTable")
    question = "Describe the history of the compass"
    accepted = post(router, "compass", question, wait_seconds=0)
    address = accepted.headers["location"]
    router.wait_for(address, "running")
    meanwhile = post(router, "compass", question, wait_seconds=0)
    waited = post(router, "compass", question)
    afterwards = post(router, "compass", question, wait_seconds=1)

    assert [202, 202, 200, 200] == [each.status_code for each in (accepted, meanwhile, waited, afterwards)]
    assert address == meanwhile.headers["location"]
    assert waited.json() == afterwards.json() == router.http.get(address).json()
    assert (calls + 1, records + 1) == (len(router.box.calls), router.items("UsageTable"))


def test_same_key_after_a_hit(router: Any) -> None:
    """An answer out of the cache belongs to its key, too, and is counted once."""
    router.answer("What is a sextant?")
    records = router.items("UsageTable")
    first, again = (post(router, "sextant", "What is a sextant?").json() for _ in range(2))

    assert "exact" == first["cache_tier"]
    assert first == again
    assert records + 1 == router.items("UsageTable")


def test_same_key_after_a_failure(router: Any) -> None:
    """A request that failed has failed under its key; a new try needs a new one."""
    router.box.next_behaviours.append(Behaviour(fault=Fault.CUT))
    first, again, anew = (post(router, key, "What is an astrolabe?") for key in ("first", "first", "second"))

    assert [503, 503, 200] == [response.status_code for response in (first, again, anew)]
    assert first.json() == again.json()


def test_same_key_with_another_body(router: Any) -> None:
    """Another body under a used key is a conflict that names the header, and starts nothing."""
    post(router, "quadrant", "What is a quadrant?")
    jobs = router.items("JobTable")
    refused = post(router, "quadrant", "What is a quadrant?", max_tokens=5)
    error = refused.json()["error"]

    assert (409, "conflict", "idempotency-key") == (refused.status_code, error["code"], error["field"])
    assert router.items("JobTable") <= jobs  # the first one's flight may end a moment after its answer


def test_eight_at_once(router: Any) -> None:
    """Eight who use a new key at the same moment get one request, which is generated and counted once."""
    calls, records = len(router.box.calls), router.items("UsageTable")
    with ThreadPoolExecutor(8) as pool:
        responses = list(pool.map(lambda _: post(router, "chronometer", "What is a chronometer?"), range(8)))
    router.twin.drain()

    assert [200] * 8 == [response.status_code for response in responses]
    assert 1 == len({response.json()["request_id"] for response in responses})
    assert (calls + 1, records + 1) == (len(router.box.calls), router.items("UsageTable"))


@pytest.mark.parametrize("key", ["", "two words", "x" * 256, b"k\xc3\xbc"], ids=["empty", "space", "long", "not ASCII"])
def test_bad_key(router: Any, key: str | bytes) -> None:
    """A key of anything but 1 to 255 visible ASCII characters is refused by name, and starts nothing."""
    jobs = router.items("JobTable")
    refused = post(router, key, "What is a barometer?")
    error = refused.json()["error"]

    assert (422, "invalid_request", "idempotency-key") == (refused.status_code, error["code"], error["field"])
    assert jobs == router.items("JobTable")
