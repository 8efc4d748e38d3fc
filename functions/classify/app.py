"""POST /api/v1/classify: how prompts would be graded, and which models they would be sent to."""

from typing import Any

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.utilities.typing import LambdaContext

from classify.wiring import grading, limiter
from llm_router import api
from llm_router.grading_responses import ClassifyManyResponse
from llm_router.request_bodies import ClassifyRequest
from llm_router.settings import environment, on_lambda

app = api.create_api()


@app.post("/api/v1/classify")
def classify() -> Response[str]:
    """Grade one prompt or several without answering them."""
    event = app.current_event.raw_event
    request, caller = api.parse_body(event, ClassifyRequest), api.caller_of(event)
    api.admit(app, limiter())
    if request.message is not None:
        return api.respond(grading().grade(caller, request.message))
    results = tuple(grading().grade(caller, message) for message in request.messages or ())
    return api.respond(ClassifyManyResponse(results=results))


def lambda_handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Serve an HTTP API event."""
    return app.resolve(event, context)


if on_lambda(environment()):
    grading()
