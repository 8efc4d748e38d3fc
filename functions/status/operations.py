"""The routes of the API as a reader sees them."""

from typing import Any, Final

from llm_router.access.key_bodies import KeyResponse, KeysResponse, NewKeyRequest, RotateRequest, SecretResponse
from llm_router.cache_responses import (
    CacheStatusResponse,
    ClearedResponse,
    EvictedResponse,
    FeedbackResponse,
    LookupResponse,
)
from llm_router.grading_responses import ClassifyManyResponse, ClassifyResponse
from llm_router.report_responses import CacheStatsResponse, CostsResponse, DailyResponse, SummaryResponse
from llm_router.request_bodies import CacheQuestion, ChatRequest, ClassifyRequest, FeedbackRequest
from llm_router.responses import ChatResponse, PendingResponse
from llm_router.savings_responses import SavingsReport
from status.batch_operations import BATCH_OPERATIONS
from status.catalogue import ModelsResponse
from status.health import HealthResponse
from status.openai_operations import OPENAI_OPERATIONS
from status.operation import IDEMPOTENCY_KEY, LIMITED, Operation
from status.report_parameters import BY, PERIOD

_BODY_ERRORS: Final = (400, 413, 415, 422)

_JOB_ID: Final = {
    "name": "job_id",
    "in": "path",
    "description": "The `request_id` of an answer; `Location` has the whole path.",
    "required": True,
    "schema": {"type": "string", "pattern": "^req_[0-9a-f]{32}$"},
}
_ENTRY_ID: Final = {
    "name": "entry_id",
    "in": "path",
    "description": "A `cache_entry_id` of an answer, or the `entry_id` of a candidate.",
    "required": True,
    "schema": {"type": "string", "pattern": "^[0-9a-f]{64}\\.[0-9a-f]{64}$"},
}
_CACHE_OF: Final = {
    "name": "tenant",
    "in": "query",
    "description": "For keys with the role admin: whose cache; `all` for everybody's.",
    "schema": {"type": "string", "pattern": "^[A-Za-z0-9_.:-]{1,64}$"},
}
_AFTER_KEY: Final = {
    "name": "after",
    "in": "query",
    "description": "`next_after` of the page before.",
    "schema": {"type": "string", "pattern": "^key_[0-9a-f]{12}$"},
}
_KEY_ID: Final = {
    "name": "key_id",
    "in": "path",
    "description": "The `key_id` of a key.",
    "required": True,
    "schema": {"type": "string", "pattern": "^key_[0-9a-f]{12}$"},
}
_EXAMPLE: Final = {"message": "What is a binary tree?"}
_PREFER: Final = {
    "name": "Prefer",
    "in": "header",
    "description": "`respond-async` answers 202 at once.",
    "schema": {"type": "string"},
}
_IF_NONE_MATCH: Final = {
    "name": "If-None-Match",
    "in": "header",
    "description": "The `ETag` of the page that the caller has.",
    "schema": {"type": "string"},
}

