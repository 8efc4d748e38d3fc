"""Makes batches of what callers hand in: lines in the request itself, or a file to be read later."""

import re
from collections.abc import Callable, Sequence
from typing import Final

from msgspec import Struct

from llm_router.access.callers import Caller
from llm_router.batching.batch_bodies import BadLine, BatchRequest
from llm_router.batching.batches import Batch
from llm_router.batching.input_files import MAX_FILE_BYTES, InputFile, InputOrder
from llm_router.errors import InvalidRequestError, NotFoundError, RequestTooLargeError
from llm_router.ports import BatchStore, Clock, IdempotencyStore, InputFiles
from llm_router.prompt import sha256_hex
from llm_router.validation import parse_json
from submit_batch.intake import Intake
from submit_batch.lines import Line, Place, cut
from submit_batch.prompts import Sorter, portions

MAX_BODY_BYTES: Final = 4_500_000
"""Lambda takes 6 MiB of a request, and the gateway makes a third more of a body by handing it on as base64."""
MAX_LINES: Final = 10_000
LINES_DUE_MS: Final = 300_000
"""As long as the function may run: lines that it has not taken in by then, it never will."""
FILE_DUE_MS: Final = 4 * 3_600_000
"""Longer than the message that has a file read is delivered again."""
_S3_URI: Final = re.compile(r"s3://(?P<bucket>[^/]+)/(?P<key>.{1,1024})", re.DOTALL)


class Submission(Struct, frozen=True, kw_only=True):
    """Makes batches, once per idempotency key."""

    store: BatchStore
    intake: Intake
    keys: IdempotencyStore
    files: InputFiles
    order: Callable[[InputOrder], object]
    """Has a file read; raises StoreError when it cannot."""
    input_bucket: str
    """The one bucket that files may be in; empty for none."""
    clock: Clock
    new_id: Callable[[], str]

    def submit(
        self, body: bytes, *, as_lines: bool, caller: Caller, key: str | None = None
    ) -> tuple[Batch, Sequence[BadLine]]:
        """Make a batch of a body, and return it with the lines that are no requests.

        A key that made a batch before leads to that one, whose lines are taken in again where that was never ended.

        Raises:
            RequestTooLargeError: the body is too large.
            MalformedBodyError: it is not JSON in UTF-8; `as_lines` leaves that to each line.
            InvalidRequestError: a field breaks its rule, or there is no line that can be asked.
            ConflictError: the key was used with another body.
            StoreError: not all lines were taken in; the same key and body take in the rest.
        """
        if len(body) > MAX_BODY_BYTES:
            raise RequestTooLargeError(f"must not have more than {MAX_BODY_BYTES:,} bytes", field="body")
        lines: Sequence[Line]
        if as_lines:
            lines, _ = cut(body, Place(), is_last=True)
        else:
            request = parse_json(body, BatchRequest, max_bytes=MAX_BODY_BYTES)
            if request.s3_uri is not None:
                file = self._file(request.s3_uri)
                return self._of_file(file, self._claim(caller, key, body + file.etag.encode(), FILE_DUE_MS)), ()
            lines = [Line(number, bytes(raw)) for number, raw in enumerate(request.requests or (), 1)]
        field = "body" if as_lines else "requests"
        if not 1 <= len(lines) <= MAX_LINES:
            raise InvalidRequestError(f"must have 1 to {MAX_LINES:,} lines", field=field)
        sorted_lines = list(portions(lines, Sorter()))
        bad = [each for portion in sorted_lines for each in portion.bad]
        if len(bad) == len(lines):
            first = bad[0].error
            rule = f"must have a line that can be asked; the first one's `{first.field}` {first.message}"
            raise InvalidRequestError(rule, field=field)
        batch = self._open(self._claim(caller, key, body, LINES_DUE_MS))
        return (batch if batch.input_complete else self.intake.take(batch, sorted_lines)), bad

    def _of_file(self, file: InputFile, batch: Batch) -> Batch:
        """Have the file of a batch read."""
        batch = self._open(batch)
        if not batch.input_complete:
            self.order(InputOrder(batch_id=batch.batch_id, file=file))
        return batch

    def _file(self, uri: str) -> InputFile:
        address = _S3_URI.fullmatch(uri)
        if address is None or address["bucket"] != self.input_bucket:
            where = f"be in s3://{self.input_bucket}/" if self.input_bucket else "not be given: no bucket is set up"
            raise InvalidRequestError(f"must {where}", field="s3_uri")
        try:
            file = self.files.find(address["bucket"], address["key"])
        except NotFoundError as error:
            raise InvalidRequestError(str(error), field="s3_uri") from error
        if not 1 <= file.size_bytes <= MAX_FILE_BYTES:
            raise InvalidRequestError(f"must name a file of 1 to {MAX_FILE_BYTES:,} bytes", field="s3_uri")
        return file

    def _claim(self, caller: Caller, key: str | None, content: bytes, due_ms: int) -> Batch:
        """Return the batch that a content is to become: a new one, or that of its key."""
        batch_id = self.new_id()
        if key is not None:  # no key of a request has a space, so that one may be used for both
            batch_id = self.keys.claim(caller.tenant, f"batch {key}", sha256_hex(content), batch_id)
        now_ms = self.clock()
        return Batch(
            batch_id=batch_id,
            tenant=caller.tenant,
            allowed_models=caller.allowed_models,
            key_id=caller.key_id,
            limits=caller.limits,
            created_at_ms=now_ms,
            input_due_ms=now_ms + due_ms,
        )

    def _open(self, batch: Batch) -> Batch:
        """Store a new batch; return it, or the one that is there."""
        return batch if self.store.open(batch) else self.store.get(batch.batch_id)
