"""The OpenAI-compatible routes over the template's tables, and a real HTTP box."""

from typing import Any

from chat.app import lambda_handler as chat
from infra.local.ollama_exchange import Behaviour, Fault
from infra.local.ollama_stand_in import OllamaStandIn
from llm_router import bootstrap
from llm_router.estimates import Pace
from status.app import lambda_handler as status
from tests.builders import TINY, Context, body_of, http_event
from tests.integration.conftest import Cloud, Deploy

ASKED = {"model": "auto", "messages": [{"role": "user", "content": "What is Python?"}]}
IN_BACKGROUND = {"model": "auto", "input": "What is Python?", "background": True}


def complete(**fields: Any) -> dict[str, Any]:
    """Ask for a chat completion."""
    return chat(http_event("chat-completions", ASKED | fields), Context())


def respond(**fields: Any) -> dict[str, Any]:
    """Ask for a response."""
    return chat(http_event("responses", IN_BACKGROUND | fields), Context())


def of_response(name: str, response_id: str, **parts: Any) -> dict[str, Any]:
    """Look at a response, or cancel it."""
    event = http_event(name, **parts)
    (known,) = event["pathParameters"].values()
    return chat(event | {"rawPath": event["rawPath"].replace(known, response_id)}, Context())


def test_completion(deploy: Deploy) -> None:
    """The answer is a chat completion, whole or as a stream, and headers tell what the router did."""
    deploy("ChatFunction", INFERENCE_MODE="inline")
    whole, streamed = complete(), complete(stream=True)
    text = body_of(whole)["choices"][0]["message"]["content"]

    assert (200, "application/json", "miss") == (
        whole["statusCode"],
        whole["headers"]["Content-Type"],
        whole["headers"]["x-router-cache"],
    )
    assert (200, "text/event-stream; charset=utf-8", "exact") == (
        streamed["statusCode"],
        streamed["headers"]["Content-Type"],
        streamed["headers"]["x-router-cache"],
    )
    assert text in streamed["body"]
    assert streamed["body"].endswith("data: [DONE]\n\n")


def test_failing_model(deploy: Deploy, ollama: OllamaStandIn) -> None:
    """A box that breaks off is an error in OpenAI's shape, with the id of the request."""
    deploy("ChatFunction", INFERENCE_MODE="inline")
    ollama.next_behaviours.append(Behaviour(fault=Fault.CUT))
    failed = complete()

    assert (503, "server_error", "model_unavailable") == (
        failed["statusCode"],
        body_of(failed)["error"]["type"],
        body_of(failed)["error"]["code"],
    )
    assert failed["headers"]["x-request-id"].startswith("req_")


def test_answer_that_takes_too_long(deploy: Deploy) -> None:
    """An answer that is not expected in time is a timeout at once, which says when to ask again."""
    deploy("ChatFunction")
    bootstrap.status_store("StatusTable").put_pace(
        Pace(model=TINY, load_ms=0.0, prompt_tokens_per_second=100.0, output_tokens_per_second=1.0, output_tokens=40.0)
    )
    for late in (complete(), respond(background=False)):
        assert (504, "timeout") == (late["statusCode"], body_of(late)["error"]["code"])
        assert 25 < int(late["headers"]["Retry-After"]) <= 60
        assert late["headers"]["x-router-request-id"].startswith("req_")


def test_response(cloud: Cloud, deploy: Deploy) -> None:
    """A response in the background is queued, found by its id, and cancelled; nobody else sees it."""
    deploy("ChatFunction")
    accepted = body_of(respond(metadata={"team": "a"}))
    found = of_response("response", accepted["id"])
    theirs = http_event("response")["requestContext"] | {"authorizer": {"lambda": {"tenant": "acme", "role": "user"}}}
    hidden = of_response("response", accepted["id"], requestContext=theirs)
    cancelled = of_response("response-cancel", accepted["id"])

    assert ("queued", {"team": "a"}) == (accepted["status"], accepted["metadata"])
    assert accepted == body_of(found)
    assert (404, "not_found") == (hidden["statusCode"], body_of(hidden)["error"]["code"])
    assert "cancelled" == body_of(cancelled)["status"]
    assert 1 == cloud.dynamodb.scan(TableName="UsageTable")["Count"]


def test_finished_response(deploy: Deploy) -> None:
    """A response that is waited for is complete."""
    deploy("ChatFunction", INFERENCE_MODE="inline")
    response = body_of(respond(background=False))

    assert ("completed", "What is Python?") == (
        response["status"],
        response["output"][0]["content"][0]["text"][len("You asked tinyllama: ") :][: len("What is Python?")],
    )


def test_stream_of_a_response(deploy: Deploy) -> None:
    """A response cannot be followed as a stream."""
    deploy("ChatFunction")
    refused = of_response("response", f"resp_{'0' * 32}", queryStringParameters={"stream": "true"})

    assert (400, "stream") == (refused["statusCode"], body_of(refused)["error"]["param"])


def test_bad_request(cloud: Cloud, deploy: Deploy) -> None:
    """What is refused leaves nothing behind."""
    deploy("ChatFunction")
    statuses = [
        each["statusCode"]
        for each in (
            complete(n=2),
            complete(model="gpt-4"),
            complete(messages=[]),
            chat(http_event("chat-completions", "[]"), Context()),
            chat(http_event("chat-completions", "{"), Context()),
            respond(stream=True),
        )
    ]

    assert [400, 404, 400, 400, 400, 400] == statuses
    assert 0 == cloud.dynamodb.scan(TableName="JobTable")["Count"]


def test_models(deploy: Deploy) -> None:
    """What `model` may be is listed, and found one by one, also with its slash as %2F; anything else is not."""
    deploy("StatusFunction")
    listed, bare, full = (
        body_of(status(http_event(name), Context()))
        for name in ("openai-models", "openai-model", "openai-model-of-provider")
    )
    encoded, unknown = (
        status(http_event("openai-model", rawPath=f"/v1/models/{name}"), Context())
        for name in ("ollama%2Fllama3.2", "gpt-4")
    )

    assert ["auto", "simple", "medium", "complex", TINY, "ollama/llama3.2"] == [each["id"] for each in listed["data"]]
    assert "ollama/llama3.2" == bare["id"]
    assert bare == full == body_of(encoded)
    assert (404, "model_not_found") == (unknown["statusCode"], body_of(unknown)["error"]["code"])
