"""POST /api/v1/classify: how a prompt would be graded and which model it would be sent to."""

from functools import lru_cache
from typing import Any

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.utilities.typing import LambdaContext

from llm_router import api
from llm_router.classification import RuleClassifier
from llm_router.models import ClassifyRequest
from llm_router.ports import Classifier
from llm_router.prompt import canonicalise
from llm_router.responses import ClassifyResponse
from llm_router.routing import Router
from llm_router.settings import ClassifySettings, environment, on_lambda

app = api.create_api()


@lru_cache
def grader() -> tuple[Classifier, Router]:
    """Build the classifier and the router once per environment."""
    return RuleClassifier(), Router.from_settings(ClassifySettings.from_env(environment()))


@app.post("/api/v1/classify")
def classify() -> Response[str]:
    """Grade a prompt without answering it."""
    request = api.parse_body(app.current_event.raw_event, ClassifyRequest)
    classifier, router = grader()
    graded = classifier.classify(canonicalise(request.message))
    return api.respond(ClassifyResponse.of(graded, router.route(graded.complexity, len(request.message)).model))


def lambda_handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Serve an HTTP API event."""
    return app.resolve(event, context)


if on_lambda(environment()):
    grader()
