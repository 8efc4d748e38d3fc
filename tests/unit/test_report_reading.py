from collections import Counter
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics.figures import Figures
from analytics.periods import Part, parts, starts
from analytics.queries import ReportQuery
from analytics.reading import MAX_SHIFTED_DAYS, MAX_TENANTS, Reader
from llm_router.access.keys import ALL_TENANTS
from llm_router.accounting.rollups import counters, total, usage_event
from llm_router.accounting.usage import UsageRecord
from llm_router.errors import InvalidRequestError
from tests.builders import make_query, usage_at
from tests.fakes import FakeRollupStore, SettableClock

ZONES = (
    "UTC",
    "Europe/London",
    "Europe/Berlin",
    "America/New_York",
    "Asia/Kolkata",
    "Australia/Lord_Howe",
    "Pacific/Kiritimati",
)
SPRING, AUTUMN = datetime(2023, 3, 24, tzinfo=UTC), datetime(2023, 10, 27, tzinfo=UTC)
"""Around the days on which Europe and Lord Howe change their clocks, less than a week long each."""


def reader(*records: UsageRecord, now: str = "2023-11-14T22:13:20") -> Reader:
    """Return what reads some requests, at a moment of UTC."""
    store = FakeRollupStore()
    for record in records:
        store.add([usage_event(record)])
    return Reader(store, SettableClock(usage_at(now).finished_at_ms))


def local_day(record: UsageRecord, zone: str) -> date:
    """Return the day of a zone on which a request was finished."""
    return datetime.fromtimestamp(record.finished_at_ms / 1000, tz=UTC).astimezone(ZoneInfo(zone)).date()


def query(zone: str, first: date, last: date, tenant: str = "default") -> ReportQuery:
    """Return a query of some days of a zone."""
    return ReportQuery(tenant=tenant, first_day=first, last_day=last, zone=ZoneInfo(zone))


@pytest.mark.parametrize(
    ("zone", "day", "hours"),
    [
        ("UTC", date(2023, 3, 26), 24),
        ("Europe/Berlin", date(2023, 3, 26), 23),
        ("Europe/Berlin", date(2023, 10, 29), 25),
        ("Australia/Lord_Howe", date(2023, 10, 1), 23.5),
        ("Africa/Cairo", date(2023, 4, 28), 23),  # midnight itself is skipped
        ("America/Havana", date(2023, 11, 5), 25),  # midnight comes twice
    ],
)
def test_length_of_a_day(zone: str, day: date, hours: float) -> None:
    """A day on which the clocks change is an hour, or half of one, shorter or longer."""
    start, end = starts(day, day, ZoneInfo(zone))

    assert timedelta(hours=hours) == end - start


def test_parts() -> None:
    """A day in Kolkata is the end of one UTC day and the beginning of the next, a UTC day is one."""
    kolkata, utc = (
        parts(*starts(date(2023, 11, 14), date(2023, 11, 14), ZoneInfo(zone))) for zone in ("Asia/Kolkata", "UTC")
    )

    assert [Part("2023-11-13", "18:30", "24:00"), Part("2023-11-14", "00:00", "18:30")] == kolkata
    assert [False, True] == [part.is_most for part in kolkata]
    assert [Part("2023-11-14", "18:30", "24:00")] == list(kolkata[1].rest)
    assert [Part("2023-11-14")] == utc
    assert utc[0].is_whole


def test_year_in_another_zone() -> None:
    """Of a long period only the first and the last UTC day are read by half hours."""
    moments = starts(date(2023, 1, 1), date(2023, 12, 31), ZoneInfo("America/New_York"))
    cut = parts(moments[0], moments[-1])

    assert 366 == len(cut)
    assert [cut[0], cut[-1]] == [part for part in cut if not part.is_whole]


