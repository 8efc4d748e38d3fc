"""A worker that dies. Its message stays hidden for its visibility timeout, so the twin does not drain after this."""

from typing import Any

from infra.local.ollama_exchange import Behaviour


def test_request_of_a_killed_worker_is_taken_up_again(router: Any) -> None:
    """A worker that is killed in the middle loses nothing: once its lease is over the next look has it done, once."""
    router.box.next_behaviours.append(Behaviour(token_delay_s=0.15))
    records = router.items("UsageTable")
    address = router.accepted("Describe the history of the pencil")
    joined = router.accepted("Describe the history of the pencil")
    router.wait_for(address, "running")
    router.twin.crash("InferFunction")

    answers = [router.wait_for(where, "succeeded", seconds=60) for where in (address, joined)]

    assert answers[0]["response"] == answers[1]["response"]
    assert router.items("UsageTable") == records + 2
