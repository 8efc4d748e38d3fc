"""Every minute: ask the box what it has and what is resident, and write it down for those who cannot reach it."""

from functools import lru_cache
from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from llm_router import bootstrap
from llm_router.errors import ModelUnavailableError
from llm_router.observability import count
from llm_router.ports import Box, BoxSighting, StatusStore
from llm_router.settings import ProbeSettings, environment, on_lambda


@lru_cache
def parts() -> tuple[Box, StatusStore]:
    """Build the client and the store once per environment."""
    settings = ProbeSettings.from_env(environment())
    return bootstrap.ollama(settings.ollama_base_url), bootstrap.status_store(settings.status_table)


def look(box: Box, checked_at_ms: int) -> BoxSighting:
    """Return what the box says of itself; not to be reached is a finding, not a failure."""
    try:
        return BoxSighting(checked_at_ms=checked_at_ms, state=box.state())
    except ModelUnavailableError as error:
        count("BoxUnreachable")
        return BoxSighting(checked_at_ms=checked_at_ms, state=None, reason=str(error))


def lambda_handler(_event: dict[str, Any], _context: LambdaContext) -> None:
    """Write down one look at the box."""
    box, store = parts()
    store.put_box(look(box, bootstrap.now_ms()))


if on_lambda(environment()):
    parts()  # clients are made while Lambda gives the initialisation its full CPU