@given(
    minutes=st.lists(st.tuples(st.integers(0, 6 * 24 * 60), st.sampled_from(["simple", "complex"])), max_size=30),
    begin=st.sampled_from([SPRING, AUTUMN]),
    first=st.integers(0, 5),
    days=st.integers(1, 3),
    zone=st.sampled_from(ZONES),
    now_days=st.integers(0, 8),
)
def test_every_request_is_on_its_day(
    *, minutes: list[tuple[int, Any]], begin: datetime, first: int, days: int, zone: str, now_days: int
) -> None:
    """Whatever the zone and the day, a report counts what was finished on that day there, and nothing else."""
    records = [
        usage_at(
            f"{begin + timedelta(minutes=minute):%Y-%m-%dT%H:%M}",
            f"req_{number}",
            complexity=complexity,
            latency_ms=minute,
        )
        for number, (minute, complexity) in enumerate(minutes)
    ]
    first_day = begin.date() + timedelta(days=first)
    asked = query(zone, first_day, first_day + timedelta(days=days - 1))
    read = reader(*records, now=f"{begin + timedelta(days=now_days):%Y-%m-%dT%H:%M}")
    expected = [
        total(counters(record) for record in records if local_day(record, zone) == first_day + timedelta(days=number))
        for number in range(days)
    ]
    by_day = [Figures.of(reading.rows).sums for reading in read.days(asked)]

    assert expected == by_day
    assert sum(expected, Counter()) == Figures.of(read.period(asked).rows).sums


def test_items_of_a_shifted_day() -> None:
    """Of a settled day that is mostly another's, the day's rows and the few half hours that are not are read."""
    records = [usage_at(f"2023-11-0{day}T{hour:02}:10", f"{day}-{hour}") for day in (1, 2) for hour in range(24)]
    berlin = query("Europe/Berlin", date(2023, 11, 2), date(2023, 11, 2))
    before, later = (reader(*records, now=now).days(berlin)[0] for now in ("2023-11-03T12:00", "2023-11-05T12:00"))

    assert (1 + 23, 1 + 1 + 1) == (before.items, later.items)
    assert Figures.of(before.rows) == Figures.of(later.rows)


def test_all_tenants() -> None:
    """Everybody's requests are those of all tenants that the months of the period know."""
    records = [
        usage_at("2023-10-31T12:00", "1", tenant="acme"),
        usage_at("2023-11-01T12:00", "2", tenant="acme"),
        usage_at("2023-11-02T12:00", "3", tenant="initech"),
        usage_at("2023-12-01T12:00", "4", tenant="later"),
    ]
    rows, items = reader(*records).period(query("UTC", date(2023, 10, 31), date(2023, 11, 2), ALL_TENANTS))

    assert ["acme", "acme", "initech"] == sorted(row.key.tenant for row in rows)
    assert 3 + 3 == items  # acme in two months and initech in one, and three rows


def test_too_many_tenants() -> None:
    """More tenants than can be read in time are refused, and the caller is told to name one."""
    records = [usage_at("2023-11-14T12:00", str(number), tenant=f"t{number}") for number in range(MAX_TENANTS + 1)]

    with pytest.raises(InvalidRequestError, match="name one") as caught:
        reader(*records).period(make_query(tenant=ALL_TENANTS))

    assert "tenant" == caught.value.field
    assert MAX_TENANTS == len(reader(*records[1:]).period(make_query(tenant=ALL_TENANTS)).rows)


def test_too_many_days_of_tenants() -> None:
    """Few enough tenants over too long a time are refused as well."""
    records = [
        usage_at(f"2023-{month:02}-01T12:00", f"{number}-{month}", tenant=f"t{number}")
        for number in range(30)
        for month in range(1, 12)
    ]
    half, whole = (
        make_query(first="2023-01-01", last=last, tenant=ALL_TENANTS) for last in ("2023-05-31", "2023-11-14")
    )

    with pytest.raises(InvalidRequestError, match="name one"):
        reader(*records).period(whole)
    assert 30 * 5 == len(reader(*records).period(half).rows)


@pytest.mark.parametrize(
    ("zone", "days", "refused"), [("UTC", 366, False), ("Asia/Tokyo", 92, False), ("Asia/Tokyo", 93, True)]
)
def test_days_of_another_zone(zone: str, days: int, *, refused: bool) -> None:
    """Days that are not UTC's can be shown one by one for three months."""
    asked = make_query(days, tz=zone)

    if refused:
        with pytest.raises(InvalidRequestError) as caught:
            reader().days(asked)
        assert "tz" == caught.value.field
    else:
        assert days == len(reader().days(asked))
    assert MAX_SHIFTED_DAYS == 92
