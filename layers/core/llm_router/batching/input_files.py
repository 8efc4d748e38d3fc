"""A file that a batch is read from."""

from typing import Final

from msgspec import Struct

MAX_FILE_BYTES: Final = 1024**3


class InputFile(Struct, frozen=True, kw_only=True):
    """A file as it was when the batch was made; another content under its name is another file."""

    bucket: str
    key: str
    etag: str
    size_bytes: int


class InputOrder(Struct, frozen=True, kw_only=True):
    """Message that has the file of a batch read."""

    batch_id: str
    file: InputFile
