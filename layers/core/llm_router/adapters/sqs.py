"""The inference queue: ids of jobs for `infer` to run."""

from typing import TYPE_CHECKING, Final

import msgspec
from botocore.exceptions import BotoCoreError, ClientError

from llm_router.errors import StoreError
from llm_router.models import QueueDepth

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

_WAITING: Final = "ApproximateNumberOfMessages"
_IN_FLIGHT: Final = "ApproximateNumberOfMessagesNotVisible"


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

    def depth(self) -> QueueDepth:
        """Return how many messages there are, as far as the queue knows.

        Raises:
            StoreError: the queue is not there.
        """
        try:
            answer = self._client.get_queue_attributes(QueueUrl=self._queue_url, AttributeNames=[_WAITING, _IN_FLIGHT])
        except (ClientError, BotoCoreError) as error:
            raise StoreError("looking at the queue failed") from error
        return QueueDepth(waiting=int(answer["Attributes"][_WAITING]), in_flight=int(answer["Attributes"][_IN_FLIGHT]))
