"""The inference queue: ids of jobs for `infer` to run."""

from typing import TYPE_CHECKING

import msgspec
from botocore.exceptions import BotoCoreError, ClientError

from llm_router.errors import StoreError

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient


class SqsInferenceQueue:
    """Sends jobs to `infer`; an instance is a Dispatch."""

    def __init__(self, client: "SQSClient", queue_url: str) -> None:
        self._client = client
        self._queue_url = queue_url

    def __call__(self, job_id: str) -> None:
        """Queue a job.

        Raises:
            StoreError: the queue did not take it.
        """
        body = msgspec.json.encode({"job_id": job_id}).decode()
        try:
            self._client.send_message(QueueUrl=self._queue_url, MessageBody=body)
        except (ClientError, BotoCoreError) as error:
            raise StoreError("queueing a job failed") from error

    def check(self) -> None:
        """Do nothing when the queue is there.

        Raises:
            StoreError: it is not.
        """
        try:
            self._client.get_queue_attributes(QueueUrl=self._queue_url, AttributeNames=["QueueArn"])
        except (ClientError, BotoCoreError) as error:
            raise StoreError("looking at the queue failed") from error
