"""`router report`: what was asked and what it cost."""

from enum import StrEnum
from typing import Annotated

import msgspec
import typer

from infra.cli.session import session_of
from infra.cli.tables import report_table


class Format(StrEnum):
    """How a report is written."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"


def report(
    context: typer.Context,
    *,
    days: Annotated[int | None, typer.Option(help="Days to look back, today included.")] = None,
    first: Annotated[str | None, typer.Option("--from", help="First day, YYYY-MM-DD, together with --to.")] = None,
    last: Annotated[str | None, typer.Option("--to", help="Last day.")] = None,
    tz: Annotated[str | None, typer.Option(help="IANA name of the zone whose days these are.")] = None,
    tenant: Annotated[str | None, typer.Option(help="For admins: another tenant, or all.")] = None,
    form: Annotated[
        Format, typer.Option("--format", help="A table, summary and costs as JSON, or the savings by day as CSV.")
    ] = Format.TABLE,
) -> None:
    """Show requests, costs and savings of a period."""
    session = session_of(context)
    asked = {"days": days, "from": first, "to": last, "tz": tz, "tenant": tenant}
    period = {name: value for name, value in asked.items() if value is not None}
    if form is Format.CSV:
        session.screen.data(session.client.savings_csv(period))
        return
    summary, costs = session.client.summary(period), session.client.costs(period)
    if form is Format.TABLE:
        session.screen.show(report_table(summary.shown, costs.shown))
    else:
        whole = {"summary": msgspec.Raw(summary.raw), "costs": msgspec.Raw(costs.raw)}
        session.screen.data(msgspec.json.encode(whole) + b"\n")
