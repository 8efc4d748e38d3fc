"""The report on what was saved as JSON, as a table for spreadsheets, and as a page to read and print."""

import csv
import io
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Final

import msgspec
from msgspec import Struct

from analytics.savings_page import page
from llm_router.report_responses import DayRow
from llm_router.savings_responses import SavingsReport

_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")
_PAGE_POLICY: Final = (
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


class Document(Struct, frozen=True, kw_only=True):
    """A body, and the headers that belong to it."""

    content_type: str
    body: str
    headers: dict[str, str]


def render(report: SavingsReport, media_type: str) -> Document:
    """Return the report in one of MEDIA_TYPES."""
    document = _RENDERERS[media_type](report)
    return msgspec.structs.replace(document, headers={"Vary": "Accept"} | document.headers)


def _json(report: SavingsReport) -> Document:
    return Document(content_type="application/json", body=msgspec.json.encode(report).decode(), headers={})


def _html(report: SavingsReport) -> Document:
    headers = {"Content-Security-Policy": _PAGE_POLICY, "Referrer-Policy": "no-referrer"}
    return Document(content_type="text/html; charset=utf-8", body=page(report), headers=headers)


def _csv(report: SavingsReport) -> Document:
    """Write a table as RFC 4180 has it: a header, a row for each day, and one for all of them."""
    text = io.StringIO()
    writer = csv.writer(text)
    for row in _table(report):
        writer.writerow(map(_harmless, row))
    name = f"savings-{report.period.first_day}-{report.period.last_day}.csv"
    return Document(
        content_type="text/csv; charset=utf-8; header=present",
        body=text.getvalue(),
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )


def _table(report: SavingsReport) -> Iterator[list[object]]:
    models = [each.model for each in report.baselines]
    yield [
        *("day", "time_zone", "tenant", "requests", "cache_hits", "cache_hit_rate_percent", "generated_requests"),
        *("failed_requests", "input_tokens", "output_tokens", "latency_p50_ms", "latency_p95_ms", "actual_usd"),
        *(f"{model} {figure}_usd" for model in models for figure in ("baseline", "net_savings")),
    ]
    for row in (*report.days, report.total):
        yield [
            *(row.day, report.period.time_zone, report.tenant, row.requests, row.cache_hits, row.cache_hit_rate),
            *(row.generated_requests, row.failed_requests, row.input_tokens, row.output_tokens),
            *(row.latency_p50_ms, row.latency_p95_ms, _exact_usd(row.actual_nano_usd)),
            *(_exact_usd(figure) for model in models for figure in _compared(row, model)),
        ]


def _compared(row: DayRow, model: str) -> tuple[int | None, int | None]:
    nano_usd = row.baselines_nano_usd[model]
    return nano_usd, None if nano_usd is None else nano_usd - row.actual_nano_usd


def _exact_usd(nano: int | None) -> Decimal | None:
    return None if nano is None else Decimal(nano).scaleb(-9)


def _harmless(cell: object) -> object:
    """Return what no spreadsheet takes for a formula; numbers may well begin with a minus."""
    if isinstance(cell, Decimal):
        return f"{cell:f}"
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(_FORMULA) else cell


_RENDERERS: Final[dict[str, Callable[[SavingsReport], Document]]] = {
    "application/json": _json,
    "text/csv": _csv,
    "text/html": _html,
}
MEDIA_TYPES: Final = tuple(_RENDERERS)
"""Those a report can have; the first is that of who does not care."""
