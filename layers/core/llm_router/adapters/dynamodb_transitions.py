"""What happens to a job between its first and its last write: who may take it up, keep it, or lay it down."""

from typing import Any, Final

import msgspec
from botocore.exceptions import ClientError

from llm_router.adapters.dynamodb import is_condition_failure, store_errors, to_item
from llm_router.adapters.dynamodb_flights import DynamoFlights
from llm_router.adapters.job_items import SET_ASIDE_TTL_SECONDS, job_of, spent_text
from llm_router.errors import ConflictError
from llm_router.models import Failure, Job, JobStatus

_FREE: Final = "#status = :queued OR (#status = :running AND (lease_until_ms < :now OR worker = :worker) AND {mine})"
"""Condition that no other worker holds a job."""
_OF_THE_BOX: Final = "attribute_not_exists(escalated)"


class DynamoTransitions(DynamoFlights):
    """Conditional updates of one job; of two who try at once, one succeeds."""

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
