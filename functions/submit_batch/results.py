"""What became of the lines of a batch, page by page, in their order."""

from collections.abc import Iterator, Mapping
from typing import Final, Self

import msgspec
from msgspec import Struct

from llm_router.batching.batch_bodies import LineStatus, ResultLine
from llm_router.batching.batches import MAX_LINE, Batch, LineError, LineResult, line_job_id
from llm_router.errors import InvalidRequestError
from llm_router.ports import BatchStore, Clock
from llm_router.query_parameters import only_known, whole_number
from llm_router.responses import ChatResponse
from llm_router.responses import describe as describe_job
from submit_batch.states import input_error

MAX_LINES: Final = 1000
MAX_BYTES: Final = 4_500_000
"""What Lambda returns, 6 MiB, holds so much as base64."""
_LINES_PER_READ: Final = 50


class PageRequest(Struct, frozen=True):
    """Which lines a caller wants."""

    after: int
    limit: int
    unfinished: bool
    """Whether those that are not finished are wanted, too, instead of holding the page up."""

    @classmethod
    def of(cls, query: Mapping[str, str]) -> Self:
        """Return what a query asks for.

        Raises:
            InvalidRequestError: a parameter breaks its rule, or is not known; the error names it.
        """
        only_known(query, {"after", "limit", "unfinished"})
        unfinished = query.get("unfinished", "false")
        if unfinished not in {"true", "false"}:
            raise InvalidRequestError("must be true or false", field="unfinished")
        after = whole_number(query, "after", least=0, most=MAX_LINE, default=0)
        limit = whole_number(query, "limit", least=1, most=MAX_LINES, default=MAX_LINES)
        return cls(after, limit, unfinished == "true")

    def path_after(self, batch_id: str, line: int) -> str:
        """Return the path of the page that follows `line`."""
        path = f"/api/v1/batches/{batch_id}/results?after={line}&limit={self.limit}"
        return path + ("&unfinished=true" if self.unfinished else "")


class Page(Struct, frozen=True):
    """Lines of results, and where the next ones begin."""

    body: bytes
    """JSON Lines."""
    next_path: str | None
    """Of the page that follows, perhaps later; None when nothing does."""

    @property
    def headers(self) -> dict[str, str]:
        """How a client finds the next page."""
        return {} if self.next_path is None else {"Link": f'<{self.next_path}>; rel="next"'}


class Results(Struct, frozen=True):
    """Reads the results of batches."""

    store: BatchStore
    clock: Clock

    def page(self, batch: Batch, wanted: PageRequest) -> Page:
        """Return the results of the lines that are wanted.

        It ends before the first line that is not finished, unless those are wanted too, and where it gets too large.
        """
        rows: list[bytes] = []
        size_bytes = 0
        for result in self._read(batch, wanted.after + 1, min(wanted.after + wanted.limit, batch.lines)):
            row = msgspec.json.encode(_result_line(batch.batch_id, result)) + b"\n"
            size_bytes += len(row)
            if size_bytes > MAX_BYTES or not (wanted.unfinished or _is_finished(result)):
                break
            rows.append(row)
        last = wanted.after + len(rows)
        is_over = batch.input_complete or input_error(batch, self.clock()) is not None
        is_end = is_over and last >= batch.lines
        return Page(b"".join(rows), None if is_end else wanted.path_after(batch.batch_id, last))

    def _read(self, batch: Batch, first: int, last: int) -> Iterator[LineResult]:
        for start in range(first, last + 1, _LINES_PER_READ):
            count = min(_LINES_PER_READ, last + 1 - start)
            yield from self.store.results(batch.batch_id, first_line=start, count=count)


def _is_finished(result: LineResult) -> bool:
    return result.error is not None or (result.job is not None and result.job.status.finished)


def _result_line(batch_id: str, result: LineResult) -> ResultLine:
    job, error = result.job, result.error
    shown = describe_job(job, 0) if job is not None else None
    if job is not None and job.failure is not None:
        error = LineError(code=job.failure.code, message=job.failure.message)
    without_job = LineStatus.QUEUED if error is None else LineStatus.INVALID
    return ResultLine(
        line=result.line,
        custom_id=result.custom_id,
        request_id=line_job_id(batch_id, result.line),
        status=LineStatus(job.status) if job is not None else without_job,
        response=shown if isinstance(shown, ChatResponse) else None,
        error=error,
    )
