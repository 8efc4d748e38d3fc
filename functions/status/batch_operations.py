"""The routes of batches as a reader sees them."""

from typing import Final

from llm_router.batching.batch_bodies import AcceptedBatchResponse, BatchRequest, BatchResponse, ResultLine
from status.operation import IDEMPOTENCY_KEY, LIMITED, Operation

_BATCH_ID: Final = {
    "name": "batch_id",
    "in": "path",
    "description": "The `batch_id` of a batch; `Location` has the whole path.",
    "required": True,
    "schema": {"type": "string", "pattern": "^batch_[0-9a-f]{32}$"},
}
_AFTER: Final = {
    "name": "after",
    "in": "query",
    "description": "The last line that is known already.",
    "schema": {"type": "integer", "minimum": 0, "maximum": 999_999, "default": 0},
}
_LIMIT: Final = {
    "name": "limit",
    "in": "query",
    "description": "How many lines are wanted; a page that gets too large has fewer.",
    "schema": {"type": "integer", "minimum": 1, "maximum": 1000, "default": 1000},
}
_UNFINISHED: Final = {
    "name": "unfinished",
    "in": "query",
    "description": "Whether to show lines that are not finished, too, instead of ending before the first of them.",
    "schema": {"type": "boolean", "default": False},
}
_KEY: Final = IDEMPOTENCY_KEY | {
    "description": "The same key with the same body is the same batch, for 24 hours; with another body it is a 409."
}


BATCH_OPERATIONS: Final = (
    Operation(
        method="post",
        path="/api/v1/batches",
        summary="Hand in many prompts, to be answered when the box has time",
        body=BatchRequest,
        example={
            "requests": [
                {"custom_id": "a", "message": "What is a binary tree?"},
                {"custom_id": "b", "message": "What is a heap?"},
            ]
        },
        body_text_types=("application/jsonl", "application/x-ndjson"),
        parameters=(_KEY,),
        responses={202: (AcceptedBatchResponse,)},
        errors=(400, 409, 413, 415, 422, 429, 503),
        meanings={
            202: "Taken in; `Location` says where it can be looked at.",
            409: "The idempotency key was used with another body.",
            422: "A field breaks its rule, or no line is a valid request.",
            429: LIMITED,
            503: "Not all was taken in; the same idempotency key and body take in the rest.",
        },
    ),
    Operation(
        method="get",
        path="/api/v1/batches/{batch_id}",
        summary="Where a batch stands",
        parameters=(_BATCH_ID,),
        responses={200: (BatchResponse,)},
        errors=(404, 503),
        meanings={200: "Its counts, costs and progress."},
    ),
    Operation(
        method="get",
        path="/api/v1/batches/{batch_id}/results",
        summary="What became of a batch's lines, in their order",
        parameters=(_BATCH_ID, _AFTER, _LIMIT, _UNFINISHED),
        responses={200: (ResultLine,)},
        media_type="application/x-ndjson",
        errors=(404, 422, 503),
        meanings={200: "One line each; `Link` has the address of the next page, until there is none."},
    ),
    Operation(
        method="delete",
        path="/api/v1/batches/{batch_id}",
        summary="Have nothing more of a batch begun",
        parameters=(_BATCH_ID,),
        responses={202: (BatchResponse,)},
        errors=(404, 503),
        meanings={202: "The batch as it stands; what has begun is brought to its end."},
    ),
)
