"""The queue of files that batches are to be read from."""

from typing import TYPE_CHECKING

import msgspec
from botocore.exceptions import BotoCoreError, ClientError

from llm_router.batching.input_files import InputOrder
from llm_router.errors import StoreError

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient


class SqsInputQueue:
    """Has files read by `submit_batch`."""

    def __init__(self, client: "SQSClient", queue_url: str) -> None:
        self._client = client
        self._queue_url = queue_url

    def __call__(self, order: InputOrder) -> None:
        """Queue a file.

        Raises:
            StoreError: the queue did not take it.
        """
        try:
            self._client.send_message(QueueUrl=self._queue_url, MessageBody=msgspec.json.encode(order).decode())
        except (ClientError, BotoCoreError) as error:
            raise StoreError("queueing a file failed") from error
