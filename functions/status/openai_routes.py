"""GET /v1/models and /v1/models/{model}: what `model` of an OpenAI-compatible request may be."""

from urllib.parse import unquote

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.event_handler.api_gateway import Router

from llm_router import api, routing
from status.openai_models import found, listed
from status.wiring import parts

router = Router()  # type: ignore[no-untyped-call]  # Powertools left it without annotations


def _configured() -> routing.Router:
    """Return the models that the caller may have."""
    return parts().router.limited_to(api.caller_of(router.current_event.raw_event).allowed_models)


@router.get("/v1/models")
def models() -> Response[str]:
    """List them."""
    return api.respond(listed(_configured()))


@router.get("/v1/models/<model>")
def model(model: str) -> Response[str]:
    """Show one; a slash in its name may come as %2F."""
    return api.respond(found(_configured(), unquote(model)))


@router.get("/v1/models/<provider>/<model>")
def model_of_provider(provider: str, model: str) -> Response[str]:
    """Show one by its full name."""
    return api.respond(found(_configured(), f"{provider}/{model}"))
