"""The query parameters of reports as a reader sees them."""

from typing import Any, Final


def _query(name: str, description: str, **schema: Any) -> dict[str, Any]:
    return {"name": name, "in": "query", "description": description, "schema": {"type": "string"} | schema}


BY: Final = _query(
    "by",
    "What there is a row for each of; `tenant` is for admins.",
    enum=["model", "complexity", "arm", "source", "tenant"],
    default="model",
)
PERIOD: Final = (
    _query("days", "Days to look back, today included.", type="integer", minimum=1, maximum=366, default=30),
    _query("from", "First day, instead of `days` and together with `to`; 2020-01-01 or later.", format="date"),
    _query("to", "Last day; at most 366 are shown.", format="date"),
    _query("tz", "IANA name of the time zone whose days these are, half hours away from UTC.", default="UTC"),
    _query("tenant", "For admins: another tenant, or `all`.", pattern='^[!-"$-~]{1,128}$'),
)
