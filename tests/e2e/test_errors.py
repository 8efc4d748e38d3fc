"""What a caller sees when something is wrong: with the request, or with the box."""

import json
from typing import Any

import pytest

from infra.local.ollama_exchange import Behaviour, Fault

JSON = {"content-type": "application/json"}


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        pytest.param(b"", 400, "body", id="empty body"),
        pytest.param(b'{"message": ""}', 422, "message", id="empty message"),
        pytest.param(b'{"message": "  \\n "}', 422, "message", id="blank message"),
        pytest.param(json.dumps({"message": "x" * 32_001}).encode(), 422, "message", id="too long"),
        pytest.param(b'{"message": 7}', 422, "message", id="wrong type"),
        pytest.param(b'{"message": "hi", "wait_seconds": 26}', 422, "wait_seconds", id="waits too long"),
        pytest.param(b'{"message": "hi", "temperature": -1}', 422, "temperature", id="out of range"),
        pytest.param(b'{"message": "hi", "conversation_id": "a b"}', 422, "conversation_id", id="bad characters"),
        pytest.param(b'{"message": "hi", "force_model": "gpt-4"}', 422, "force_model", id="unknown model"),
        pytest.param(b'{"message": "hi", "colour": "red"}', 422, "colour", id="unknown field"),
        pytest.param(b'{"skip_cache": true}', 422, "message", id="missing field"),
        pytest.param(b"[]", 422, "body", id="not an object"),
        pytest.param(b'{"message": "hi"', 400, "body", id="not JSON"),
        pytest.param(b'{"message": "\xff\xfe"}', 400, "body", id="not UTF-8"),
        pytest.param(b"[" * 100_000, 422, "body", id="nested deep"),
        pytest.param(
            json.dumps({"message": "hi", "system_prompt": "x" * 1_200_000}).encode(), 413, "body", id="1.2 MB"
        ),
    ],
)
def test_bad_body_names_the_field_and_reaches_nothing(router: Any, body: bytes, status: int, field: str) -> None:
    """A bad body gets its status and the name of the field, and leaves no job, no message and no usage record."""
    jobs, records, calls = router.items("JobTable"), router.items("UsageTable"), len(router.box.calls)

    response = router.http.post("/api/v1/chat", content=body, headers=JSON)

    assert response.status_code == status, response.text
    error = response.json()["error"]
    assert error["field"] == field
    assert error["code"]
    assert error["message"]
    assert error["request_id"]
    router.twin.drain()
    assert (router.items("JobTable"), router.items("UsageTable"), len(router.box.calls)) == (jobs, records, calls)


def test_body_that_is_not_declared_as_json_is_refused(router: Any) -> None:
    """A form is not JSON, whatever its bytes look like."""
    response = router.http.post(
        "/api/v1/chat", content=b'{"message": "hi"}', headers={"content-type": "application/x-www-form-urlencoded"}
    )

    assert response.status_code == 415
    assert response.json()["error"]["field"] == "content-type"


def test_body_of_seven_megabytes_is_refused_before_the_function(router: Any) -> None:
    """Lambda takes no event of more than six megabytes, so the gateway refuses."""
    response = router.http.post("/api/v1/chat", content=b" " * 7_000_000, headers=JSON)

    assert response.status_code == 413


def test_unknown_request_is_not_found(router: Any) -> None:
    """An id nobody was given is a 404 in the one error shape."""
    response = router.http.get("/api/v1/requests/req_00000000000000000000000000000000")

    assert response.status_code == 404
    assert response.json()["error"]["code"] == "not_found"


@pytest.mark.parametrize(("method", "path"), [("GET", "/api/v2/chat"), ("PUT", "/api/v1/chat"), ("DELETE", "/docs")])
def test_unknown_path_has_the_one_error_shape(router: Any, method: str, path: str) -> None:
    """A path or method that the router does not have is a 404 like every other error."""
    response = router.http.request(method, path)

    assert response.status_code == 404
    assert response.json()["error"]["code"] == "not_found"


def test_internal_items_cannot_be_read_as_requests(router: Any) -> None:
    """The items that join equal requests live in the same table, but are nobody's request."""
    response = router.http.get("/api/v1/requests/flight%23abc")

    assert response.status_code == 404


@pytest.mark.parametrize("days", ["0", "-1", "367", "ten", "1.5"])
def test_bad_number_of_days_is_refused(router: Any, days: str) -> None:
    """The period of a report is a whole number of days from 1 to 366."""
    response = router.http.get("/api/v1/analytics/summary", params={"days": days})

    assert response.status_code == 422
    assert response.json()["error"]["field"] == "days"


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        (Fault.CUT, 503, "model_unavailable"),
        (Fault.ERROR_LINE, 503, "model_unavailable"),
        (Fault.GARBAGE, 503, "model_unavailable"),
        (Fault.RESET, 503, "model_unavailable"),
    ],
)
def test_broken_answer_is_an_error_and_is_counted_once(router: Any, fault: Fault, status: int, code: str) -> None:
    """When the box breaks off, the caller hears so, one usage record says failed, and nothing is cached."""
    before = router.summary()
    router.box.next_behaviours.append(Behaviour(fault=fault))

    response = router.chat(f"What is a {fault} star?")

    assert response.status_code == status
    assert response.json()["error"]["code"] == code
    after = router.summary()
    assert after["failed_requests"] - before["failed_requests"] == 1
    assert after["total_requests"] - before["total_requests"] == 1
    assert router.answer(f"What is a {fault} star?")["cache_tier"] is None


@pytest.mark.parametrize("fault", [Fault.FAILURE, Fault.BUSY])
def test_box_that_refuses_before_it_has_said_anything_is_asked_again(router: Any, fault: Fault) -> None:
    """A busy or crashed box is asked once more, and the caller does not notice."""
    calls = len(router.box.calls)
    router.box.next_behaviours.append(Behaviour(fault=fault))

    assert router.answer(f"What is a {fault} galaxy?")["status"] == "succeeded"
    assert len(router.box.calls) == calls + 2


def test_prompt_that_does_not_fit_the_model_is_refused(router: Any) -> None:
    """A prompt longer than the model's context is refused instead of being cut silently."""
    router.twin.drain()  # what stands in line before it would make this a 202
    router.forget_pace("ollama/tinyllama")

    response = router.chat("word " * 6_000, force_model="ollama/tinyllama")

    assert response.status_code == 422
    assert response.json()["error"]["code"] == "prompt_too_long"


def test_long_prompt_goes_to_a_model_that_can_hold_it(router: Any) -> None:
    """A prompt of the greatest length is answered, by a model whose context holds it."""
    router.forget_pace("ollama/llama3.2")

    answer = router.answer("word " * 6_400)

    assert answer["model_used"] == "ollama/llama3.2+stand-in"


def test_refused_connection_is_an_error_and_the_next_question_works(router: Any) -> None:
    """A box that is down is a 503; once it is up again questions are answered."""
    with router.box.refusing():
        response = router.chat("What is a pulsar?")

    assert response.status_code == 503
    assert response.json()["error"]["code"] == "model_unavailable"
    assert router.answer("What is a pulsar?")["status"] == "succeeded"
