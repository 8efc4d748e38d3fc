"""Figures as people read them."""

from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text

from infra.cli.answers import BatchState, CostRow, Costs, Key, Request, Summary

_UNKNOWN: Final = "unknown"
_PLAIN: Final[dict[str, Any]] = {
    "box": box.SIMPLE_HEAD,
    "padding": (0, 1, 0, 0),
    "pad_edge": False,
    "show_edge": False,
    "title_justify": "left",
}


def usd(nano_usd: int | None) -> str:
    """Return an amount to the nano-dollar."""
    return _UNKNOWN if nano_usd is None else f"{Decimal(nano_usd).scaleb(-9):.9f}"


def duration(ms: int) -> str:
    """Return a time as people say it, rounded up to a second."""
    minutes, seconds = divmod(-(-ms // 1000), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {seconds} s" if minutes else f"{seconds} s"


def waiting_line(request: Request) -> str:
    """Return where a request stands."""
    parts = [request.status]
    if request.position is not None:
        parts.append(f"{request.position} before it")
    if request.estimated_ms:
        parts.append(f"about {duration(request.estimated_ms)} left")
    return ", ".join(parts)


def answer_line(request: Request) -> str:
    """Return what an answer came from and cost."""
    cut = ", cut at its length limit" if request.truncated else ""
    origin = f"cache ({request.cache_tier})" if request.cache_tier else "generated"
    cost = f"{request.actual_cost:.9f} USD, baseline {request.baseline_cost:.9f}"
    return f"{request.model_used}, {request.complexity}, {origin}, {cost}{cut}"


def batch_line(state: BatchState) -> str:
    """Return where a batch stands."""
    counts = {
        "answered": state.succeeded,
        "failed": state.failed,
        "cancelled": state.cancelled,
        "invalid": state.invalid,
        "pending": state.pending,
    }
    parts = [f"{count} {name}" for name, count in counts.items() if count]
    if state.pending and state.estimated_ms:
        parts.append(f"about {duration(state.estimated_ms)} left")
    if state.input_error:
        parts.append(state.input_error)
    return f"{state.status}: {', '.join(parts) or 'no lines yet'}"


def batch_table(state: BatchState) -> Table:
    """Return a batch, a line per figure."""
    return _pairs(
        state.batch_id,
        ("status", state.status),
        ("created", state.created_at),
        ("lines", state.lines),
        ("answered", f"{state.succeeded}, of them {state.hits} from the cache"),
        ("failed", state.failed),
        ("cancelled", state.cancelled),
        ("invalid", state.invalid),
        ("pending", state.pending),
        ("left", _UNKNOWN if state.estimated_ms is None else duration(state.estimated_ms)),
        ("cost", f"{usd(state.actual_nano_usd)} USD"),
        ("baseline", f"{usd(state.baseline_nano_usd)} USD"),
        *([("input", state.input_error)] if state.input_error else ()),
    )


def report_table(summary: Summary, costs: Costs) -> Group:
    """Return the figures of a period, and its costs by model."""
    period = summary.period
    title = f"{period['first_day']} to {period['last_day']} ({period['time_zone']}), tenant {summary.tenant}"
    figures = _pairs(
        title,
        ("requests", f"{summary.total_requests}, of them {summary.failed_requests} without an answer"),
        ("cache hits", f"{summary.cache_hits} ({summary.cache_hit_rate} %)"),
        ("tokens", f"{summary.input_tokens} in, {summary.output_tokens} out"),
        ("cost", f"{usd(summary.actual_nano_usd)} USD"),
        (f"on {summary.baseline_model}", f"{usd(summary.baseline_nano_usd)} USD"),
        ("net savings", f"{usd(summary.net_savings_nano_usd)} USD"),
        ("fully loaded cost", f"{usd(summary.fully_loaded.total_nano_usd)} USD"),
        ("latency", f"{_ms(summary.latency_p50_ms)} at the median, {_ms(summary.latency_p95_ms)} at p95"),
    )
    table = Table(title="by model, in USD", **_PLAIN)
    table.add_column("model", overflow="fold")
    for heading in ("requests", "hits", "tokens", "cost", summary.baseline_model, "net savings"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in (*costs.rows, costs.totals):
        table.add_row(*_cost_cells(row))
    return Group(figures, "", table)


def keys_table(keys: Iterable[Key]) -> Table:
    """Return a line per key."""
    table = Table(**_PLAIN)
    table.add_column("key", no_wrap=True)  # it is there to be copied
    for heading in ("status", "role", "tenant", "secret", "created", "expires", "labels"):
        table.add_column(heading, overflow="fold")
    for key in keys:
        labels = " ".join(f"{name}={value}" for name, value in key.labels.items())
        expires = "never" if key.expires_at_ms is None else _day(key.expires_at_ms)
        cells = (key.key_id, key.status, key.role, key.tenant, f"{key.hint}…", _day(key.created_at_ms), expires, labels)
        table.add_row(*map(Text, cells))
    return table


def key_line(key: Key) -> str:
    """Return a key without its secret."""
    former = f"; the former secret works until {_time(key.former_until_ms)}" if key.former_until_ms else ""
    expires = f", until {_time(key.expires_at_ms)}" if key.expires_at_ms else ""
    return f"{key.key_id}: {key.status}, {key.role} of {key.tenant}{expires}{former}"


def _pairs(title: str, *pairs: tuple[str, object]) -> Table:
    table = Table(title=Text(title), show_header=False, **_PLAIN)
    for name, value in pairs:
        table.add_row(name, Text(str(value)))
    return table


def _cost_cells(row: CostRow) -> tuple[Text, ...]:
    money = (row.actual_nano_usd, row.baseline_nano_usd, row.net_savings_nano_usd)
    counts = (str(row.requests), str(row.cache_hits), f"{row.input_tokens}+{row.output_tokens}")
    return tuple(map(Text, (row.name, *counts, *map(usd, money))))


def _ms(value: int | None) -> str:
    return _UNKNOWN if value is None else f"{value:,} ms"


def _day(ms: int) -> str:
    return _time(ms)[:10]


def _time(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
