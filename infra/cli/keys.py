"""`router keys`: make, list, rotate and revoke API keys, for administrators."""

from decimal import Decimal, InvalidOperation
from enum import StrEnum
from typing import Annotated, Any, Final

import typer

from infra.cli.answers import NewSecret
from infra.cli.errors import WrongUseError
from infra.cli.session import Session, session_of
from infra.cli.tables import key_line, keys_table

SECONDS_OF_A_DAY: Final = 86_400

keys = typer.Typer(help="API keys, for administrators.", no_args_is_help=True)
Id = Annotated[str, typer.Argument(metavar="KEY_ID", help="The id of the key: key_…", show_default=False)]


class Role(StrEnum):
    """What a key may do beside asking."""

    USER = "user"
    ADMIN = "admin"


class LowBudget(StrEnum):
    """What happens to a request that the month's budget does not cover."""

    REFUSE = "refuse"
    DOWNGRADE = "downgrade"


@keys.command()
def create(
    context: typer.Context,
    *,
    tenant: Annotated[str, typer.Option(help="Whose data its holder sees.", show_default=False)],
    role: Annotated[Role, typer.Option(help="What it may do beside asking.")] = Role.USER,
    model: Annotated[list[str] | None, typer.Option(help="A model it may use; repeat it. All, without.")] = None,
    label: Annotated[list[str] | None, typer.Option(metavar="NAME=VALUE", help="For people; repeat it.")] = None,
    expires_days: Annotated[int | None, typer.Option(help="After how many days it ends.")] = None,
    requests_per_minute: Annotated[int | None, typer.Option()] = None,
    tokens_per_minute: Annotated[int | None, typer.Option()] = None,
    concurrent_requests: Annotated[int | None, typer.Option()] = None,
    monthly_budget_usd: Annotated[str | None, typer.Option(metavar="USD")] = None,
    low_budget: Annotated[LowBudget | None, typer.Option(help="What happens when it runs low.")] = None,
) -> None:
    """Make a key. Its secret is printed this once, alone, to the standard output."""
    limits = {
        "requests_per_minute": requests_per_minute,
        "tokens_per_minute": tokens_per_minute,
        "concurrent_requests": concurrent_requests,
        "monthly_budget_nano_usd": None if monthly_budget_usd is None else _nano_usd(monthly_budget_usd),
        "low_budget_policy": low_budget,
    }
    wanted: dict[str, Any] = {
        "tenant": tenant,
        "role": role,
        "allowed_models": model,
        "labels": dict(map(_label, label or ())),
        "limits": _given(limits),
        "expires_in_seconds": None if expires_days is None else expires_days * SECONDS_OF_A_DAY,
    }
    session = session_of(context)
    _print(session, session.client.create_key(_given(wanted)).shown)


@keys.command(name="list")
def listed(
    context: typer.Context,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print them as the API gives them.")] = False,
) -> None:
    """List all keys, without their secrets."""
    session = session_of(context)
    pages = list(session.client.keys())
    if as_json:
        session.screen.data(b"".join(page.raw + b"\n" for page in pages))
    else:
        session.screen.show(keys_table([key for page in pages for key in page.shown.keys]))


@keys.command()
def rotate(
    context: typer.Context,
    key_id: Id,
    *,
    grace_seconds: Annotated[int, typer.Option(help="How long the former secret works beside the new one.")] = 0,
) -> None:
    """Give a key another secret, which is printed this once, alone, to the standard output."""
    session = session_of(context)
    _print(session, session.client.rotate_key(key_id, grace_seconds=grace_seconds).shown)


@keys.command()
def revoke(context: typer.Context, key_id: Id) -> None:
    """Let a key work no more."""
    session = session_of(context)
    session.screen.say(key_line(session.client.revoke_key(key_id).shown))


def _print(session: Session, key: NewSecret) -> None:
    session.screen.data(f"{key.secret}\n".encode())
    session.screen.say(key_line(key))


def _given(fields: dict[str, Any]) -> dict[str, Any]:
    """Return the fields that say something."""
    return {name: value for name, value in fields.items() if value not in (None, [], {})}


def _label(text: str) -> tuple[str, str]:
    name, is_pair, value = text.partition("=")
    if not is_pair:
        raise WrongUseError(f"the label {text!r} is none: it is NAME=VALUE")
    return name, value


def _nano_usd(text: str) -> int:
    try:
        nano = Decimal(text).scaleb(9)
        exact = int(nano)
    except (InvalidOperation, OverflowError, ValueError):
        raise WrongUseError(f"the budget {text!r} is no amount") from None
    if exact != nano:
        raise WrongUseError("a budget has at most nine decimal places")
    return exact
