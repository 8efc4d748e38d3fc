"""Workers that die, callers that give up, a box that is down: what the caller sees, and what is left behind."""

from typing import Any

from infra.local.ollama_exchange import Behaviour

SLOW = Behaviour(token_delay_s=0.15)


def test_cancel_stops_the_box(router: Any) -> None:
    """A running request that is cancelled ends within two seconds of its next text, and the box stops writing."""
    router.box.next_behaviours.append(SLOW)
    aborted = len(router.box.aborted)
    before = router.summary()["total_requests"]
    address = router.accepted("Describe the history of the bicycle")
    router.wait_for(address, "running")

    cancelled = router.http.delete(address)

    assert cancelled.status_code == 202
    assert router.wait_for(address, "cancelled", seconds=5)["error"]["code"] == "cancelled"
    assert len(router.box.aborted) == aborted + 1
    assert router.http.delete(address).status_code == 200
    assert router.summary()["total_requests"] == before + 1


def test_cancelled_before_it_began_is_never_asked(router: Any) -> None:
    """A request that still waits its turn ends at once, and the box never hears of it."""
    router.box.next_behaviours.extend([SLOW, SLOW])
    running = [router.accepted(f"Describe the history of the {thing}") for thing in ("kettle", "umbrella")]
    waiting = router.accepted("Describe the history of the spoon")

    cancelled = router.http.delete(waiting)

    assert cancelled.status_code == 200
    assert cancelled.json()["status"] == "cancelled"
    for address in running:
        router.http.delete(address)
    router.twin.drain()
    assert "spoon" not in str([call.messages for call in router.box.calls])


def test_box_that_is_down_is_not_asked_for_a_while(router: Any) -> None:
    """After five failures in a row questions are refused at once, with the time to wait; hits are still served."""
    router.answer("What is a lighthouse?")
    with router.box.refusing():
        for number in range(5):
            assert router.chat(f"What is number {number} called in Latin?", skip_cache=True).status_code == 503
        calls = len(router.box.calls)
        refused = router.chat("What is a tugboat?")

    assert refused.status_code == 503
    assert 1 <= int(refused.headers["retry-after"]) <= 30
    assert refused.json()["error"]["code"] == "model_unavailable"
    assert len(router.box.calls) == calls
    assert router.answer("What is a lighthouse?")["cache_tier"] == "exact"
