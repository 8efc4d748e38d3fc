"""Flights: equal requests on their way, which join the first of them and get its answer."""

from collections.abc import Sequence
from typing import Any, Final

from botocore.exceptions import ClientError

from llm_router.adapters.dynamodb import is_condition_failure, is_written, store_errors, to_item
from llm_router.adapters.dynamodb_job_reader import DynamoJobReader
from llm_router.adapters.job_items import TTL_SECONDS
from llm_router.models import Job, JobStatus

FLIGHT_LEASE_MS: Final = 60 * 60 * 1000
"""Longer than a job waits in a long queue, and runs; after it an equal request takes the flight over.

A leader that got stuck is got going again by whoever joins it, and does not wait for this.
"""


class DynamoFlights(DynamoJobReader):
    """The items of the job table that say who generates an answer and who waits for it."""

    def leader(self, job: Job) -> str | None:
        """Return the id of the job whose answer this one waits for, perhaps itself; None when the flight is over."""
        flight = self._get(_flight_key(job.flight)) if job.flight else None
        leader: str | None = flight["leader"]["S"] if flight else None
        return leader

    def hand_over(self, job: Job) -> str | None:
        """Make the first unfinished request that joined this one the leader; return its id, or None."""
        for heir in self.followers(job):
            item = self._get(heir)
            if item and not JobStatus(item["status"]["S"]).finished:
                return heir if self._promote(job, heir) else None
        return None

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
        key = _flight_key(job.flight)
        is_closed = is_written(
            "closing a flight",
            lambda: self._client.delete_item(
                TableName=self._jobs,
                Key={"job_id": {"S": key}},
                ConditionExpression=f"leader = :leader AND {unchanged}",
                ExpressionAttributeValues={":leader": {"S": job.job_id}, **count},
            ),
        )
        return is_closed or not self._leads(job, job.flight)

    def _leads(self, job: Job, flight: str) -> bool:
        item = self._get(_flight_key(flight))
        return item is not None and item["leader"]["S"] == job.job_id

    def _promote(self, job: Job, heir: str) -> bool:
        values = {":leader": job.job_id, ":heir": heir, ":lease": self._clock() + FLIGHT_LEASE_MS}
        return self._flight_update(
            "handing a flight over",
            job,
            "SET leader = :heir, lease_until_ms = :lease DELETE followers :heirs",
            to_item(values) | {":heirs": {"SS": [heir]}},
            condition="leader IN (:leader, :heir)",  # the SDK may repeat it when only the answer was lost
        )

    def _claim(self, job: Job, flight: str) -> dict[str, Any] | None:
        """Make the job the flight's leader and return None, or return the leader there is."""
        now_ms = self._clock()
        values = {":leader": job.job_id, ":lease": now_ms + FLIGHT_LEASE_MS, ":now": now_ms}
        values[":expires_at"] = now_ms // 1000 + TTL_SECONDS[job.lane]
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

    def _join(self, job: Job, leader: dict[str, Any]) -> bool:
        values = {":job": {"SS": [job.job_id]}, ":leader": leader}
        return self._flight_update("joining a flight", job, "ADD followers :job", values)

    def _flight_update(
        self, what: str, job: Job, expression: str, values: dict[str, Any], *, condition: str = "leader = :leader"
    ) -> bool:
        """Change a flight while its leader is `:leader`; return whether it was."""
        return is_written(
            what,
            lambda: self._client.update_item(
                TableName=self._jobs,
                Key={"job_id": {"S": _flight_key(job.flight or "")}},
                UpdateExpression=expression,
                ConditionExpression=condition,
                ExpressionAttributeValues=values,
            ),
        )


def _flight_key(fingerprint: str) -> str:
    return f"flight#{fingerprint}"