OPERATIONS: Final = (
    Operation(
        method="post",
        path="/api/v1/chat",
        summary="Answer a prompt from the cache or a model",
        body=ChatRequest,
        example=_EXAMPLE,
        parameters=(_PREFER, IDEMPOTENCY_KEY),
        responses={200: (ChatResponse,), 202: (PendingResponse,)},
        errors=(*_BODY_ERRORS, 409, 429, 502, 503, 504),
        meanings={
            200: "The answer.",
            429: LIMITED,
            409: (
                "The idempotency key was used with another body, a request of the conversation is on its way, or "
                "another call cancelled the request."
            ),
            502: "The model gave no usable answer, or every worker that began the request was lost: `worker_lost`.",
            503: "Not possible right now. What is `set_aside` is kept for the operator, and may be answered yet.",
        },
    ),
    Operation(
        method="get",
        path="/api/v1/requests/{job_id}",
        summary="Where a request stands, and its answer when it is done",
        parameters=(_JOB_ID,),
        responses={200: (ChatResponse, PendingResponse)},
        errors=(404, 503),
        meanings={200: "The answer, or how far the request has come, or why it has none."},
    ),
    Operation(
        method="delete",
        path="/api/v1/requests/{job_id}",
        summary="Cancel a request; 202 while its worker has still to notice",
        parameters=(_JOB_ID,),
        responses={200: (ChatResponse, PendingResponse), 202: (PendingResponse,)},
        errors=(404, 503),
        meanings={200: "The request as it ended.", 202: "Its worker has been told, and will stop."},
    ),
    *BATCH_OPERATIONS,
    Operation(
        method="post",
        path="/api/v1/classify",
        summary="Grade a prompt, or up to 100, without answering",
        body=ClassifyRequest,
        example=_EXAMPLE,
        responses={200: (ClassifyResponse, ClassifyManyResponse)},
        errors=(*_BODY_ERRORS, 429),
        meanings={429: LIMITED, 200: "The grade of `message`, or those of `messages` in their order."},
    ),
    Operation(
        method="post",
        path="/api/v1/cache/lookup",
        summary="What the cache would answer, and the candidates it weighs",
        body=CacheQuestion,
        example=_EXAMPLE,
        responses={200: (LookupResponse,)},
        errors=(*_BODY_ERRORS, 409, 429, 503),
        meanings={
            409: "A request of the conversation is on its way.",
            429: LIMITED,
            503: "The conversation could not be read.",
        },
    ),
    Operation(
        method="get",
        path="/api/v1/cache/stats",
        summary="How the cache is set up, what is in it, what it did in a week, and whether its parts work",
        responses={200: (CacheStatusResponse,)},
        errors=(503,),
    ),
    Operation(
        method="delete",
        path="/api/v1/cache",
        summary="Empty your cache",
        parameters=(_CACHE_OF,),
        responses={200: (ClearedResponse,)},
        errors=(422, 503),
        meanings={200: "No answer that was stored before is found any more."},
    ),
    Operation(
        method="delete",
        path="/api/v1/cache/{entry_id}",
        summary="Remove one entry from your cache",
        parameters=(_ENTRY_ID,),
        responses={200: (EvictedResponse,)},
        errors=(404, 503),
        meanings={200: "It is gone.", 404: "Unknown, removed before, or somebody else's."},
    ),
    Operation(
        method="post",
        path="/api/v1/feedback",
        summary="Call an answer wrong or right",
        body=FeedbackRequest,
        example={"request_id": f"req_{'0' * 32}", "verdict": "wrong"},
        responses={200: (FeedbackResponse,)},
        errors=(*_BODY_ERRORS, 404, 409, 503),
        meanings={
            200: "What came of it; the same verdict again changes nothing.",
            409: "The request has no answer, or the other verdict was given before.",
        },
    ),
    Operation(
        method="get",
        path="/api/v1/analytics/summary",
        summary="Requests, tokens, money and latency of a period",
        parameters=PERIOD,
        responses={200: (SummaryResponse,)},
        errors=(403, 422, 503),
    ),
    Operation(
        method="get",
        path="/api/v1/analytics/costs",
        summary="What the requests of a period cost, by one of their properties",
        parameters=(BY, *PERIOD),
        responses={200: (CostsResponse,)},
        errors=(403, 422, 503),
    ),
    Operation(
        method="get",
        path="/api/v1/analytics/daily",
        summary="A period day by day; outside of UTC 92 days at most",
        parameters=PERIOD,
        responses={200: (DailyResponse,)},
        errors=(403, 422, 503),
    ),
    Operation(
        method="get",
        path="/api/v1/analytics/savings-report",
        summary="What a period cost beside the baselines, to read, to print or for a spreadsheet",
        parameters=PERIOD,
        responses={200: (SavingsReport,)},
        text_types=("text/csv", "text/html"),
        errors=(403, 406, 422, 503),
    ),
    Operation(
        method="get",
        path="/api/v1/analytics/cache-stats",
        summary="How many requests of a period the cache answered",
        parameters=PERIOD,
        responses={200: (CacheStatsResponse,)},
        errors=(403, 422, 503),
    ),
    Operation(
        method="get",
        path="/metrics",
        summary="This month's counters and the present state, for a Prometheus server",
        responses={200: (str,)},
        media_type="text/plain",
        errors=(503,),
    ),
    Operation(
        method="post",
        path="/api/v1/keys",
        summary="Make an API key; its secret is shown this once",
        body=NewKeyRequest,
        example={"tenant": "acme"},
        responses={201: (SecretResponse,)},
        errors=(*_BODY_ERRORS, 409, 503),
        is_admin=True,
        meanings={201: "The key, with its secret.", 409: "Its random id was taken; try again."},
    ),
    Operation(
        method="get",
        path="/api/v1/keys",
        summary="The API keys, without their secrets, 50 at a time",
        parameters=(_AFTER_KEY,),
        responses={200: (KeysResponse,)},
        errors=(422, 503),
        is_admin=True,
    ),
    Operation(
        method="post",
        path="/api/v1/keys/{key_id}/rotate",
        summary="Give an API key another secret, which is shown this once",
        body=RotateRequest,
        example={"grace_seconds": 3600},
        parameters=(_KEY_ID,),
        responses={200: (SecretResponse,)},
        errors=(*_BODY_ERRORS, 404, 409, 503),
        is_admin=True,
        meanings={
            200: "The key, with its new secret.",
            404: "There is no such key.",
            409: "It was revoked, has expired, or somebody else changed it at the same time.",
        },
    ),
    Operation(
        method="delete",
        path="/api/v1/keys/{key_id}",
        summary="Revoke an API key; it is let in for another minute at most",
        parameters=(_KEY_ID,),
        responses={200: (KeyResponse,)},
        errors=(404, 409, 503),
        is_admin=True,
        meanings={200: "The key as it ended.", 404: "There is no such key.", 409: "Others changed it all the time."},
    ),
    Operation(
        method="get",
        path="/health",
        summary="Whether the router can answer, part by part",
        responses={200: (HealthResponse,), 503: (HealthResponse,)},
        is_open=True,
        meanings={200: "New questions can be answered.", 503: "New questions cannot be answered; `parts` says why."},
    ),
    Operation(
        method="get",
        path="/api/v1/models",
        summary="Configured, installed and resident models, and prices",
        responses={200: (ModelsResponse,)},
        errors=(503,),
    ),
    Operation(
        method="get",
        path="/openapi.json",
        summary="This description",
        responses={200: (dict[str, Any],)},
        is_open=True,
    ),
    Operation(
        method="get",
        path="/docs",
        summary="This description, to read and try",
        responses={200: (str,)},
        media_type="text/html",
        is_open=True,
    ),
    Operation(
        method="get",
        path="/dashboard",
        summary="Money, hit rate, latency, queue and box, as a page",
        parameters=(_IF_NONE_MATCH,),
        responses={200: (str,), 304: ()},
        media_type="text/html",
        is_open=True,
        meanings={304: "The page that the caller has is still the page."},
    ),
    *OPENAI_OPERATIONS,
)
