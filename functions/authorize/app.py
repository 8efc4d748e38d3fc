"""Authorizer of the HTTP API, payload format 2.0 with simple responses: who asks, or that nobody may."""

from functools import lru_cache
from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from authorize.gatekeeper import Gatekeeper
from llm_router import bootstrap
from llm_router.settings import AuthorizeSettings, environment, on_lambda


@lru_cache
def gatekeeper() -> Gatekeeper:
    """Build the gatekeeper once per environment."""
    settings = AuthorizeSettings.from_env(environment())
    return Gatekeeper(bootstrap.key_store(settings.key_table), bootstrap.now_ms, settings.auth_mode == "none")


def lambda_handler(event: dict[str, Any], _context: LambdaContext) -> dict[str, Any]:
    """Tell the gateway whether a request goes on, and the functions who asks.

    An error of the table is raised, and the gateway answers 500: an outage must not look like a wrong key.
    """
    (authorization,) = event["identitySource"]
    caller = gatekeeper().caller(authorization)
    if caller is None:
        return {"isAuthorized": False}
    return {"isAuthorized": True, "context": caller.context()}


if on_lambda(environment()):
    gatekeeper()  # the client is made while Lambda gives the initialisation its full CPU
