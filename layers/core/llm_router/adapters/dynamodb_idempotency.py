"""The items of the job table that say which request an idempotency key belongs to."""

from typing import TYPE_CHECKING, Final

from botocore.exceptions import ClientError

from llm_router.adapters.dynamodb import is_condition_failure, store_errors, to_item
from llm_router.errors import ConflictError
from llm_router.ports import Clock
from llm_router.prompt import sha256_hex

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

KEY_TTL_SECONDS: Final = 24 * 3600
"""As long as a job lives, and begun no later: a key that holds never belongs to a job that has expired."""


class DynamoIdempotencyStore:
    """IdempotencyStore over the job table."""

    def __init__(self, client: "DynamoDBClient", *, job_table: str, clock: Clock) -> None:
        self._client = client
        self._table = job_table
        self._clock = clock

    def claim(self, tenant: str, key: str, body_sha256: str, job_id: str) -> str:
        """Give the key to a job, unless it has one; return the id of the key's job.

        Raises:
            ConflictError: the key was used with another body.
        """
        now_s = self._clock() // 1000
        digest = sha256_hex(f"{tenant}\0{key}".encode())
        values = {
            "job_id": f"idempotency#{digest}",
            "claimed_job_id": job_id,
            "body_sha256": body_sha256,
            "expires_at": now_s + KEY_TTL_SECONDS,
        }
        with store_errors("claiming an idempotency key"):
            try:
                self._client.put_item(
                    TableName=self._table,
                    Item=to_item(values),
                    ConditionExpression="attribute_not_exists(job_id) OR expires_at <= :now",
                    ExpressionAttributeValues={":now": {"N": str(now_s)}},
                    ReturnValuesOnConditionCheckFailure="ALL_OLD",
                )
            except ClientError as error:
                if not is_condition_failure(error):
                    raise
                held = error.response["Item"]  # type: ignore[typeddict-item] # the failed condition's item
                if held["body_sha256"]["S"] != body_sha256:
                    raise ConflictError("was used with another body", field="idempotency-key") from error
                owner: str = held["claimed_job_id"]["S"]
                return owner
        return job_id
