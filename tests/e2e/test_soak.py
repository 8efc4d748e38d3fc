"""Many callers at once: equal ones share one generation, and a soak loses nothing and doubles nothing."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from infra.local.ollama_exchange import Behaviour
from tests.e2e.conftest import Router, stack
from tests.soak import soak


@pytest.fixture
def router(tmp_path: Path) -> Iterator[Router]:
    """A stack of its own for each test, so that everything in its tables is the test's."""
    with stack(tmp_path, max_environments=6) as router:
        yield router


def test_two_hundred_equal_requests_cause_one_generation(router: Router) -> None:
    """Every caller gets the one answer and a usage record of its own; the box is asked once."""
    router.box.next_behaviours.append(Behaviour(token_delay_s=0.2))
    question = "Describe the history of the accordion"

    with ThreadPoolExecutor(40) as pool:
        accepted = list(pool.map(lambda _: router.chat(question, wait_seconds=0).json(), range(200)))
        addresses = [f"/api/v1/requests/{each['request_id']}" for each in accepted]
        answers = list(pool.map(lambda address: router.wait_for(address, "succeeded"), addresses))
    router.twin.drain()

    assert len(router.box.calls) == 1
    assert len({each["request_id"] for each in answers}) == 200
    assert len({each["response"] for each in answers}) == 1
    assert router.items("UsageTable") == 200
    stats = router.http.get("/api/v1/analytics/cache-stats").json()
    assert stats["generated_requests"] == 1
    assert stats["joined_requests"] > 0
    # Who came after the answer was stored found it there, by meaning if it was stored between the two looks.
    assert stats["joined_requests"] + stats["exact_hits"] + stats["semantic_hits"] == 199


def test_soak_loses_nothing_and_doubles_nothing(router: Router) -> None:
    """With workers killed and a box that errs, every request ends, once, and the books agree with the records."""
    report = soak(router.twin, router.box, count=60, kills=2, seed=7)

    assert report.kills == 2
    assert not report.unfinished
    assert not report.mixed_up
    assert all(each.code for each in report.outcomes if each.status != "succeeded")
    accepted = sorted(each.request_id for each in report.outcomes if each.request_id)
    assert accepted == sorted(item["request_id"]["S"] for item in report.records)
    assert {each.request_id: each.status for each in report.outcomes if each.request_id} == {
        item["request_id"]["S"]: item["status"]["S"] for item in report.records
    }
    assert report.booked == report.recorded
