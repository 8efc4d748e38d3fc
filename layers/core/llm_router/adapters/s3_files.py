"""Files in S3, read piece by piece."""

from typing import TYPE_CHECKING, Final

from botocore.exceptions import BotoCoreError, ClientError

from llm_router.batching.input_files import InputFile
from llm_router.errors import ConflictError, NotFoundError, StoreError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_ABSENT: Final = {"403", "404", "AccessDenied", "NoSuchKey", "NoSuchBucket"}
"""Who may not list a bucket is told 403 of a file that is not there."""
_CHANGED: Final = {"412", "PreconditionFailed", "416", "InvalidRange"}


class S3Files:
    """InputFiles in S3."""

    def __init__(self, client: "S3Client") -> None:
        self._client = client

    def find(self, bucket: str, key: str) -> InputFile:
        """Return what is known of a file.

        Raises:
            NotFoundError: it is not there, or may not be read.
            StoreError: S3 failed.
        """
        try:
            head = self._client.head_object(Bucket=bucket, Key=key)
        except ClientError as error:
            raise _translated(error) from error
        except BotoCoreError as error:
            raise StoreError("looking at a file failed") from error
        return InputFile(bucket=bucket, key=key, etag=head["ETag"], size_bytes=head["ContentLength"])

    def read(self, file: InputFile, *, offset_bytes: int, count_bytes: int) -> bytes:
        """Return a piece of a file, less than `count_bytes` at its end.

        Raises:
            ConflictError: it is another file by now.
            NotFoundError: it is gone, or may not be read.
            StoreError: S3 failed.
        """
        last = min(offset_bytes + count_bytes, file.size_bytes) - 1
        try:
            answer = self._client.get_object(
                Bucket=file.bucket, Key=file.key, IfMatch=file.etag, Range=f"bytes={offset_bytes}-{last}"
            )
            return answer["Body"].read()
        except ClientError as error:
            raise _translated(error) from error
        except BotoCoreError as error:
            raise StoreError("reading a file failed") from error


def _translated(error: ClientError) -> ConflictError | NotFoundError | StoreError:
    code = error.response["Error"]["Code"]
    if code in _ABSENT:
        return NotFoundError("does not exist, or may not be read")
    if code in _CHANGED:
        return ConflictError("was changed while it was read")
    return StoreError("reading a file failed")
