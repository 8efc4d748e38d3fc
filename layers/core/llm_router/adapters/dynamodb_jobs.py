"""The job and usage tables: requests on their way, flights that equal ones join, and what each request used."""

from typing import TYPE_CHECKING, Final

from llm_router.accounting.usage import UsageRecord
from llm_router.adapters.dynamodb import is_written, store_errors, to_item, transact
from llm_router.adapters.dynamodb_transitions import DynamoTransitions
from llm_router.adapters.job_items import (
    LINE_INDEX,
    TTL_SECONDS,
    count_shadow,
    job_in_line,
    outcome,
    put_job,
    put_usage,
)
from llm_router.errors import ConflictError, StoreError
from llm_router.models import Job, JobInLine, JobStatus, Lane
from llm_router.ports import Clock

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import PutTypeDef, TransactWriteItemTypeDef

_CLAIM_ATTEMPTS: Final = 5


class DynamoJobStore(DynamoTransitions):
    """JobStore over the job table (key `job_id`) and the usage table (key `request_id`)."""

    def __init__(self, client: "DynamoDBClient", *, job_table: str, usage_table: str, clock: Clock) -> None:
        super().__init__(client, job_table=job_table, clock=clock)
        self._usage = usage_table

    def open(self, job: Job) -> bool:
        """Store a queued job; return True when it is to be run, False when it joined an equal one."""
        self._insert(put_job(self._jobs, job, self._clock())["Put"])
        leads = False
        try:
            leads = job.flight is None or self._lead_or_join(job, job.flight)
        finally:
            if not leads:
                self._leave_line(job.job_id)
        return leads

    def _lead_or_join(self, job: Job, flight: str) -> bool:
        # Single writes, no transaction: a crowd of equal requests queues at the item instead of failing with conflicts.
        # A crash in between leaves a job that only its idempotency key leads to; who comes with it gets it going again.
        for _ in range(_CLAIM_ATTEMPTS):
            leader = self._claim(job, flight)
            if leader is None:
                return True
            # The flight may have closed between the two calls; then it can be claimed.
            if self._join(job, leader):
                return False
        raise StoreError("claiming a flight failed")

    def record(self, job: Job, usage: UsageRecord) -> None:
        """Store a job that is finished from the start, and its usage record, in one transaction."""
        actions = [put_job(self._jobs, job, self._clock()), put_usage(self._usage, usage)]
        if not transact(self._client, "storing an answered request", actions):
            raise ConflictError("a request with this id exists")

    def open_shadow(self, job: Job, *, daily_limit: int) -> bool:
        """Store a queued shadow and count it; return False when there is one, or the day has had its share."""
        actions = [put_job(self._jobs, job, self._clock()), count_shadow(self._jobs, job, daily_limit)]
        return transact(self._client, "storing a shadow", actions)

    def line(self, *, limit: int, lane: Lane = Lane.INTERACTIVE) -> "Sequence[JobInLine]":
        """Return up to `limit` jobs of a lane that are to be run, or are run, oldest first.

        The index is read as it is, a moment behind the table. A request whose leader was cancelled, and which leads
        since, is not in it: its message finds it.
        """
        with store_errors("reading the line"):
            items = self._client.query(
                TableName=self._jobs,
                IndexName=LINE_INDEX,
                KeyConditionExpression="lane = :lane AND created_at_ms > :expired",
                ExpressionAttributeValues=to_item(
                    {":lane": lane.value, ":expired": self._clock() - TTL_SECONDS[lane] * 1000}
                ),
                Limit=limit,
            )["Items"]
        return [job_in_line(item) for item in items]

    def finish(self, job: Job, usage: UsageRecord) -> bool:
        """Write a finished job and its usage record in one transaction.

        Returns False when it was finished before, or is held by another worker than the job's.
        """
        values = to_item(outcome(job))
        assignments = ", ".join(f"{name} = :{name}" for name in values)
        # A failed job keeps the text so far; a whole answer takes its place.
        outdated = "lane, lease_until_ms, worker" + (", partial_text" if job.answer else "")
        mine = {":worker": {"S": job.worker}} if job.worker else {}
        held = "worker = :worker" if job.worker else "lease_until_ms < :now"
        update: TransactWriteItemTypeDef = {
            "Update": {
                "TableName": self._jobs,
                "Key": {"job_id": {"S": job.job_id}},
                "UpdateExpression": f"SET #status = :status, {assignments} REMOVE {outdated}",
                "ConditionExpression": f"#status IN (:queued, :escalated) OR (#status = :running AND {held})",
                "ExpressionAttributeNames": {"#status": "status"},
                "ExpressionAttributeValues": {f":{name}": value for name, value in values.items()}
                | {f":{status}": {"S": status} for status in JobStatus if not status.finished}
                | {":status": {"S": job.status}}
                | (mine or {":now": {"N": str(self._clock())}}),
            }
        }
        return transact(self._client, "finishing a job", [update, put_usage(self._usage, usage)])

    def _leave_line(self, job_id: str) -> None:
        with store_errors("joining a flight"):
            self._client.update_item(
                TableName=self._jobs,
                Key={"job_id": {"S": job_id}},
                UpdateExpression="REMOVE lane",
                ConditionExpression="attribute_exists(job_id)",
            )

    def _insert(self, put: "PutTypeDef") -> None:
        # The SDK may repeat a write whose answer was lost; it must not run into itself.
        repeated = "#document = :document AND #status = :queued"
        is_stored = is_written(
            "storing a job",
            lambda: self._client.put_item(
                TableName=put["TableName"],
                Item=put["Item"],
                ConditionExpression=f"attribute_not_exists(job_id) OR ({repeated})",
                ExpressionAttributeNames={"#document": "document", "#status": "status"},
                ExpressionAttributeValues={
                    ":document": put["Item"]["document"],
                    ":queued": {"S": JobStatus.QUEUED.value},
                },
            ),
        )
        if not is_stored:
            raise ConflictError("a request with this id exists")
