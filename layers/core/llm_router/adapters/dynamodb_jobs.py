"""The job and usage tables: requests on their way, flights that equal ones join, and what each request used."""

from array import array
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import msgspec
from botocore.exceptions import ClientError
from msgspec.structs import replace

from llm_router.adapters.dynamodb import is_condition_failure, store_errors, to_item, transact
from llm_router.errors import ConflictError, NotFoundError, RequestTooLargeError, StoreError
from llm_router.models import Answer, Failure, Job, JobStatus, UsageRecord
from llm_router.ports import Clock

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import PutTypeDef, TransactWriteItemTypeDef

JOB_TTL_SECONDS: Final = 24 * 3600
USAGE_TTL_SECONDS: Final = 395 * 24 * 3600
"""Thirteen months, so that a month can be compared with the same one a year before."""
FLIGHT_LEASE_MS: Final = 15 * 60 * 1000
"""Longer than a job waits and runs when nothing is broken; after it an equal request takes the flight over."""
MAX_DOCUMENT_BYTES: Final = 280_000
"""An item may have 400 KB; this leaves room for the answer."""
_CLAIM_ATTEMPTS: Final = 5


class DynamoJobStore:
    """JobStore over the job table (key `job_id`) and the usage table (key `request_id`)."""

    def __init__(self, client: "DynamoDBClient", *, job_table: str, usage_table: str, clock: Clock) -> None:
        self._client = client
        self._jobs = job_table
        self._usage = usage_table
        self._clock = clock

    def open(self, job: Job) -> bool:
        """Store a queued job; return True when it is to be run, False when it joined an equal one."""
        self._insert(self._put_job(job)["Put"])
        if job.flight is None:
            return True
        # Single writes, no transaction: a crowd of equal requests queues at the item instead of failing with conflicts.
        # A crash in between leaves a job whose id nobody was told.
        for _ in range(_CLAIM_ATTEMPTS):
            leader = self._claim(job, job.flight)
            if leader is None:
                return True
            # The flight may have closed between the two calls; then it can be claimed.
            if self._join(job, job.flight, leader):
                return False
        raise StoreError("claiming a flight failed")

    def record(self, job: Job, usage: UsageRecord) -> None:
        """Store a job that is finished from the start, and its usage record, in one transaction."""
        self._write("storing an answered request", [self._put_job(job), self._put_usage(usage)])

    def get(self, job_id: str) -> Job:
        """Return a job as last written.

        Raises:
            NotFoundError: no such job, or it has expired.
        """
        item = self._get(job_id)
        if item is None or "document" not in item or int(item["expires_at"]["N"]) * 1000 <= self._clock():
            raise NotFoundError("no such request")
        return _job(item)

    def start(self, job_id: str, *, lease_until_ms: int) -> Job:
        """Mark a job running for one worker.

        Raises:
            NotFoundError: no such job, or it has expired.
            ConflictError: it is finished, or another worker's lease on it still holds.
        """
        self.get(job_id)
        item = self._update(
            job_id,
            "SET #status = :running, lease_until_ms = :lease",
            "#status = :queued OR (#status = :running AND lease_until_ms < :now)",
            {
                ":running": {"S": JobStatus.RUNNING},
                ":queued": {"S": JobStatus.QUEUED},
                ":lease": {"N": str(lease_until_ms)},
                ":now": {"N": str(self._clock())},
            },
        )
        return _job(item)

    def write_progress(self, job_id: str, partial_text: str) -> None:
        """Show text so far.

        Raises:
            ConflictError: the job is not running any more.
        """
        self._update(
            job_id,
            "SET partial_text = :text",
            "#status = :running",
            {":running": {"S": JobStatus.RUNNING}, ":text": {"S": partial_text}},
        )

    def finish(self, job: Job, usage: UsageRecord) -> bool:
        """Write a finished job and its usage record in one transaction; return False when it was finished before."""
        values = to_item(_outcome(job))
        assignments = ", ".join(f"{name} = :{name}" for name in values)
        # A failed job keeps the text so far; a whole answer takes its place.
        outdated = "lease_until_ms, partial_text" if job.answer else "lease_until_ms"
        update: TransactWriteItemTypeDef = {
            "Update": {
                "TableName": self._jobs,
                "Key": {"job_id": {"S": job.job_id}},
                "UpdateExpression": f"SET #status = :status, {assignments} REMOVE {outdated}",
                "ConditionExpression": "#status IN (:queued, :running, :escalated)",
                "ExpressionAttributeNames": {"#status": "status"},
                "ExpressionAttributeValues": {f":{name}": value for name, value in values.items()}
                | {f":{status}": {"S": status} for status in JobStatus if not status.finished}
                | {":status": {"S": job.status}},
            }
        }
        return transact(self._client, "finishing a job", [update, self._put_usage(usage)])

    def followers(self, job: Job) -> Sequence[str]:
        """Return the ids of jobs that joined this one."""
        flight = self._get(_flight_key(job.flight)) if job.flight else None
        if flight is None or flight["leader"]["S"] != job.job_id:
            return []
        return sorted(flight.get("followers", {}).get("SS", []))

    def close_flight(self, job: Job, *, followers: Sequence[str]) -> bool:
        """End the joining of this job; return False when others than `followers` have joined meanwhile."""
        if job.flight is None:
            return True
        # Followers are only ever added, so their number tells whether somebody new came.
        unchanged = "size(followers) = :count" if followers else "attribute_not_exists(followers)"
        count = {":count": {"N": str(len(followers))}} if followers else {}
        with store_errors("closing a flight"):
            try:
                self._client.delete_item(
                    TableName=self._jobs,
                    Key={"job_id": {"S": _flight_key(job.flight)}},
                    ConditionExpression=f"leader = :leader AND {unchanged}",
                    ExpressionAttributeValues={":leader": {"S": job.job_id}, **count},
                )
            except ClientError as error:
                if is_condition_failure(error):
                    return not self._leads(job, job.flight)
                raise
        return True

    def _leads(self, job: Job, flight: str) -> bool:
        item = self._get(_flight_key(flight))
        return item is not None and item["leader"]["S"] == job.job_id

    def _insert(self, put: "PutTypeDef") -> None:
        with store_errors("storing a job"):
            try:
                self._client.put_item(**put)
            except ClientError as error:
                if is_condition_failure(error):
                    raise ConflictError("a request with this id exists") from error
                raise

    def _write(self, what: str, actions: "Sequence[TransactWriteItemTypeDef]") -> None:
        if not transact(self._client, what, actions):
            raise ConflictError("a request with this id exists")

    def _get(self, key: str) -> dict[str, Any] | None:
        with store_errors("reading a job"):
            return self._client.get_item(TableName=self._jobs, Key={"job_id": {"S": key}}, ConsistentRead=True).get(
                "Item"
            )

    def _update(self, job_id: str, expression: str, condition: str, values: dict[str, Any]) -> dict[str, Any]:
        with store_errors("updating a job"):
            try:
                return self._client.update_item(
                    TableName=self._jobs,
                    Key={"job_id": {"S": job_id}},
                    UpdateExpression=expression,
                    ConditionExpression=condition,
                    ExpressionAttributeNames={"#status": "status"},
                    ExpressionAttributeValues=values,
                    ReturnValues="ALL_NEW",
                )["Attributes"]
            except ClientError as error:
                if is_condition_failure(error):
                    raise ConflictError("the request is finished or in other hands") from error
                raise

    def _put_job(self, job: Job) -> "TransactWriteItemTypeDef":
        # The embedding travels as packed float32: a sixth of its digits, and exact.
        document = msgspec.json.encode(replace(job, embedding=None, answer=None, failure=None))
        if len(document) > MAX_DOCUMENT_BYTES:
            raise RequestTooLargeError(f"must not take more than {MAX_DOCUMENT_BYTES} bytes to store", field="message")
        values = {
            "job_id": job.job_id,
            "tenant": job.tenant,
            "status": str(job.status),
            "document": document.decode(),
            "embedding": array("f", job.embedding).tobytes() if job.embedding is not None else None,
            "expires_at": self._clock() // 1000 + JOB_TTL_SECONDS,
        }
        return {
            "Put": {
                "TableName": self._jobs,
                "Item": to_item(values | _outcome(job)),
                "ConditionExpression": "attribute_not_exists(job_id)",
            }
        }

    def _put_usage(self, usage: UsageRecord) -> "TransactWriteItemTypeDef":
        values = msgspec.to_builtins(usage) | {"expires_at": usage.finished_at_ms // 1000 + USAGE_TTL_SECONDS}
        return {
            "Put": {
                "TableName": self._usage,
                "Item": to_item(values),
                "ConditionExpression": "attribute_not_exists(request_id)",
            }
        }

    def _claim(self, job: Job, flight: str) -> dict[str, Any] | None:
        """Make the job the flight's leader and return None, or return the leader there is."""
        now_ms = self._clock()
        values = {":leader": job.job_id, ":lease": now_ms + FLIGHT_LEASE_MS, ":now": now_ms}
        values[":expires_at"] = now_ms // 1000 + JOB_TTL_SECONDS
        with store_errors("claiming a flight"):
            try:
                # An update, not a put: requests that joined a flight whose leader died stay with its next leader.
                # Its own claim passes, which the SDK may repeat when only the answer was lost.
                self._client.update_item(
                    TableName=self._jobs,
                    Key={"job_id": {"S": _flight_key(flight)}},
                    UpdateExpression="SET leader = :leader, lease_until_ms = :lease, expires_at = :expires_at",
                    ConditionExpression="attribute_not_exists(job_id) OR lease_until_ms < :now OR leader = :leader",
                    ExpressionAttributeValues=to_item(values),
                    ReturnValuesOnConditionCheckFailure="ALL_OLD",
                )
            except ClientError as error:
                if is_condition_failure(error):
                    leader: dict[str, Any] = error.response["Item"]["leader"]  # type: ignore[typeddict-item] # the failed condition's item
                    return leader
                raise
        return None

    def _join(self, job: Job, flight: str, leader: dict[str, Any]) -> bool:
        with store_errors("joining a flight"):
            try:
                self._client.update_item(
                    TableName=self._jobs,
                    Key={"job_id": {"S": _flight_key(flight)}},
                    UpdateExpression="ADD followers :job",
                    ConditionExpression="leader = :leader",
                    ExpressionAttributeValues={":job": {"SS": [job.job_id]}, ":leader": leader},
                )
            except ClientError as error:
                if is_condition_failure(error):
                    return False
                raise
        return True


def _flight_key(fingerprint: str) -> str:
    return f"flight#{fingerprint}"


def _outcome(job: Job) -> dict[str, Any]:
    """Return the attributes that change when a job ends."""
    return {
        "partial_text": job.partial_text or None,
        "answer": msgspec.json.encode(job.answer).decode() if job.answer else None,
        "failure": msgspec.json.encode(job.failure).decode() if job.failure else None,
        "finished_at_ms": job.finished_at_ms,
    }


def _job(item: dict[str, Any]) -> Job:
    job = msgspec.json.decode(item["document"]["S"], type=Job)
    return replace(
        job,
        status=JobStatus(item["status"]["S"]),
        embedding=_floats(item["embedding"]["B"]) if "embedding" in item else None,
        partial_text=item["partial_text"]["S"] if "partial_text" in item else "",
        answer=msgspec.json.decode(item["answer"]["S"], type=Answer) if "answer" in item else None,
        failure=msgspec.json.decode(item["failure"]["S"], type=Failure) if "failure" in item else None,
        finished_at_ms=int(item["finished_at_ms"]["N"]) if "finished_at_ms" in item else None,
    )


def _floats(packed: bytes) -> tuple[float, ...]:
    numbers = array("f")
    numbers.frombytes(packed)
    return tuple(numbers)
