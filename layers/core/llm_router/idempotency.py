"""One request per `Idempotency-Key`: a caller who asks again, because the first answer was lost, starts nothing new."""

import re
from collections.abc import Mapping
from typing import Final

import msgspec
from msgspec import Struct

from llm_router.classification import Complexity
from llm_router.errors import ConflictError, InvalidRequestError, NotFoundError, RateLimitedError
from llm_router.models import Job, Source
from llm_router.pipeline import Pipeline
from llm_router.planning import refuse_too_long
from llm_router.ports import IdempotencyStore
from llm_router.prompt import sha256_hex
from llm_router.request_bodies import ChatRequest

HEADER: Final = "idempotency-key"
_KEY = re.compile(r"[!-~]{1,255}")


def key_of(headers: Mapping[str, str]) -> str | None:
    """Return the caller's key, None without one; names of headers are in lower case.

    Raises:
        InvalidRequestError: it is not 1 to 255 visible ASCII characters.
    """
    key = headers.get(HEADER)
    if key is not None and not _KEY.fullmatch(key):
        raise InvalidRequestError("must have 1 to 255 visible ASCII characters", field=HEADER)
    return key


def body_sha256(request: ChatRequest, allowed_models: tuple[str, ...] = ()) -> str:
    """Return what two requests have in common when they ask the same of the same models, however long each would wait.

    Fields at their default are left out, so that a new one does not make yesterday's requests others than today's.

    Args:
        request: What is asked.
        allowed_models: Those that the caller may have; empty for all.
    """
    fields = msgspec.to_builtins(request)
    fields.pop("wait_seconds", None)
    if allowed_models:  # who may not have a model is not to be shown what it has said to another key
        fields["allowed_models"] = sorted(allowed_models)
    return sha256_hex(msgspec.json.encode(fields, order="sorted"))


class KeyedRequests(Struct, frozen=True):
    """Sends a prompt through the pipeline, unless its key has done so before."""

    store: IdempotencyStore
    pipeline: Pipeline

    def submit(self, request: ChatRequest, *, tenant: str, source: Source, key: str, wait_seconds: float = 0) -> Job:
        """Return the key's job as it stands now, and start it where nobody has; see `Pipeline.submit`.

        Raises:
            ConflictError: the key was used with another body, or by a caller who may have other models; or another
                request of the conversation is on its way.
            RouterError: what `Pipeline.submit` raises; the key is then free for the same body to try again.
        """
        # What is refused must not take the key from the corrected request.
        route = self.pipeline.router.route(Complexity.SIMPLE, request.chars, request.force_model, unit=tenant)
        refuse_too_long(request, route)
        mine = self.pipeline.new_id()
        job_id = self.store.claim(tenant, key, body_sha256(request, self.pipeline.router.allowed), mine)
        if job_id != mine:
            try:
                return self.pipeline.jobs.get(job_id)
            except NotFoundError:
                pass  # its first user crashed, or is about to store it: under one id only one of us can
        try:
            return self.pipeline.submit(request, tenant=tenant, source=source, job_id=job_id, wait_seconds=wait_seconds)
        except (ConflictError, RateLimitedError) as refusal:
            try:
                return self.pipeline.jobs.get(job_id)  # another of its users was first, and perhaps took what was left
            except NotFoundError:
                raise refusal from None
