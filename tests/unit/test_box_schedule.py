"""The hours of the box."""

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_router.box_schedule import BoxSchedule
from llm_router.errors import ConfigError

OFFICE = "Mon-Fri 07:00-19:00 Europe/Berlin"
HOUR_MS = 3_600_000


def schedule(text: str = OFFICE) -> BoxSchedule:
    """Return the schedule of a text that has one."""
    parsed = BoxSchedule.parse(text)
    assert parsed is not None
    return parsed


def at(moment: str, zone: str = "Europe/Berlin") -> int:
    """Return milliseconds since the epoch of a local time."""
    return round(datetime.fromisoformat(moment).replace(tzinfo=ZoneInfo(zone)).timestamp() * 1000)


def test_without_hours_there_is_no_schedule() -> None:
    """A box without hours never sleeps."""
    assert BoxSchedule.parse("") is None


@pytest.mark.parametrize(
    ("moment", "wakes"),
    [
        ("2026-11-23T07:00:00", None),  # a Monday
        ("2026-11-23T18:59:59", None),
        ("2026-11-23T06:59:00", "2026-11-23T07:00:00"),
        ("2026-11-23T19:00:00", "2026-11-24T07:00:00"),
        ("2026-11-27T19:00:00", "2026-11-30T07:00:00"),
        ("2026-11-28T12:00:00", "2026-11-30T07:00:00"),
    ],
)
def test_box_sleeps_at_night_and_at_the_weekend(moment: str, wakes: str | None) -> None:
    """It is awake from the first minute of its hours to the last, and sleeps until the next day that has some."""
    expected = None if wakes is None else at(wakes) - at(moment)

    assert expected == schedule().wakes_in_ms(at(moment))


@pytest.mark.parametrize(
    ("moment", "hours"),
    [("2026-03-28T19:00:00", 11), ("2026-10-24T19:00:00", 13), ("2026-06-06T19:00:00", 12)],
    ids=["spring", "autumn", "summer"],
)
def test_clocks_that_change(moment: str, hours: int) -> None:
    """The hours are those of the place: a night in which its clocks change is an hour shorter or longer."""
    assert hours * HOUR_MS == schedule("Mon-Sun 07:00-19:00 Europe/Berlin").wakes_in_ms(at(moment))


@pytest.mark.parametrize(
    ("days", "expected"),
    [("Mon-Fri", {0, 1, 2, 3, 4}), ("Sat-Mon", {5, 6, 0}), ("Wed", {2}), ("Mon-Sun", set(range(7))), ("Tue-Tue", {1})],
)
def test_days(days: str, expected: set[int]) -> None:
    """Days are one, or from one to another, over the end of the week too."""
    assert expected == schedule(f"{days} 07:00-19:00 UTC").days


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("always", "must be like"),
        ("Mon-Fri 7:00-19:00 UTC", "must be like"),
        ("Mon-Fri 07:00-24:00 UTC", "must be like"),
        ("Mon-Fri 07:00-19:00", "must be like"),
        ("Mon-Fri 07:00-19:00 ../../etc/passwd", "must be like"),
        ("Mon-Fri 19:00-07:00 UTC", "end later"),
        ("Mon-Fri 07:00-07:00 UTC", "end later"),
        ("Mon-Fri 07:00-19:00 Europe/Atlantis", "no time zone is called Europe/Atlantis"),
    ],
)
def test_hours_that_are_none(text: str, words: str) -> None:
    """What makes no sense is refused by the name of the setting."""
    with pytest.raises(ConfigError, match=f"^BOX_HOURS: .*{words}"):
        BoxSchedule.parse(text)


@given(st.datetimes(datetime(2026, 1, 1), datetime(2028, 1, 1)))  # noqa: DTZ001 - hypothesis wants them so
def test_it_is_awake_when_it_said_it_would_be(moment: datetime) -> None:
    """Whoever comes back when he was told to finds the box awake, and a moment earlier asleep."""
    now_ms = at(moment.isoformat())
    wakes_in_ms = schedule().wakes_in_ms(now_ms) or 0

    assert schedule().wakes_in_ms(now_ms + wakes_in_ms) is None
    assert wakes_in_ms <= timedelta(days=2, hours=13).total_seconds() * 1000
    assert not wakes_in_ms or schedule().wakes_in_ms(now_ms + wakes_in_ms - 1) == 1
