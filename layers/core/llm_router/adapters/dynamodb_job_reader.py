"""Reads the job table."""

from typing import TYPE_CHECKING, Any

from llm_router.adapters.dynamodb import store_errors
from llm_router.adapters.job_items import job_of
from llm_router.errors import NotFoundError
from llm_router.models import Job
from llm_router.ports import Clock

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient


class DynamoJobReader:
    """Looks at requests in the job table."""

    def __init__(self, client: "DynamoDBClient", *, job_table: str, clock: Clock) -> None:
        self._client = client
        self._jobs = job_table
        self._clock = clock

    def get(self, job_id: str) -> Job:
        """Return a job as last written.

        Raises:
            NotFoundError: no such job, or it has expired.
        """
        item = self._get(job_id)
        if item is None or "document" not in item or int(item["expires_at"]["N"]) * 1000 <= self._clock():
            raise NotFoundError("no such request")
        return job_of(item)

    def _get(self, key: str) -> dict[str, Any] | None:
        with store_errors("reading a job"):
            return self._client.get_item(TableName=self._jobs, Key={"job_id": {"S": key}}, ConsistentRead=True).get(
                "Item"
            )
