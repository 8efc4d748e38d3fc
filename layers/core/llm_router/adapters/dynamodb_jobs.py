"""The job and usage tables: requests on their way, flights that equal ones join, and what each request used."""

from typing import TYPE_CHECKING, Any, Final

import msgspec
from botocore.exceptions import ClientError

from llm_router.adapters.dynamodb import is_condition_failure, store_errors, to_item, transact
from llm_router.adapters.dynamodb_flights import DynamoFlights
from llm_router.adapters.job_items import (
    JOB_TTL_SECONDS,
    LANE,
    LINE_INDEX,
    SET_ASIDE_TTL_SECONDS,
    job_in_line,
    job_of,
    outcome,
    put_job,
    put_usage,
    spent_text,
)
from llm_router.errors import ConflictError, StoreError
from llm_router.models import Failure, Job, JobStatus, UsageRecord
from llm_router.ports import Clock, JobInLine

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import PutTypeDef, TransactWriteItemTypeDef

_CLAIM_ATTEMPTS: Final = 5
_FREE: Final = "#status = :queued OR (#status = :running AND (lease_until_ms < :now OR worker = :worker) AND {mine})"
"""Condition that no other worker holds a job."""
_OF_THE_BOX: Final = "attribute_not_exists(escalated)"


class DynamoJobStore(DynamoFlights):
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
        self._write(
            "storing an answered request", [put_job(self._jobs, job, self._clock()), put_usage(self._usage, usage)]
        )

    def line(self, *, limit: int) -> "Sequence[JobInLine]":
        """Return up to `limit` jobs that are to be run, or are run, oldest first.

        The index is read as it is, a moment behind the table. A request whose leader was cancelled, and which leads
        since, is not in it: its message finds it.
        """
        with store_errors("reading the line"):
            items = self._client.query(
                TableName=self._jobs,
                IndexName=LINE_INDEX,
                KeyConditionExpression="lane = :lane AND created_at_ms > :expired",
                ExpressionAttributeValues=to_item({":lane": LANE, ":expired": self._clock() - JOB_TTL_SECONDS * 1000}),
                Limit=limit,
            )["Items"]
        return [job_in_line(item) for item in items]

    def start(self, job_id: str, *, worker: str, lease_until_ms: int, in_cloud: bool = False) -> Job:
        """Mark a job running for one worker, of the box or of the cloud, and count the attempt.

        The box takes up again what was set aside.

        Raises:
            NotFoundError: no such job, or it has expired.
            ConflictError: it is finished, another worker's lease on it still holds, or it is not the box's any more.
        """
        seen = self.get(job_id)
        values = {
            ":running": JobStatus.RUNNING.value,
            ":queued": JobStatus.QUEUED.value,
            ":worker": worker,
            ":lease": lease_until_ms,
            ":now": self._clock(),
            # A number, not an increment: the SDK may repeat the write.
            ":attempts": seen.attempts + (seen.worker != worker),
        }
        changes = (
            "SET #status = :running, worker = :worker, lease_until_ms = :lease, started_at_ms = :now, "
            "attempts = :attempts{more} REMOVE failure, finished_at_ms, set_aside"
        )
        if not in_cloud:
            waits = f"{_FREE.format(mine=_OF_THE_BOX)} OR (#status = :failed AND attribute_exists(set_aside))"
            return self._update(job_id, changes.format(more=""), waits, values | {":failed": JobStatus.FAILED.value})
        waits = f"#status = :escalated OR {_FREE.format(mine='attribute_exists(escalated)')}"
        in_the_cloud = {":escalated": JobStatus.ESCALATED.value, ":yes": 1}
        changes = changes.format(more=", escalated = :yes") + ", lane"
        return self._update(job_id, changes, waits, values | in_the_cloud)

    def give_back(self, job: Job) -> None:
        """Let a running job wait for the next worker; the attempt of this one, which is alive, does not count.

        Raises:
            ConflictError: the job is not this worker's any more.
        """
        values = {":running": JobStatus.RUNNING.value, ":worker": job.worker or "", ":one": 1}
        held = "#status = :running AND worker = :worker"
        if job.escalated:  # not to `escalated`, which would call the cloud at once, and again and again
            change, value = "SET lease_until_ms = :ended, attempts = attempts - :one", {":ended": 0}
            self._update(job.job_id, change, held, values | value)
            return
        change = "SET #status = :queued, attempts = attempts - :one REMOVE worker, lease_until_ms, started_at_ms"
        self._update(job.job_id, change, held, values | {":queued": JobStatus.QUEUED.value})

    def set_aside(self, job: Job, failure: Failure) -> None:
        """End a job of the box for now, without a usage record, and keep it until its message is redriven or given up.

        Raises:
            ConflictError: it is finished, in other hands, or the cloud's.
        """
        now_ms = self._clock()
        self._update(
            job.job_id,
            "SET #status = :failed, failure = :failure, finished_at_ms = :now, set_aside = :one, expires_at = :expires "
            "REMOVE lane, worker, lease_until_ms, attempts",
            _FREE.format(mine=_OF_THE_BOX),
            {
                ":failed": JobStatus.FAILED.value,
                ":queued": JobStatus.QUEUED.value,
                ":running": JobStatus.RUNNING.value,
                ":worker": job.worker or "",
                ":failure": msgspec.json.encode(failure).decode(),
                ":now": now_ms,
                ":one": 1,
                ":expires": now_ms // 1000 + SET_ASIDE_TTL_SECONDS,
            },
        )

    def escalate(self, job: Job) -> None:
        """Leave a job to the cloud, with what it has cost so far; the table's stream passes it on.

        Raises:
            ConflictError: it is finished, or another worker's lease on it still holds.
        """
        held = "lease_until_ms < :now" + (" OR worker = :worker" if job.worker else "")
        self._update(
            job.job_id,
            "SET #status = :escalated, escalated = :yes, spent = :spent "
            "REMOVE lane, worker, lease_until_ms, partial_text",
            f"#status IN (:queued, :escalated) OR (#status = :running AND ({held}))",
            {
                ":escalated": JobStatus.ESCALATED.value,
                ":queued": JobStatus.QUEUED.value,
                ":running": JobStatus.RUNNING.value,
                ":yes": 1,
                ":spent": spent_text(job),
                ":now": self._clock(),
            }
            | ({":worker": job.worker} if job.worker else {}),
        )

    def renew(self, job: Job, *, lease_until_ms: int, partial_text: str | None = None) -> Job:
        """Keep a running job for its worker, show the text so far if there is any new, and return the job as it is.

        Raises:
            ConflictError: the job is not this worker's any more.
        """
        values = {":running": JobStatus.RUNNING.value, ":worker": job.worker, ":lease": lease_until_ms}
        expression = "SET lease_until_ms = :lease"
        if partial_text is not None:
            expression += ", partial_text = :text"
            values[":text"] = partial_text
        return self._update(job.job_id, expression, "#status = :running AND worker = :worker", values)

    def request_cancel(self, job_id: str) -> Job:
        """Ask the worker of a running job to stop, and return the job as it is; other jobs are left alone."""
        try:
            return self._update(
                job_id,
                "SET cancel_requested = :yes",
                "#status = :running",
                {":running": JobStatus.RUNNING.value, ":yes": 1},
            )
        except ConflictError:
            return self.get(job_id)

    def claim_redispatch(self, job_id: str, *, not_since_ms: int) -> bool:
        """Note that a job is dispatched again; return False when somebody did so after `not_since_ms`."""
        try:
            self._update(
                job_id,
                "SET dispatched_at_ms = :now",
                "attribute_exists(#status) AND (attribute_not_exists(dispatched_at_ms) OR dispatched_at_ms <= :since)",
                {":now": self._clock(), ":since": not_since_ms},
            )
        except ConflictError:
            return False
        return True

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
        with store_errors("storing a job"):
            try:
                self._client.put_item(
                    TableName=put["TableName"],
                    Item=put["Item"],
                    ConditionExpression=f"attribute_not_exists(job_id) OR ({repeated})",
                    ExpressionAttributeNames={"#document": "document", "#status": "status"},
                    ExpressionAttributeValues={
                        ":document": put["Item"]["document"],
                        ":queued": {"S": JobStatus.QUEUED.value},
                    },
                )
            except ClientError as error:
                if is_condition_failure(error):
                    raise ConflictError("a request with this id exists") from error
                raise

    def _write(self, what: str, actions: "Sequence[TransactWriteItemTypeDef]") -> None:
        if not transact(self._client, what, actions):
            raise ConflictError("a request with this id exists")

    def _update(self, job_id: str, expression: str, condition: str, values: dict[str, Any]) -> Job:
        with store_errors("updating a job"):
            try:
                item = self._client.update_item(
                    TableName=self._jobs,
                    Key={"job_id": {"S": job_id}},
                    UpdateExpression=expression,
                    ConditionExpression=condition,
                    ExpressionAttributeNames={"#status": "status"},
                    ExpressionAttributeValues=to_item(values),
                    ReturnValues="ALL_NEW",
                )["Attributes"]
            except ClientError as error:
                if is_condition_failure(error):
                    raise ConflictError("the request is finished or in other hands") from error
                raise
        return job_of(item)
