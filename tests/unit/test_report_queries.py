import pytest

from analytics.queries import COSTS_PARAMETERS, ReportQuery, days_of, parse_query, period
from llm_router.access.keys import Role
from llm_router.errors import ForbiddenError, InvalidRequestError
from llm_router.report_responses import Period
from tests.fakes import NOW_MS


def parse(role: Role = Role.ADMIN, now_ms: int = NOW_MS, **parameters: str) -> ReportQuery:
    """Parse a query at 22:13 UTC on 2023-11-14; `from_` is `from`."""
    given = {name.rstrip("_"): value for name, value in parameters.items()}
    return parse_query(given, "acme", role, now_ms, COSTS_PARAMETERS)


def test_nothing_is_asked() -> None:
    """Without parameters a report is about the last 30 UTC days, today included, by model."""
    query = parse(Role.USER)

    assert Period("2023-10-16", "2023-11-14", "UTC") == period(query)
    assert ("acme", "model", 30) == (query.tenant, query.by, len(days_of(query)))


@pytest.mark.parametrize(("text", "days"), [("1", 1), ("07", 7), ("366", 366)])
def test_days(text: str, days: int) -> None:
    """A period can be a whole number of days."""
    assert days == len(days_of(parse(days=text)))


def test_today_is_that_of_the_zone() -> None:
    """At 22:13 UTC it is tomorrow in Berlin already when the clock there says 23:13, it is not; in Tokyo it is."""
    todays = [days_of(parse(days="1", tz=zone)) for zone in ("UTC", "Europe/Berlin", "Asia/Tokyo")]

    assert [["2023-11-14"], ["2023-11-14"], ["2023-11-15"]] == todays


def test_dates() -> None:
    """A period can be two dates, both included, in another zone."""
    query = parse(from_="2023-11-01", to="2023-11-03", tz="America/New_York", by="arm")

    assert ["2023-11-01", "2023-11-02", "2023-11-03"] == days_of(query)
    assert ("America/New_York", "acme", "arm") == (query.zone.key, query.tenant, query.by)


def test_to_may_be_in_the_future() -> None:
    """A month can be asked for before it is over, and a leap year is one period."""
    assert 30 == len(days_of(parse(from_="2023-11-01", to="2023-11-30")))
    assert 366 == len(days_of(parse(from_="2023-11-15", to="2024-11-14")))


@pytest.mark.parametrize(
    ("parameters", "field"),
    [
        *(({"days": text}, "days") for text in ("", "0", "367", "-1", "1.5", "week", "²", "1" * 5000, "0000000001234")),
        ({"days": "7", "from_": "2023-11-01", "to": "2023-11-03"}, "days"),
        ({"from_": "2023-11-01"}, "to"),
        ({"to": "2023-11-01"}, "from"),
        ({"from_": "2023-11-31", "to": "2023-12-01"}, "from"),
        ({"from_": "20231101", "to": "2023-12-01"}, "from"),
        ({"from_": "2023-W44-1", "to": "2023-12-01"}, "from"),
        ({"from_": "2019-12-31", "to": "2020-01-01"}, "from"),
        ({"from_": "0001-01-01", "to": "0001-01-02"}, "from"),
        ({"from_": "2023-11-03", "to": "2023-11-01"}, "to"),
        ({"from_": "2022-11-01", "to": "2023-11-02"}, "to"),
        ({"from_": "2024-11-14", "to": "2024-11-15"}, "to"),
        ({"from_": "9999-12-31", "to": "9999-12-31"}, "to"),
        ({"from_": "2022-10-10", "to": "2022-10-11", "tz": "Europe/Berlin"}, "from"),
        ({"tz": "Asia/Kathmandu"}, "tz"),
        *(({"tz": name}, "tz") for name in ("", "Mars/Olympus", "europe/berlin", "Europe", "../etc/passwd", "+01:00")),
        ({"by": "colour"}, "by"),
        ({"dayz": "7"}, "dayz"),
        ({"x" * 1000: "7"}, "x" * 64),
    ],
)
def test_refused(parameters: dict[str, str], field: str) -> None:
    """What makes no sense is refused by name."""
    with pytest.raises(InvalidRequestError) as caught:
        parse(**parameters)

    assert field == caught.value.field


def test_by_belongs_to_costs() -> None:
    """A parameter of one report is unknown to another."""
    with pytest.raises(InvalidRequestError, match="not a known parameter"):
        parse_query({"by": "model"}, "acme", Role.ADMIN, NOW_MS)


def test_forbidden() -> None:
    """Only an admin compares tenants."""
    with pytest.raises(ForbiddenError) as caught:
        parse(Role.USER, by="tenant")

    assert "by" == caught.value.field


def test_old_half_hours() -> None:
    """Days of long ago can be read in UTC, and wherever a day begins with a UTC day."""
    for zone in ("UTC", "Africa/Abidjan"):
        assert 2 == len(days_of(parse(from_="2021-01-01", to="2021-01-02", tz=zone)))
